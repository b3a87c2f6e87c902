"""Exceptions of the benchmarks; all derive from `dispatch.DispatchError`."""

from __future__ import annotations

from dispatch.errors import DispatchError

__all__ = [
    "BenchError",
    "CaseError",
    "CountingFailed",
    "EmulationUnavailable",
    "MissingExtra",
    "Refused",
    "RemoteFailed",
    "ReportError",
    "WorkerFailed",
    "WrongResult",
]


class BenchError(DispatchError, RuntimeError):
    """Base class of the benchmarks' exceptions."""


class CaseError(BenchError, ValueError):
    """A case, a shape set or an option names something that doesn't exist or doesn't fit."""


class EmulationUnavailable(BenchError):
    """Another architecture can't be emulated here; the message says what is missing."""


class MissingExtra(BenchError, ImportError):
    """A package that the command needs isn't installed; the message names the extra."""


class Refused(BenchError):
    """An engine doesn't serve a case; it is left out of that line."""


class WrongResult(BenchError):
    """An engine's result lies outside its bound, so that its time says nothing."""


class WorkerFailed(BenchError):
    """An engine's process ended, or reported an error that isn't a refusal."""


class CountingFailed(BenchError):
    """Instructions can't be counted here, or the counts can't be trusted."""


class RemoteFailed(BenchError):
    """Another machine can't be reached, or a command failed there; has its last lines."""


class ReportError(BenchError, ValueError):
    """A file of results is damaged or of another form."""
