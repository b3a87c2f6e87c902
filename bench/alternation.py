"""Engines taking turns: one process each, round by round, until the ratios are known.

While one engine runs a round the others sleep, so that no thread pool spins
beside it; the order turns from round to round, so that no engine always
follows the same one.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import bench.errors
from bench.errors import WorkerFailed
from bench.protocol import receive, send
from bench.statistics import paired_ratio
from dispatch.operator import Array

__all__ = [
    "Clock",
    "Figures",
    "Rounds",
    "Schedule",
    "Turn",
    "Worker",
    "alternate",
    "asking",
    "order",
    "start",
]


class Worker:
    """An engine's process.

    Parameters
    ----------
    engine
        Its name.
    command
        What starts it; it speaks `bench.protocol` on its standard streams.
    environment
        Variables beside this process's own.
    """

    def __init__(self, engine: str, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.engine = engine
        self._process = subprocess.Popen(  # noqa: S603 -- our own module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        )

    @property
    def process_id(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, message: Mapping[str, Any]) -> tuple[dict[str, Any], list[Array]]:
        """Send a message and wait for the answer.

        Raises
        ------
        BenchError
            The class that the process reported; `WorkerFailed` if it ended.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            send(stdin, message)
            reply, arrays = receive(stdout)
        except (EOFError, BrokenPipeError) as error:
            status = self._process.wait()
            raise WorkerFailed(
                f"{self.engine}: its process ended with status {status} at {message['do']!r}"
            ) from error
        kind = reply.pop("error", None)
        if kind is not None:
            raise getattr(bench.errors, kind)(f"{self.engine}: {reply['message']}")
        return reply, arrays

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        if self._process.stdout is not None:
            self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *unused: object) -> None:
        self.close()


def start(engine: str, threads: int, environment: Mapping[str, str]) -> Worker:
    """Start an engine's process on this machine."""
    return Worker(
        engine,
        (sys.executable, "-P", "-m", "bench.worker"),
        {"OMP_NUM_THREADS": str(threads), **environment},
    )


PATIENCE = 3
QUIET = 0.95


class Clock(StrEnum):
    """What a round's time is."""

    AUTO = "auto"
    WALL = "wall"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Figures:
    """The times to go by.

    Parameters
    ----------
    seconds
        Each engine's, round by round, the same rounds for all.
    clock
        `Clock.WALL` or `Clock.CPU`.
    left_out
        How many rounds were not quiet and are missing.
    busy
        There were too few quiet rounds.
    """

    seconds: Mapping[str, list[float]]
    clock: Clock
    left_out: int
    busy: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long to measure.

    Parameters
    ----------
    seconds
        Budget of one case, all engines together; three times that on a busy
        machine, until there are enough quiet rounds.
    round_seconds
        Least length of one engine's round.
    least, most
        Bounds of the number of rounds; `least` are quiet, if the time allows.
    precision
        Stop when every ratio's interval is within this part of its value.
    settle_seconds
        Pause before each turn, for the other engines' threads to go to sleep.
    clock
        What a round's time is.
    """

    seconds: float = 2.0
    round_seconds: float = 0.005
    least: int = 7
    most: int = 1000
    precision: float = 0.005
    settle_seconds: float = 0.0
    clock: Clock = Clock.AUTO


@dataclass(frozen=True, slots=True)
class Turn:
    """One engine's round.

    Parameters
    ----------
    seconds
        Of one iteration.
    cpu_seconds
        CPU time of one iteration, all threads.
    waited_seconds
        Time of one iteration in which a thread could have run and had no CPU,
        all threads; None where the system doesn't tell.
    """

    seconds: float
    cpu_seconds: float
    waited_seconds: float | None = None

    @property
    def utilisation(self) -> float:
        """CPUs that were busy with it."""
        return self.cpu_seconds / self.seconds

    def quietness(self, best: float) -> float:
        """Return how undisturbed it was, up to 1.

        What a thread waited for a CPU says so exactly. Else the utilisation
        as a part of the engine's `best`: it drops where another process took a
        CPU, but is as coarse as the system's tick with several threads.
        """
        if self.waited_seconds is not None:
            return max(0.0, 1.0 - self.waited_seconds / self.seconds)
        return self.utilisation / best if best else 1.0


@dataclass
class Rounds:
    """What was measured for one case."""

    iterations: dict[str, int]
    turns: dict[str, list[Turn]] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Rounds, quiet or not."""
        return min((len(turns) for turns in self.turns.values()), default=0)

    def quietness(self) -> list[float]:
        """Return for each round how undisturbed its most disturbed turn was, up to 1."""
        if not self.count:
            return []
        best = {e: max(t.utilisation for t in turns) for e, turns in self.turns.items()}
        return [
            min(turns[i].quietness(best[e]) for e, turns in self.turns.items())
            for i in range(self.count)
        ]

    def quiet(self, least: int = 0) -> list[int]:
        """Return the rounds in which no engine was disturbed; the `least` quietest at least."""
        ranked = sorted(enumerate(self.quietness()), key=lambda pair: -pair[1])
        undisturbed = sum(value >= QUIET for _, value in ranked)
        return sorted(index for index, _ in ranked[: max(least, undisturbed)])

    def seconds(self, engine: str, rounds: Sequence[int]) -> list[float]:
        """Return an engine's time in some of the rounds."""
        return [self.turns[engine][i].seconds for i in rounds]

    def figures(self, clock: Clock, threads: int, least: int) -> Figures:
        """Return the times to go by, and where they come from.

        By `Clock.AUTO` those of the quiet rounds; if there are fewer than
        `least`, and with one thread, the CPU time of all rounds, from which
        other processes take nothing but caches.
        """
        quiet = self.quiet()
        busy = len(quiet) < least
        if clock is Clock.CPU or (clock is Clock.AUTO and busy and threads == 1):
            cpu = {e: [t.cpu_seconds / threads for t in turns] for e, turns in self.turns.items()}
            return Figures(cpu, Clock.CPU, 0, busy)
        kept = self.quiet(least)
        wall = {e: self.seconds(e, kept) for e in self.turns}
        return Figures(wall, Clock.WALL, self.count - len(kept), busy)


