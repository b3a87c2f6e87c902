"""The three roads timed in turns, each in a process of its own, and their outputs compared."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.alternation import Clock, Schedule, Turn, Worker, alternate
from bench.demo.native import NativeReplay
from bench.demo.worker import EAGER, PEER
from bench.models import TOLERANCE
from bench.statistics import paired_ratio
from dispatch.operator import Array

__all__ = ["REPLAY", "Road", "Roads", "time_roads"]

REPLAY = "replay"
WORKER = "bench.demo.worker"


@dataclass(frozen=True, slots=True)
class Road:
    """How one engine did.

    Parameters
    ----------
    name
        The engine.
    seconds
        The median of its rounds.
    ratio
        To ONNX Runtime's, round by round.
    difference
        The largest one of its output from ONNX Runtime's.
    """

    name: str
    seconds: float
    ratio: float
    difference: float


@dataclass(frozen=True, slots=True)
class Roads:
    """How all of them did.

    Parameters
    ----------
    roads
        One an engine, ONNX Runtime last.
    rounds
        How many rounds there were.
    allowed
        The largest difference that is all right.
    output
        The replay's.
    """

    roads: tuple[Road, ...]
    rounds: int
    allowed: float
    output: Array

    @property
    def agree(self) -> bool:
        """No output differs by more than is allowed."""
        return all(road.difference <= self.allowed for road in self.roads)


def time_roads(
    native: NativeReplay, load: Mapping[str, object], threads: int, seconds: float
) -> Roads:
    """Run the engines in turns.

    Parameters
    ----------
    native
        The replay without Python.
    load
        What the other engines' processes are told to load.
    threads
        For each engine.
    seconds
        How long to measure, all engines together.
    """
    with ExitStack() as stack:
        workers, outputs = {}, {}
        for engine in (EAGER, PEER):
            worker = Worker(
                engine, (sys.executable, "-m", WORKER), {"OMP_NUM_THREADS": str(threads)}
            )
            workers[engine] = stack.enter_context(worker)
            _, (outputs[engine], *_) = worker.ask(
                {**load, "do": "load", "engine": engine, "threads": threads}
            )
        outputs[REPLAY] = native.result(outputs[PEER].shape)

        def run(engine: str, iterations: int, warm: int) -> Turn:
            if engine == REPLAY:
                return native.run(iterations)
            message = {"do": "run", "iterations": iterations, "warm": warm, "threads": threads}
            reply, _ = workers[engine].ask(message)
            return Turn(reply["seconds"] / iterations, reply["cpu_seconds"] / iterations)

        order = (PEER, REPLAY, EAGER)
        schedule = Schedule(
            seconds, round_seconds=0.1, least=5, settle_seconds=0.05, clock=Clock.WALL
        )
        rounds = alternate(order, run, schedule)
    times = {engine: [turn.seconds for turn in rounds.turns[engine]] for engine in order}
    roads = tuple(
        Road(
            engine,
            median(times[engine]),
            paired_ratio(times[engine], times[PEER]).value if engine != PEER else 1.0,
            float(np.abs(outputs[engine].astype(np.float64) - outputs[PEER]).max()),
        )
        for engine in (EAGER, REPLAY, PEER)
    )
    allowed = TOLERANCE["high"] * float(np.abs(outputs[PEER]).max())
    return Roads(roads, rounds.count, allowed, outputs[REPLAY])
