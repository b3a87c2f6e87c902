"""Kernels that are alternatives to each other, and what timing them says."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatch.answer import Yes
from dispatch.context import Settings
from dispatch.contract import Kernel, KernelName, Timed
from dispatch.errors import DispatchError
from dispatch.machine import this_machine
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.selection import candidates, hopeless
from dispatch.tensor import ANY
from dispatch.tuning.race import Effort, Entrant, race
from dispatch.tuning.record import Record
from dispatch.tuning.records import Records
from dispatch.tuning.values import arrays_of
from dispatch.tuning.workload import prepare, runner

__all__ = ["Contest", "Contestant", "contest_of", "hold", "is_measured", "record_of", "records_of"]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A kernel, and the problem in the layouts that it would work on."""

    kernel: Kernel
    problem: Problem


@dataclass(frozen=True, slots=True)
class Contest:
    """Kernels for one problem, each in one or several choices of layouts.

    Parameters
    ----------
    problem
        In the logical layouts.
    contestants
        All that say yes and don't expect to be hopeless.
    """

    problem: Problem
    contestants: tuple[Contestant, ...]


def contest_of(
    problem: Problem,
    settings: Settings,
    questions: Iterable[Problem] | None = None,
) -> Contest:
    """Ask who takes part.

    Parameters
    ----------
    problem
        What is to be done, in the logical layouts.
    questions
        The problem in all layouts that are worth asking for, which may be
        ``any``; None: as it is.
    """
    found: dict[tuple[str, Problem], Contestant] = {}
    costs: dict[tuple[str, Problem], float] = {}
    for question in [problem] if questions is None else questions:
        for candidate in candidates(question, settings, registry()):
            answer = candidate.answer
            if isinstance(answer, Yes):
                concrete = question.with_layouts(answer.layouts) if answer.layouts else question
                if all(t is None or t.layout != ANY for t in concrete.tensors):
                    entry = Contestant(candidate.kernel, concrete)
                    found[candidate.kernel.name, concrete] = entry
                    costs[candidate.kernel.name, concrete] = answer.cost
    bound = hopeless(costs.values())
    kept = sorted((key for key in found if costs[key] <= bound), key=costs.__getitem__)
    return Contest(problem, tuple(found[key] for key in kept))


def records_of(contest: Contest, kept: Records) -> list[Record]:
    """Return the records that there are of the contestants."""
    found = [kept.find(*_versions(c.kernel), c.kernel.name, c.problem) for c in contest.contestants]
    return [record for record in found if record is not None]


def is_measured(contest: Contest, kept: Records) -> bool:
    """Say whether there is a record of everybody."""
    return len(records_of(contest, kept)) == len(contest.contestants)


def _versions(kernel: Kernel) -> tuple[str, str]:
    name = KernelName.parse(kernel.name).pack
    pack = next(p for p in registry().packs if p.name == name)
    return pack.version, pack.library_version


def hold(contest: Contest, effort: Effort) -> list[Record]:
    """Time everybody, and return a record of each.

    A kernel that can't be prepared or run is recorded with an infinite time,
    so that it isn't tried again and never chosen.
    """
    values = arrays_of(contest.problem)
    entrants = [_entrant(contestant, values) for contestant in contest.contestants]
    timings = race(entrants, effort)
    return [
        record_of(Timed(c.kernel, c.problem, t.seconds, t.spread, t.rounds))
        for c, t in zip(contest.contestants, timings, strict=True)
    ]


def record_of(timed: Timed) -> Record:
    """Return the record of a time that was found just now."""
    return Record(
        this_machine().id,
        *_versions(timed.kernel),
        timed.kernel.name,
        timed.problem.to_json(),
        timed.seconds,
        timed.spread,
        timed.rounds,
        time.time(),
    )


def _entrant(contestant: Contestant, values: Sequence[Array | None]) -> Entrant:
    # Kernels in the same layouts are alternatives; between layouts lie reorders.
    group = tuple("" if t is None else t.layout for t in contestant.problem.tensors)
    try:
        work = runner(prepare(contestant.kernel, contestant.problem, values))
    except (DispatchError, MemoryError):
        return Entrant(lambda iterations: None, group, failed=True)
    return Entrant(work, group)
