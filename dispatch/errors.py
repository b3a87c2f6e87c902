"""Exceptions of the project. Every one derives from `DispatchError`."""

from __future__ import annotations

__all__ = [
    "DeviceUnavailable",
    "DispatchError",
    "FallbackRefused",
    "ForkedProcessError",
    "InvalidArgument",
    "KernelFailed",
    "MemoryMismatch",
    "NoKernel",
    "OutOfMemory",
    "PackUnavailable",
    "RegistrationError",
    "UnsupportedDtype",
]


class DispatchError(Exception):
    """Base class of the project's exceptions."""


class InvalidArgument(DispatchError, ValueError):
    """An argument's value, shape, rank or kind is not what the operator takes."""


class UnsupportedDtype(InvalidArgument, TypeError):
    """An array's dtype is not one that the operator takes."""


class MemoryMismatch(InvalidArgument):
    """Arrays of one call lie in different memories; the message names both. Nothing is copied."""


class OutOfMemory(DispatchError, MemoryError):
    """A device has no memory for a result or for scratch; the next call may fit again."""


class DeviceUnavailable(DispatchError, RuntimeError):
    """The device asked for is not here; the message says what is missing and how to get it."""


class PackUnavailable(DispatchError, RuntimeError):
    """A kernel pack that was asked for by name can't be used; the message says why."""


class NoKernel(DispatchError, LookupError):
    """No kernel of the packs allowed serves the problem; the message lists the reasons."""


class FallbackRefused(NoKernel):
    """Only a fallback kernel serves the problem, and ``fallback="error"`` is in force."""


class KernelFailed(DispatchError, RuntimeError):
    """A kernel that had accepted the problem failed while it was prepared or run."""


class RegistrationError(DispatchError, RuntimeError):
    """A pack's registration is wrong: a name given twice, a bad name, another contract version."""


class ForkedProcessError(DispatchError, RuntimeError):
    """What doesn't survive a fork was used in a forked child.

    A kernel prepared for several threads, whose pool is gone; a device that the parent opened.
    """
