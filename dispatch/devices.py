"""Devices by name: CPU families and the others, what is here, and what is missing."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dispatch.errors import DeviceUnavailable, InvalidArgument

__all__ = [
    "Device",
    "cpu_family",
    "default_threads",
    "devices",
    "dlpack_type",
    "family_of",
    "host_family",
    "is_cpu",
    "is_preferred",
    "is_served",
    "located",
    "resolve",
]

CPU = "cpu"

_MACHINES: Mapping[str, tuple[str, ...]] = {
    "intel": ("x86_64", "AMD64"),
    "arm": ("aarch64", "arm64"),
}
"""CPU families, and what `platform.machine` calls them."""

_MAKERS: Mapping[str, str] = {"qualcomm": "arm"}
"""CPUs by their maker, and their family: its packs serve them; packs that name them come first."""

_DESCRIPTIONS: Mapping[str, str] = {
    CPU: "this host's CPU",
    "intel": "x86-64 CPUs",
    "arm": "aarch64 CPUs",
    "qualcomm": "Snapdragon's aarch64 CPUs, its maker's kernels first",
    "nvidia": "NVIDIA GPUs",
    "opencl": "GPUs and other devices with OpenCL",
}

_DLPACK_TYPES: Mapping[str, int] = {"nvidia": 2, "opencl": 4}
"""DLPack's device types of those that aren't CPUs."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device, and whether it is here.

    Parameters
    ----------
    name
        What calls name it by.
    description
        One line.
    packs
        Names of the packs installed that serve it, best first.
    missing
        What is missing and how to get it; "" if the device is here.
    names
        What its hardware is called, where it has memory of its own: the second of them is
        ``opencl:1`` (or ``nvidia:1``).
    """

    name: str
    description: str
    packs: tuple[str, ...]
    missing: str
    names: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        """The device is here."""
        return not self.missing


def host_family() -> str:
    """Return the host CPU's family, ``"cpu"`` for one without a name of its own."""
    return family_of(platform.machine())


def family_of(machine: str) -> str:
    """Return the CPU family of what `platform.machine` says, ``"cpu"`` where it has no name."""
    for family, machines in _MACHINES.items():
        if machine in machines:
            return family
    return CPU


def cpu_family(device: str) -> str:
    """Return the family of a CPU that is called by its maker; any other device's own name."""
    return _MAKERS.get(device, device)


def is_cpu(device: str) -> bool:
    """Return whether a device is a CPU of this host."""
    return device == CPU or cpu_family(device) in _MACHINES


def dlpack_type(device: str) -> int:
    """Return DLPack's device type of a device."""
    return _DLPACK_TYPES.get(device, 1)


def is_served(device: str, served: Collection[str]) -> bool:
    """Return whether a pack that serves the devices `served` serves this one too."""
    return device in served or cpu_family(device) in served or (CPU in served and is_cpu(device))


def is_preferred(device: str, served: Collection[str]) -> bool:
    """Return whether a pack comes first, whatever the costs: its CPU is called by its maker."""
    return device in _MAKERS and device in served


def devices() -> tuple[Device, ...]:
    """Return every device the project has a name for.

    Returns
    -------
    tuple of Device
        Those that aren't here say what is missing.
    """
    return tuple(_device(name) for name in _DESCRIPTIONS)


def _device(name: str) -> Device:
    from dispatch.memory import memory_of_device
    from dispatch.registry import packs

    device = host_family() if name == CPU else name
    serving = [p for p in packs() if is_served(device, p.devices)]
    serving.sort(key=lambda p: not is_preferred(device, p.devices))
    missing = _missing(name)
    memory = None if missing else memory_of_device(device)
    names = () if memory is None else tuple(memory.devices())
    return Device(name, _DESCRIPTIONS[name], tuple(p.name for p in serving), missing, names)


def _missing(name: str) -> str:
    if name == CPU:
        return ""
    family = cpu_family(name)
    if family in _MACHINES:
        if family == host_family():
            return ""
        return (
            f"this host's CPU is {platform.machine()}; run on a machine with {_MACHINES[family][0]}"
        )
    from dispatch.registry import packs

    serving = [p for p in packs() if name in p.devices]
    if not serving:
        return "no kernel pack that serves it is installed (entry-point group dispatch.packs)"
    reasons = [p.reason for p in serving if p.reason]
    return "" if len(reasons) < len(serving) else "; ".join(reasons)


def resolve(name: str) -> str:
    """Return the device that a name stands for here: ``"cpu"`` becomes the host's family.

    Raises
    ------
    InvalidArgument
        If there is no such name.
    DeviceUnavailable
        If the device isn't here; says what is missing.
    """
    if name not in _DESCRIPTIONS:
        raise InvalidArgument(f"device: expected one of {', '.join(_DESCRIPTIONS)}, got {name!r}")
    missing = _missing(name)
    if missing:
        raise DeviceUnavailable(f"device {name!r} is not available: {missing}")
    return host_family() if name == CPU else name


def located(name: str) -> tuple[str, int | None]:
    """Return the device that a name stands for here, and which of several if it says so.

    Parameters
    ----------
    name
        One of `devices`; of those with memory of their own, a number may follow: ``opencl:1``.

    Raises
    ------
    InvalidArgument
        If there is no such name.
    DeviceUnavailable
        If the device isn't here; says what is missing.
    """
    from dispatch.memory import memory_of_device

    kind, colon, number = name.partition(":")
    device = resolve(kind)
    if not colon:
        return device, None
    memory = memory_of_device(device)
    if memory is None or not number.isdecimal():
        expected = f"{kind!r}" if memory is None else f"a number behind {kind + ':'!r}"
        raise InvalidArgument(f"device: expected {expected}, got {name!r}")
    here = memory.devices()
    if int(number) >= len(here):
        names = ", ".join(f"{kind}:{i} ({each})" for i, each in enumerate(here))
        raise DeviceUnavailable(f"device {name!r} is not available: here are {names}")
    return device, int(number)


@cache
def default_threads() -> int:
    """Return how many threads this process may use: its affinity and its cgroup's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, count if quota is None else min(count, quota))


def _cgroup_quota() -> int | None:
    """CPUs that the cgroup's quota amounts to, rounded up; None where there is no quota."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
    except (OSError, ValueError):
        try:
            quota = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text().strip()
            period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    if quota == "max" or int(quota) <= 0:
        return None
    return -(-int(quota) // int(period))
