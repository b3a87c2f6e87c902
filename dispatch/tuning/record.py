"""What one measurement says, and when it is about what is here now."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from dispatch.contract import KernelName
from dispatch.errors import InvalidArgument
from dispatch.problem import Problem

__all__ = ["Key", "Record", "problem_digest"]


class Key(NamedTuple):
    """All that a measured time depends on. Where one part differs there is no record.

    The level of the instruction set is part of what `library_version` says, as
    the contract has it; device, precision, determinism and threads are parts of
    the problem.
    """

    machine: str
    pack_version: str
    library_version: str
    kernel: str
    problem: str


@dataclass(frozen=True, slots=True)
class Record:
    """How long a kernel took for a problem.

    Parameters
    ----------
    machine
        `dispatch.machine.Machine.id`.
    pack_version, library_version
        Of the kernel's pack.
    kernel
        Its full name.
    problem
        Canonical JSON, in the layouts that the kernel worked on.
    seconds
        The median; infinite if the kernel failed.
    spread
        The distance between the quartiles as a part of the median.
    rounds
        How many rounds the figures are from. Those of kernels that were left
        behind early are few.
    measured_at
        Seconds since the epoch.
    """

    machine: str
    pack_version: str
    library_version: str
    kernel: str
    problem: str
    seconds: float
    spread: float
    rounds: int
    measured_at: float

    @property
    def key(self) -> Key:
        """What the record is about, the problem by its digest."""
        return Key(
            self.machine,
            self.pack_version,
            self.library_version,
            self.kernel,
            problem_digest(self.problem),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON, which has no infinity: None stands for it."""
        return {**asdict(self), "seconds": None if math.isinf(self.seconds) else self.seconds}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Record:
        """Read what `to_dict` gave; nothing in it is trusted.

        Raises
        ------
        InvalidArgument
            If a field is missing, of the wrong kind or out of its range.
        """
        try:
            texts = {name: data[name] for name in Key._fields}
            seconds = math.inf if data["seconds"] is None else data["seconds"]
            spread, rounds, at = data["spread"], data["rounds"], data["measured_at"]
        except (KeyError, TypeError) as error:
            raise InvalidArgument(f"record: expected a field, got {error!r}") from error
        if not all(isinstance(text, str) for text in texts.values()):
            raise InvalidArgument(f"record: expected texts, got {texts}")
        if not all(_is_number(number) for number in (seconds, spread, rounds, at)):
            raise InvalidArgument(f"record: expected numbers, got {data}")
        if not (seconds > 0 and spread >= 0 and rounds >= 0 and math.isfinite(at)):
            raise InvalidArgument(f"record: expected a positive time, got {seconds!r}")
        KernelName.parse(texts["kernel"])
        return Record(**texts, seconds=seconds, spread=spread, rounds=int(rounds), measured_at=at)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value


@lru_cache(maxsize=16384)
def problem_digest(problem: str | Problem) -> str:
    """Return a short name for a problem, given as it is or as its canonical JSON."""
    text = problem if isinstance(problem, str) else problem.to_json()
    return hashlib.sha256(text.encode()).hexdigest()[:32]
