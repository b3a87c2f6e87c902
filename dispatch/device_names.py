"""What devices are called: CPUs by family and by maker, and the others."""

from __future__ import annotations

import platform
from collections.abc import Collection, Mapping

__all__ = [
    "CPU",
    "DESCRIPTIONS",
    "MACHINES",
    "cpu_family",
    "dlpack_type",
    "family_of",
    "host_family",
    "is_cpu",
    "is_preferred",
    "is_served",
]

CPU = "cpu"

MACHINES: Mapping[str, tuple[str, ...]] = {
    "intel": ("x86_64", "AMD64"),
    "arm": ("aarch64", "arm64"),
}
"""CPU families, and what `platform.machine` calls them."""

_MAKERS: Mapping[str, str] = {"qualcomm": "arm"}
"""CPUs by their maker, and their family: its packs serve them; packs that name them come first."""

DESCRIPTIONS: Mapping[str, str] = {
    CPU: "this host's CPU",
    "intel": "x86-64 CPUs",
    "arm": "aarch64 CPUs",
    "qualcomm": "Snapdragon's aarch64 CPUs, its maker's kernels first",
    "nvidia": "NVIDIA GPUs",
    "opencl": "GPUs and other devices with OpenCL",
}
"""Every device, as `dispatch.devices` lists them."""

_DLPACK_TYPES: Mapping[str, int] = {"nvidia": 2, "opencl": 4}
"""DLPack's device types of those that aren't CPUs."""


def host_family() -> str:
    """Return the host CPU's family, ``"cpu"`` for one without a name of its own."""
    return family_of(platform.machine())


def family_of(machine: str) -> str:
    """Return the CPU family of what `platform.machine` says, ``"cpu"`` where it has no name."""
    for family, machines in MACHINES.items():
        if machine in machines:
            return family
    return CPU


def cpu_family(device: str) -> str:
    """Return the family of a CPU that is called by its maker; any other device's own name."""
    return _MAKERS.get(device, device)


def is_cpu(device: str) -> bool:
    """Return whether a device is a CPU of this host."""
    return device == CPU or cpu_family(device) in MACHINES


def dlpack_type(device: str) -> int:
    """Return DLPack's device type of a device."""
    return _DLPACK_TYPES.get(device, 1)


def is_served(device: str, served: Collection[str]) -> bool:
    """Return whether a pack that serves the devices `served` serves this one too."""
    return device in served or cpu_family(device) in served or (CPU in served and is_cpu(device))


def is_preferred(device: str, served: Collection[str]) -> bool:
    """Return whether a pack comes first, whatever the costs: its CPU is called by its maker."""
    return device in _MAKERS and device in served