def order(engines: Sequence[str], number: int) -> list[str]:
    """Return the engines' order in a round: it turns, and runs backwards every other time."""
    if not engines:
        return []
    shift = number // 2 % len(engines)
    turned = [*engines[shift:], *engines[:shift]]
    return turned[::-1] if number % 2 else turned


def alternate(
    engines: Sequence[str],
    run: Callable[[str, int, int], Turn],
    schedule: Schedule,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Rounds:
    """Let the engines take turns.

    Parameters
    ----------
    engines
        Their names; ratios are to the first.
    run
        ``run(engine, iterations, warm)`` runs a round after `warm` iterations
        that don't count, and returns one iteration's share.
    schedule
        When to stop.
    clock, sleep
        The time, and how it passes.
    """
    rounds = Rounds({}, {engine: [] for engine in engines})
    for engine in engines:
        rounds.iterations[engine] = _fitting(engine, run, schedule)
    start = clock()
    for number in range(schedule.most):
        if _enough(rounds, schedule, clock() - start):
            break
        for engine in order(engines, number):
            if schedule.settle_seconds and len(engines) > 1:
                sleep(schedule.settle_seconds)
            iterations = rounds.iterations[engine]
            rounds.turns[engine].append(run(engine, iterations, max(1, iterations // 10)))
    return rounds


def _fitting(engine: str, run: Callable[[str, int, int], Turn], schedule: Schedule) -> int:
    """Return the iterations that fill a round."""
    count = 1
    for _ in range(2):  # the first figure of a short call is mostly the clock's and cold caches'
        once = run(engine, count, 1).seconds
        count = max(1, math.ceil(schedule.round_seconds / max(once, 1e-9)))
    return count


def _enough(rounds: Rounds, schedule: Schedule, passed: float) -> bool:
    """Return whether the time has passed, or every ratio to the first engine is known well."""
    if rounds.count < schedule.least:
        return False
    quiet = rounds.quiet()
    if len(quiet) < schedule.least:
        return passed >= PATIENCE * schedule.seconds
    if passed >= schedule.seconds:
        return True
    if rounds.count % schedule.least or len(rounds.turns) < 2:
        return False
    first, *others = rounds.turns
    base = rounds.seconds(first, quiet)
    return all(
        paired_ratio(rounds.seconds(e, quiet), base).half_width <= schedule.precision
        for e in others
    )


def asking(workers: Mapping[str, Worker]) -> Callable[[str, int, int], Turn]:
    """Return the function that runs a round in the engine's process."""

    def run(engine: str, iterations: int, warm: int) -> Turn:
        reply, _ = workers[engine].ask({"do": "run", "iterations": iterations, "warm": warm})
        waited = reply["waited_seconds"]
        return Turn(
            reply["seconds"] / iterations,
            reply["cpu_seconds"] / iterations,
            None if waited is None else waited / iterations,
        )

    return run
