"""The packs that are installed, by entry point, and their kernels."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata

from dispatch.contract import Kernel, KernelName, Memory, OpenPack, Pack
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import PackUnavailable, RegistrationError
from dispatch.problem import Problem

__all__ = ["GROUP", "RegisteredPack", "Registry", "packs", "registry"]

GROUP = "dispatch.packs"


_lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class _Opened:
    """A pack that was opened; or the reason why it can't be."""

    pack: OpenPack | None
    reason: str = ""
    kernels: Mapping[tuple[str, str], tuple[Kernel, ...]] = field(default_factory=dict)


class RegisteredPack:
    """A pack, where it came from, and its kernels or the reason why it can't be used.

    A pack that names what it serves is opened when something of that is asked
    for, or when somebody looks at what it has.

    Parameters
    ----------
    pack
        What the entry point names.
    origin
        The entry point.

    Attributes
    ----------
    name, devices, fallback
        As the pack says.
    serves : frozenset of str
        ``operator.dtype`` of all its kernels, as their names have them; empty: it
        doesn't say.
    origin : str
        The entry point.
    memory : Memory or None
        The memory of the pack's device, if that has its own.
    """

    def __init__(self, pack: Pack, origin: str) -> None:
        self.name = pack.name
        self.devices = pack.devices
        self.fallback = pack.fallback
        self.serves = frozenset(getattr(pack, "serves", ()))
        self.origin = origin
        self.memory: Memory | None = getattr(pack, "memory", None)
        self._pack = pack
        self._opened: _Opened | None = None
        if not self.serves:
            self._open()

    def may_serve(self, problem: Problem) -> bool:
        """Say whether the pack could have kernels for a problem; doesn't open it."""
        key = f"{problem.operator}.{SHORT_NAMES[problem.dtype]}"
        return not self.serves or key in self.serves

    @property
    def opened(self) -> OpenPack | None:
        """The opened pack; None if it is unavailable."""
        return self._open().pack

    @property
    def reason(self) -> str:
        """Why the pack is unavailable, else ""."""
        return self._open().reason

    @property
    def kernels(self) -> Mapping[tuple[str, str], tuple[Kernel, ...]]:
        """Kernels by (operator, short name of the dtype)."""
        return self._open().kernels

    @property
    def available(self) -> bool:
        """The pack's library was found."""
        return self.opened is not None

    @property
    def version(self) -> str:
        """The pack's own version, "" if it is unavailable."""
        return "" if self.opened is None else self.opened.version

    @property
    def library_version(self) -> str:
        """The vendor library's version, "" if the pack is unavailable."""
        return "" if self.opened is None else self.opened.library_version

    def _open(self) -> _Opened:
        if self._opened is None:
            with _lock:
                if self._opened is None:
                    self._opened = _open(self._pack, self.serves)
        return self._opened


class Registry:
    """Packs in their order: vendors' first, the fallbacks last.

    Parameters
    ----------
    entries
        Each pack with its origin, as ``(pack, origin)``; a pack that can't
        even be imported is given by its exception, as ``(name, origin, error)``.
    """

    def __init__(self, entries: Iterable[tuple[Pack, str]]) -> None:
        self._packs: dict[str, RegisteredPack] = {}
        for pack, origin in sorted(entries, key=lambda entry: (entry[0].fallback, entry[0].name)):
            other = self._packs.get(pack.name)
            if other is not None:
                raise RegistrationError(
                    f"two packs are called {pack.name!r}: {other.origin} and {origin}"
                )
            self._packs[pack.name] = RegisteredPack(pack, origin)

    @property
    def packs(self) -> tuple[RegisteredPack, ...]:
        """All packs, unavailable ones too."""
        return tuple(self._packs.values())

    def find(self, name: str) -> Kernel:
        """Return the kernel of a full name.

        Raises
        ------
        PackUnavailable
            If its pack isn't installed or can't be used.
        RegistrationError
            If the name breaks the grammar or the pack has no such kernel.
        """
        parts = KernelName.parse(name)
        pack = self._packs.get(parts.pack)
        if pack is None:
            raise PackUnavailable(f"kernel {name}: no pack called {parts.pack!r} is installed")
        if not pack.available:
            raise PackUnavailable(f"kernel {name}: {pack.reason}")
        for kernel in pack.kernels.get((parts.operator, parts.dtype), ()):
            if kernel.name == name:
                return kernel
        raise RegistrationError(f"pack {parts.pack} has no kernel {name}")


def _open(pack: Pack, serves: frozenset[str]) -> _Opened:
    """Open a pack and check its kernels.

    Raises
    ------
    RegistrationError
        If a kernel's name breaks the grammar, belongs to another pack or is given twice, or is
        none of what the pack says that it serves.
    """
    try:
        opened = pack.open()
    except PackUnavailable as error:
        return _Opened(None, str(error))
    seen: dict[str, Kernel] = {}
    by_key: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in opened.kernels:
        parts = KernelName.parse(kernel.name)
        if parts.pack != pack.name:
            raise RegistrationError(
                f"kernel {kernel.name} ({kernel.source}): expected the pack's name "
                f"{pack.name!r} first"
            )
        if serves and f"{parts.operator}.{parts.dtype}" not in serves:
            raise RegistrationError(
                f"kernel {kernel.name} ({kernel.source}): expected one of what the pack says that "
                f"it serves: {', '.join(sorted(serves))}"
            )
        other = seen.get(kernel.name)
        if other is not None:
            raise RegistrationError(
                f"two kernels are called {kernel.name}: {other.source} and {kernel.source}"
            )
        seen[kernel.name] = kernel
        by_key.setdefault((parts.operator, parts.dtype), []).append(kernel)
    kernels = {key: tuple(value) for key, value in by_key.items()}
    return _Opened(opened, "", kernels)


_registry: Registry | None = None


def registry() -> Registry:
    """Return the process's registry, made at the first call from the installed entry points."""
    global _registry
    if _registry is None:
        with _lock:
            if _registry is None:
                _registry = Registry(_entries())
    return _registry


def packs() -> tuple[RegisteredPack, ...]:
    """Return every installed pack, with its version or the reason why it can't be used."""
    return registry().packs


def _entries() -> list[tuple[Pack, str]]:
    entries: list[tuple[Pack, str]] = []
    for point in metadata.entry_points(group=GROUP):
        distribution = point.dist.name if point.dist is not None else "?"
        origin = f"{point.value} of {distribution}"
        try:
            pack = point.load()
        except Exception as error:  # noqa: BLE001 -- a vendor's module may fail in any way
            pack = _Broken(point.name, f"pack {point.name} ({origin}): import failed: {error!r}")
        entries.append((pack, origin))
    return entries


@dataclass(frozen=True)
class _Broken:
    """Stands for a pack whose module can't be imported."""

    name: str
    reason: str
    devices: tuple[str, ...] = ()
    fallback: bool = False

    def open(self, options: Mapping[str, str] | None = None) -> OpenPack:
        raise PackUnavailable(self.reason)
