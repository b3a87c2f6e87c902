"""Whether records still are about what is here, and still true."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from dispatch.answer import Yes
from dispatch.errors import DispatchError
from dispatch.machine import this_machine
from dispatch.problem import Problem
from dispatch.registry import Registry, registry
from dispatch.tuning.contest import Contest, Contestant, hold
from dispatch.tuning.race import ENOUGH, Effort
from dispatch.tuning.record import Record

__all__ = ["Finding", "contests_of", "verify", "why_stale"]

LEAST_NOISE = 0.1
"""Times that differ by less than this part are the same: no two runs agree to the last percent."""
EARLY_NOISE = 0.5
"""That of kernels which were left behind after a few rounds."""


def why_stale(record: Record, known: Registry | None = None) -> str:
    """Say why a record can't be used here any more; "" if it can."""
    if record.machine != this_machine().id:
        return "another machine"
    known = known or registry()
    try:
        kernel = known.find(record.kernel)
        answer = kernel.query(Problem.from_json(record.problem))
    except DispatchError as error:
        return str(error)
    pack = next(p for p in known.packs if p.name == record.kernel.partition(".")[0])
    if record.pack_version != pack.version:
        return f"pack version {record.pack_version}, now {pack.version}"
    if record.library_version != pack.library_version:
        return f"library {record.library_version}, now {pack.library_version}"
    return "" if isinstance(answer, Yes) else f"the kernel refuses it now: {answer}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A record, and what was measured again.

    Parameters
    ----------
    before, now
        The old record and the new one.
    """

    before: Record
    now: Record

    @property
    def ratio(self) -> float:
        """The new time as a multiple of the old one; NaN where the kernel failed both times."""
        return self.now.seconds / self.before.seconds

    @property
    def noise(self) -> float:
        """By what part the two may differ without meaning anything."""
        spreads = self.before.spread + self.now.spread
        few = min(self.before.rounds, self.now.rounds) < ENOUGH
        return max(EARLY_NOISE if few else LEAST_NOISE, spreads)

    @property
    def off(self) -> bool:
        """They differ beyond noise."""
        if math.isinf(self.before.seconds) or math.isinf(self.now.seconds):
            return self.before.seconds != self.now.seconds
        return abs(math.log(self.ratio)) > math.log1p(self.noise)


def contests_of(records: Iterable[Record]) -> list[tuple[Contest, list[Record]]]:
    """Return usable records by problem, with the kernels that they are of."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(record.problem, []).append(record)
    made = []
    for text, members in groups.items():
        problem = Problem.from_json(text)
        contestants = tuple(Contestant(registry().find(r.kernel), problem) for r in members)
        made.append((Contest(problem, contestants), members))
    return made


def verify(
    contests: Sequence[tuple[Contest, list[Record]]], effort: Effort | None = None
) -> Iterator[list[Finding]]:
    """Time the kernels of records again; gives the findings problem by problem."""
    for contest, members in contests:
        again = hold(contest, effort or Effort())
        yield [Finding(before, now) for before, now in zip(members, again, strict=True)]
