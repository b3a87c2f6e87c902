"""The devices that are here, and what is missing of the others."""

from __future__ import annotations

import platform
from dataclasses import dataclass

from dispatch.device_names import (
    CPU,
    DESCRIPTIONS,
    MACHINES,
    cpu_family,
    host_family,
    is_preferred,
    is_served,
)
from dispatch.errors import DeviceUnavailable, InvalidArgument
from dispatch.memory import memory_of_device
from dispatch.registry import packs

__all__ = ["Device", "devices", "located", "resolve"]


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
        ``opencl:1``.
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


def devices() -> tuple[Device, ...]:
    """Return every device the project has a name for.

    Returns
    -------
    tuple of Device
        Those that aren't here say what is missing.
    """
    return tuple(_device(name) for name in DESCRIPTIONS)


def _device(name: str) -> Device:
    device = host_family() if name == CPU else name
    serving = [p for p in packs() if is_served(device, p.devices)]
    serving.sort(key=lambda p: not is_preferred(device, p.devices))
    missing = _missing(name)
    memory = None if missing else memory_of_device(device)
    names = () if memory is None else tuple(memory.devices())
    return Device(name, DESCRIPTIONS[name], tuple(p.name for p in serving), missing, names)


def _missing(name: str) -> str:
    if name == CPU:
        return ""
    family = cpu_family(name)
    if family in MACHINES:
        if family == host_family():
            return ""
        return (
            f"this host's CPU is {platform.machine()}; run on a machine with {MACHINES[family][0]}"
        )
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
    if name not in DESCRIPTIONS:
        raise InvalidArgument(f"device: expected one of {', '.join(DESCRIPTIONS)}, got {name!r}")
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
