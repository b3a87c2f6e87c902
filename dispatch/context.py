"""Settings of the calls: device, packs, fallback, precision, determinism, threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, TypeAlias, get_args

from dispatch.devices import located
from dispatch.errors import InvalidArgument
from dispatch.problem import Precision, Problem
from dispatch.processors import default_threads
from dispatch.shapes import integer

__all__ = ["Fallback", "Settings", "settings", "using"]

Fallback: TypeAlias = Literal["allow", "warn", "error"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a call runs under.

    Parameters
    ----------
    device
        A name of `dispatch.devices`; of those with memory of their own, a number may say which of
        several: ``opencl:1``.
    packs
        The packs that may serve, by name; None: all.
    kernel
        The one kernel that must serve, by its full name; None: the cheapest.
    fallback
        What happens when only a fallback pack serves where a vendor's pack is
        for the device: nothing, a warning, or `FallbackRefused`.
    precision
        ``highest`` (float32 products, direct summation), ``high`` (fast
        algorithms within a published bound), ``medium`` (bfloat16 products).
    deterministic
        Only kernels whose result never changes from run to run.
    threads
        An upper bound; None: as many as affinity and cgroup allow.
    tuned
        Choose by what `dispatch.tune` measured on this machine, where it
        measured every kernel that may serve; elsewhere by the expected cost.
    """

    device: str = "cpu"
    packs: tuple[str, ...] | None = None
    kernel: str | None = None
    fallback: Fallback = "allow"
    precision: Precision = "high"
    deterministic: bool = False
    threads: int | None = None
    tuned: bool = False


class Interned:
    """One object for each different setting in use, so that calls compare by identity.

    Attributes
    ----------
    device, device_id
        The device's own name, and which of several; None: any.
    """

    __slots__ = ("device", "device_id", "observe", "settings", "threads")

    def __init__(self, value: Settings, observe: Callable[[Problem], None] | None = None) -> None:
        self.settings = value
        self.device, self.device_id = located(value.device)
        self.threads = value.threads or _default_threads or default_threads()
        self.observe = observe


class Observer:
    """Is told the problem of every call in a block, even of those that are remembered."""

    def __init__(self, observe: Callable[[Problem], None]) -> None:
        self._observe = observe
        self._interned: dict[Settings, Interned] = {}

    def intern(self, value: Settings) -> Interned:
        """Return a setting of its own for `value`, under which nothing is remembered yet."""
        if value not in self._interned:
            self._interned[value] = Interned(value, self._observe)
        return self._interned[value]


observer: ContextVar[Observer | None] = ContextVar("dispatch.observer", default=None)


@contextmanager
def observing(observe: Callable[[Problem], None]) -> Iterator[None]:
    """Call `observe` with the problem of each different call in the block."""
    setting = settings()
    watching = observer.set(Observer(observe))
    token = current.set(intern(setting))
    try:
        yield
    finally:
        current.reset(token)
        observer.reset(watching)


_default_threads: int | None = None
_interned: dict[Settings, Interned] = {}
_lock = threading.Lock()


def intern(value: Settings) -> Interned:
    """Return the one object that stands for `value`."""
    watching = observer.get()
    if watching is not None:
        return watching.intern(value)
    found = _interned.get(value)
    if found is None:
        made = Interned(value)
        with _lock:
            found = _interned.setdefault(value, made)
    return found


current: ContextVar[Interned | None] = ContextVar("dispatch.settings", default=None)


@cache
def default() -> Interned:
    """Return the settings in force where none were set."""
    return intern(Settings())


def active() -> Interned:
    """Return the settings in force."""
    return current.get() or default()


def settings() -> Settings:
    """Return the settings that calls made here and now run under."""
    return active().settings


def use_one_thread_by_default() -> None:
    """In a forked child, where OpenMP's pool is gone: settings that name no number mean one."""
    global _default_threads
    _default_threads = 1
    for interned in _interned.values():
        interned.threads = interned.settings.threads or 1


@contextmanager
def using(
    *,
    device: str | None = None,
    packs: str | Sequence[str] | None = None,
    kernel: str | None = None,
    fallback: Fallback | None = None,
    precision: Precision | None = None,
    deterministic: bool | None = None,
    threads: int | None = None,
    tuned: bool | None = None,
) -> Iterator[Settings]:
    """Change the settings of the calls inside a ``with`` block, in this thread or task.

    Parameters
    ----------
    device, packs, kernel, fallback, precision, deterministic, threads, tuned
        As in `Settings`; None leaves what is in force.

    Raises
    ------
    InvalidArgument
        A value that isn't one of those allowed.
    DeviceUnavailable
        A device that isn't here.

    Examples
    --------
    >>> with dispatch.using(packs="portable", threads=1):
    ...     y = dispatch.conv2d(x, w)
    """
    given: dict[str, Any] = {
        "device": device,
        "packs": (packs,) if isinstance(packs, str) else None if packs is None else tuple(packs),
        "kernel": kernel,
        "fallback": fallback,
        "precision": precision,
        "deterministic": deterministic,
        "threads": threads,
        "tuned": tuned,
    }
    value = replace(settings(), **{name: v for name, v in given.items() if v is not None})
    check(value)
    token = current.set(intern(value))
    try:
        yield value
    finally:
        current.reset(token)


def check(value: Settings) -> None:
    """Raise `InvalidArgument` for a setting that isn't allowed, by name."""
    from dispatch.contract import KernelName
    from dispatch.registry import packs as installed

    for name, choices in (("fallback", get_args(Fallback)), ("precision", get_args(Precision))):
        if getattr(value, name) not in choices:
            raise InvalidArgument(
                f"{name}: expected {' or '.join(map(repr, choices))}, got {getattr(value, name)!r}"
            )
    if not isinstance(value.tuned, bool):
        raise InvalidArgument(f"tuned: expected True or False, got {value.tuned!r}")
    if value.threads is not None:
        integer("using", "threads", value.threads, 1)
    if value.packs is not None:
        known = [pack.name for pack in installed()]
        for pack in value.packs:
            if pack not in known:
                raise InvalidArgument(
                    f"packs: expected names of installed packs ({', '.join(known)}), got {pack!r}"
                )
    if value.kernel is not None:
        KernelName.parse(value.kernel)
