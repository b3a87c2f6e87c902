"""Which packs there are to check, and at which levels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from dispatch.conformance.remote import RemotePack
from dispatch.conformance.runner import Subject, Summary, check_kernels
from dispatch.contract import Kernel, KernelName, Memory, Pack
from dispatch.device_names import CPU
from dispatch.devices import resolve
from dispatch.errors import DeviceUnavailable, InvalidArgument, PackUnavailable
from dispatch.operators import operators
from dispatch.registry import GROUP

__all__ = [
    "Skipped",
    "Target",
    "check_pack",
    "installed",
    "levels_of",
    "open_subject",
    "remote_subject",
    "targets",
]


@dataclass(frozen=True, slots=True)
class Target:
    """A pack at one of its levels.

    Parameters
    ----------
    pack
        The pack's name.
    level
        "" for a pack without levels.
    device_id
        Which of several devices with memory of their own.
    device
        That device's own name.
    """

    pack: str
    level: str = ""
    device_id: int = 0
    device: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.pack, self.level, self.device)))


@dataclass(frozen=True, slots=True)
class Skipped:
    """A target that can't be checked here, and why."""

    target: Target
    reason: str


def installed() -> Mapping[str, Pack]:
    """Return the packs that can be imported, by name; a broken one raises at the registry."""
    packs = {}
    for point in metadata.entry_points(group=GROUP):
        try:
            pack: Pack = point.load()
        except Exception as error:  # a vendor's module may fail in any way
            raise PackUnavailable(f"pack {point.name}: import failed: {error!r}") from error
        packs[pack.name] = pack
    return packs


def levels_of(pack: Pack) -> tuple[str, ...]:
    """Return the values of a pack's option ``level``, ("",) for a pack that has none."""
    return tuple(getattr(pack, "levels", ())) or ("",)


def _devices_of(pack: Pack) -> Sequence[str]:
    """Return the names of the devices that a pack knows the memory of, ("",) for the host."""
    memory: Memory | None = getattr(pack, "memory", None)
    if memory is None:
        return ("",)
    try:
        return memory.devices()
    except PackUnavailable:
        return ("",)


def targets(name: str | None = None, level: str | None = None) -> list[Target]:
    """Return every installed pack at each of its levels, or those of a name and a level.

    Raises
    ------
    InvalidArgument
        If there is no such pack or level.
    """
    packs = installed()
    if name is not None and name not in packs:
        raise InvalidArgument(
            f"pack: expected one of {', '.join(sorted(packs)) or 'none installed'}, got {name!r}"
        )
    found = [
        Target(pack.name, each, device_id, device)
        for pack in packs.values()
        for each in levels_of(pack)
        for device_id, device in enumerate(_devices_of(pack))
        if name in (None, pack.name) and level in (None, each)
    ]
    if not found:
        known = sorted({each for pack in packs.values() for each in levels_of(pack) if each})
        raise InvalidArgument(f"level: expected one of {', '.join(known)}, got {level!r}")
    return found


def open_subject(
    target: Target, operator: str | None = None, kernel: str | None = None
) -> Subject | Skipped:
    """Open a pack at a level; keep the kernels of an operator, or one kernel.

    Raises
    ------
    InvalidArgument
        If nothing is left to check.
    """
    pack = installed()[target.pack]
    try:
        opened = pack.open({"level": target.level} if target.level else None)
        device = resolve(CPU if CPU in pack.devices else pack.devices[0])
    except (PackUnavailable, DeviceUnavailable) as error:
        return Skipped(target, str(error))
    return Subject(
        name=target.pack,
        kernels=_kept(opened.kernels, operator, kernel),
        device=device,
        fallback=pack.fallback and kernel is None,
        operators=[name for name in operators() if operator in (None, name)],
        level=target.level,
        cases=getattr(pack, "cases", {}),
        device_id=target.device_id,
        device_name=target.device,
    )


def remote_subject(
    remote: RemotePack,
    device: str,
    level: str = "",
    operator: str | None = None,
    kernel: str | None = None,
) -> Subject:
    """Return what is to be checked of a pack in another process.

    What the pack's Python side says (that it is a fallback, cases of its own)
    is taken from the pack of that name here, where there is one.

    Parameters
    ----------
    device
        The device there, as problems name it.
    level
        The level that it was opened with.
    operator, kernel
        Only these.
    """
    here = installed().get(remote.name)
    return Subject(
        name=remote.name,
        kernels=_kept(remote.kernels, operator, kernel),
        device=device,
        fallback=here is not None and here.fallback and kernel is None,
        operators=[name for name in operators() if operator in (None, name)],
        level=level,
        cases=getattr(here, "cases", {}),
    )


def _kept(kernels: Sequence[Kernel], operator: str | None, kernel: str | None) -> list[Kernel]:
    return [
        each
        for each in kernels
        if kernel in (None, each.name) and operator in (None, KernelName.parse(each.name).operator)
    ]


def check_pack(
    target: Target,
    operator: str | None = None,
    kernel: str | None = None,
    count: int = 20,
    progress: Callable[[str, int], None] = lambda name, done: None,
) -> Summary | Skipped:
    """Check a pack's kernels, or say why they can't be."""
    subject = open_subject(target, operator, kernel)
    if isinstance(subject, Skipped):
        return subject
    return check_kernels(subject, count, progress)
