"""Times by the device's clock, in turns."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from bench.statistics import paired_ratio, relative_spread

__all__ = ["Clock", "Run", "wall_seconds"]

ROUNDS = 11
ROUND_SECONDS = 0.004
MOST = 10_000
"""Of runs in a round."""


@dataclass(frozen=True, slots=True)
class Run:
    """Something to time.

    Parameters
    ----------
    enqueue
        Puts it on the current stream.
    count
        How many times it does what is timed.
    """

    enqueue: Callable[[], Any]
    count: int = 1


class Clock:
    """Events on PyTorch's current stream.

    Parameters
    ----------
    torch
        The module.
    """

    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def seconds(self, run: Run, iterations: int) -> float:
        """Return the device's time for one of what `run` does, of `iterations` runs in a row."""
        before, after = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        self._torch.cuda.current_stream().synchronize()
        before.record()
        for _ in range(iterations):
            run.enqueue()
        after.record()
        after.synchronize()
        milliseconds: float = before.elapsed_time(after)
        return 1e-3 * milliseconds / (iterations * run.count)

    def in_turns(self, runs: Mapping[str, Run], rounds: int = ROUNDS) -> dict[str, list[float]]:
        """Return each run's times, a round of all of them after the other."""
        iterations = {}
        for name, run in runs.items():
            self.seconds(run, 1)
            once = self.seconds(run, 3) * run.count
            iterations[name] = min(max(round(ROUND_SECONDS / max(once, 1e-7)), 1), MOST)
        times: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                times[name].append(self.seconds(run, iterations[name]))
        return times

    def row(self, case: str, ours: str, runs: Mapping[str, Run], **more: Any) -> dict[str, Any]:
        """Time the runs; return medians, their spread, and ours as ratios to each other."""
        times = self.in_turns(runs)
        return {
            "case": case,
            "seconds": {name: statistics.median(found) for name, found in times.items()},
            "spread": {name: relative_spread(found) for name, found in times.items()},
            "ratio_to": {
                name: paired_ratio(times[ours], found).value
                for name, found in times.items()
                if name != ours
            },
            **more,
        }


def wall_seconds(work: Callable[[], Any], runs: int = 200) -> float:
    """Return the median time of a function that waits until it is done."""
    times: Sequence[float] = [_once(work) for _ in range(runs)]
    return statistics.median(times)


def _once(work: Callable[[], Any]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start
