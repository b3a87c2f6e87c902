"""Timing entrants against each other: in turns, and no longer than each is in the running.

One after the other they run a round each, and the order turns. After each stage
those that can't win any more leave (successive halving): the slower half of a
class, and who is further behind its leader than so few rounds leave in doubt. So
most of the time goes to those that are hard to tell apart. What decides who leaves
is each one's least time, and who wasn't given an undisturbed round yet stays.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from dispatch.errors import KernelFailed
from dispatch.tuning.quiet import waited_seconds

__all__ = ["Effort", "Entrant", "Timing", "race"]

QUIET = 0.05
"""A round counts if its threads waited for a CPU for less than this part of it."""
STAGES: tuple[tuple[int, float], ...] = ((1, 2.0), (3, 1.3), (5, 1.1))
"""After so many rounds those leave that take longer than the leader of their class by more than
this factor."""
FIRST = 4.0
"""A first run with cold caches may take so many times as long as those that follow."""
COLD = 0.1
"""Seconds that a first run may take whatever the others take: it may be disturbed."""
ENOUGH = 3
"""Quiet rounds that a median needs."""
PATIENCE = 3
ALIKE = 1.03
"""Nobody leaves who is nearer than this to the leader, in whatever half."""
HOPELESS = 8.0
"""A class whose leader takes so many times as long as the best of all isn't looked at further."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Parameters
    ----------
    seconds
        Of one race, about; three times that on a busy machine, until there are enough quiet
        rounds.
    round_seconds
        Least length of a round.
    rounds
        Quiet rounds that those get who stay to the end.
    """

    seconds: float = 1.0
    round_seconds: float = 0.005
    rounds: int = 15


@dataclass(slots=True)
class Entrant:
    """Something to be timed.

    Parameters
    ----------
    run
        ``run(iterations)`` runs so many times.
    group
        Its class: only those of one class are alternatives to each other.
    failed
        It can't run.
    """

    run: Callable[[int], None]
    group: Hashable = None
    failed: bool = False
    iterations: int = 1
    seconds: list[float] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def quiet(self) -> list[float]:
        """Return the times of the rounds that nobody disturbed."""
        return [s for s, w in zip(self.seconds, self.waited, strict=True) if w < QUIET]

    def least(self) -> float:
        """Return the least time of all rounds: others can only slow it down."""
        return math.inf if self.failed or not self.seconds else min(self.seconds)

    def timing(self) -> Timing:
        """Return the median of the quiet rounds; where there are few, the least time of all."""
        if self.failed or not self.seconds:
            return Timing(math.inf, 0.0, 0)
        quiet = self.quiet()
        figures = quiet if len(quiet) >= ENOUGH or len(quiet) == len(self.seconds) else self.seconds
        low, middle, high = (
            statistics.quantiles(figures, n=4, method="inclusive")
            if len(figures) > 1
            else figures * 3
        )
        seconds = middle if figures is quiet else min(figures)
        return Timing(seconds, (high - low) / middle, len(quiet))


@dataclass(frozen=True, slots=True)
class Timing:
    """What a race says of an entrant.

    Parameters
    ----------
    seconds
        The median of the quiet rounds, or the least time where there were few of them; infinite
        if it failed.
    spread
        The distance between the quartiles as a part of the median.
    rounds
        How many rounds were quiet.
    """

    seconds: float
    spread: float
    rounds: int


def race(
    entrants: Sequence[Entrant],
    effort: Effort,
    clock: Callable[[], float] = time.perf_counter,
    waited: Callable[[], float | None] = waited_seconds,
) -> list[Timing]:
    """Time entrants in turns.

    Parameters
    ----------
    entrants
        Fresh ones. One whose `run` raises `KernelFailed` is out.
    effort
        How long.
    clock, waited
        The time, and how long this process has waited for a CPU; None: unknown.

    Returns
    -------
    list of Timing
        In the entrants' order.
    """
    best = math.inf
    for entrant in entrants:
        _fit(entrant, best, effort, clock, waited)
        best = min(best, entrant.least())
    running = _in_running(entrants, HOPELESS, halve=False)
    number, start = 0, clock()
    while running and not _over(running, number, clock() - start, effort):
        shift = number // 2 % len(running)
        turned = [*running[shift:], *running[:shift]]
        for entrant in turned[::-1] if number % 2 else turned:
            _round(entrant, clock, waited)
        number += 1
        for after, factor in STAGES:
            if number == after:
                running = _in_running(running, factor, halve=True)
    return [entrant.timing() for entrant in entrants]


def _over(running: Sequence[Entrant], number: int, passed: float, effort: Effort) -> bool:
    """Say whether those in the running are known well enough, or the time has passed."""
    quiet = min(len(entrant.quiet()) for entrant in running)
    if number < ENOUGH:
        return False
    if number >= effort.rounds and quiet >= effort.rounds:
        return True
    return passed > effort.seconds * (1 if quiet >= ENOUGH else PATIENCE)


def _fit(
    entrant: Entrant,
    best: float,
    effort: Effort,
    clock: Callable[[], float],
    waited: Callable[[], float | None],
) -> None:
    """Warm an entrant up and find how many iterations fill a round: its first figure.

    Who is hopeless beside the `best` so far isn't run a second time.
    """
    # The first figure of a short run is mostly the clock's and cold caches', and any may be
    # disturbed: the least is kept.
    for _ in range(3):
        _round(entrant, clock, waited)
        if entrant.failed:
            return
        if len(entrant.seconds) > 1:
            worse = 0 if entrant.seconds[0] >= entrant.seconds[1] else 1
            del entrant.seconds[worse], entrant.waited[worse]
        least = entrant.least()
        if least > max(FIRST * HOPELESS * best, COLD):
            return
        entrant.iterations = max(1, math.ceil(effort.round_seconds / least))


def _round(
    entrant: Entrant, clock: Callable[[], float], waited: Callable[[], float | None]
) -> None:
    try:
        before, start = waited(), clock()
        entrant.run(entrant.iterations)
        seconds, after = clock() - start, waited()
    except KernelFailed:
        entrant.failed = True
        return
    lost = 0.0 if before is None or after is None else (after - before) / max(seconds, 1e-9)
    entrant.seconds.append(max(seconds, 1e-9) / entrant.iterations)
    entrant.waited.append(lost)


def _in_running(entrants: Sequence[Entrant], factor: float, halve: bool) -> list[Entrant]:
    """Return those that may still win their class, of the classes that aren't hopeless."""
    classes: dict[Hashable, list[Entrant]] = {}
    for entrant in entrants:
        if math.isfinite(entrant.least()):
            classes.setdefault(entrant.group, []).append(entrant)
    best = min((e.least() for members in classes.values() for e in members), default=0.0)
    kept: list[Entrant] = []
    for members in classes.values():
        ranked = sorted(members, key=Entrant.least)
        leader = ranked[0].least()
        half = max(2, (len(ranked) + 1) // 2) if halve else len(ranked)
        kept += [
            e
            for rank, e in enumerate(ranked)
            if (
                leader <= HOPELESS * best
                and e.least() <= leader * (factor if rank < half else ALIKE)
            )
            or (not e.quiet() and e.least() <= FIRST * HOPELESS * best)
        ]
    return kept
