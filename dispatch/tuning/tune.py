"""`dispatch.tune`: measure what may serve, and keep the results."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.context import Settings, observing, settings
from dispatch.errors import InvalidArgument
from dispatch.problem import Problem
from dispatch.remembered import forget_observed
from dispatch.tuning.contest import Contest, contest_of, hold, is_measured, records_of
from dispatch.tuning.database import TuningWarning
from dispatch.tuning.progress import bar
from dispatch.tuning.race import Effort
from dispatch.tuning.record import Record
from dispatch.tuning.records import Records, records
from dispatch.tuning.turn import turn

__all__ = ["TOTAL_SECONDS", "Tuning", "measure", "merged", "tune"]

TOTAL_SECONDS = 300.0


@dataclass(frozen=True)
class Tuning:
    """What is known of problems that were to be tuned; prints as a table.

    Parameters
    ----------
    records
        Each problem's records, the fastest first.
    measured
        How many problems were measured now; of the others records were there.
    left
        Problems that the time didn't suffice for.
    """

    records: Mapping[Problem, tuple[Record, ...]]
    measured: int
    left: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "problems": [
                {"problem": problem.to_dict(), "records": [r.to_dict() for r in found]}
                for problem, found in self.records.items()
            ],
            "measured": self.measured,
            "left": [problem.to_dict() for problem in self.left],
        }

    def __str__(self) -> str:
        lines = []
        for problem, found in self.records.items():
            lines.append(str(problem))
            lines += [
                f"  {'failed' if math.isinf(r.seconds) else f'{r.seconds * 1e6:.1f} µs':>12}  "
                f"±{r.spread:.0%}  {r.kernel}"
                for r in found
            ]
        lines += [f"{problem}: not measured, the time was over" for problem in self.left]
        return "\n".join(lines)

    __repr__ = __str__


def merged(first: Tuning, second: Tuning) -> Tuning:
    """Return what two turns of tuning found together."""
    return Tuning(
        {**first.records, **second.records},
        first.measured + second.measured,
        (*first.left, *second.left),
    )


def tune(
    *calls: Callable[[], Any],
    seconds: float = TOTAL_SECONDS,
    again: bool = False,
    progress: bool | None = None,
) -> Tuning:
    """Measure every kernel that may serve the given calls, and keep the times.

    Each call is made once, under the settings in force, to see which problems
    it has. Then all kernels that say yes to a problem are timed in turns, on
    random values; those that fall behind early are left behind. The times are
    kept in one file for each user (``python -m dispatch tuned list``) and used
    by calls under ``dispatch.using(tuned=True)``, and by no others.

    Parameters
    ----------
    *calls
        Functions of no arguments that call operators.
    seconds
        Bound on the time for all; what isn't measured by then is left out.
    again
        Measure also what there are records of.
    progress
        Show a bar; None: if standard error is a terminal.

    Returns
    -------
    Tuning
        The records; prints as a table.

    Raises
    ------
    InvalidArgument
        If nothing was given that can be called, or `seconds` isn't positive.

    Examples
    --------
    >>> dispatch.tune(lambda: dispatch.conv2d(x, w, pads=1))
    >>> with dispatch.using(tuned=True):
    ...     y = dispatch.conv2d(x, w, pads=1)
    """
    for number, function in enumerate(calls):
        if not callable(function):
            raise InvalidArgument(
                f"calls: expected functions of no arguments, got {function!r} at {number}"
            )
    if not calls:
        raise InvalidArgument("calls: expected at least one function, got none")
    asked: dict[tuple[Problem, Settings], None] = {}
    for function in calls:
        with observing(lambda problem: asked.setdefault((problem, settings()))):
            function()
    forget_observed()
    contests = [contest_of(problem, setting) for problem, setting in asked]
    return measure(contests, seconds=seconds, again=again, progress=progress)


def measure(
    contests: Sequence[Contest],
    *,
    seconds: float = TOTAL_SECONDS,
    again: bool = False,
    progress: bool | None = None,
    effort: Effort | None = None,
    kept: Records | None = None,
) -> Tuning:
    """Hold contests that there are no records of, and keep the times.

    One process of this user measures at a time: others wait for their turn, and
    then find its records.

    Parameters
    ----------
    contests
        Whose times are wanted.
    seconds, again, progress
        As in `tune`.
    effort
        How long for each contest.
    kept
        Where records are kept; None: the user's file.
    """
    if not seconds > 0:
        raise InvalidArgument(f"seconds: expected a positive number, got {seconds!r}")
    kept = records() if kept is None else kept
    kept.refresh()
    end = time.monotonic() + seconds
    measured, left = 0, []
    with bar(progress) as show:
        for done, contest in enumerate(contests):
            show(str(contest.problem), done, len(contests))
            if not again and is_measured(contest, kept):
                continue
            if time.monotonic() >= end:
                left.append(contest.problem)
            else:
                measured += _measure_in_turn(contest, again, effort or Effort(), kept)
    if left:
        warnings.warn(
            f"{len(left)} of {len(contests)} problems were not measured in {seconds:g} seconds; "
            f"kernels are chosen for them by their expected cost",
            TuningWarning,
            stacklevel=3,
        )
    found: dict[Problem, tuple[Record, ...]] = {}
    for contest in contests:
        known = sorted(records_of(contest, kept), key=lambda r: r.seconds)
        if known and is_measured(contest, kept):
            found[contest.problem] = tuple(known)
    return Tuning(found, measured, tuple(left))


def _measure_in_turn(contest: Contest, again: bool, effort: Effort, kept: Records) -> bool:
    """Hold one contest; False if another process did while this one waited."""
    with turn(kept.database.turn_path) as waited:
        if waited and not again:
            kept.refresh()
            if is_measured(contest, kept):
                return False
        kept.add(hold(contest, effort))
    return True
