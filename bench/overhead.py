"""What a call costs beside its kernel: eager calls, and operators within a replay."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from bench.alternation import Worker, alternate, asking, start
from bench.case import Case, cases_of
from bench.check import check, expect
from bench.engines.base import ANY_PACK, CHAIN
from bench.errors import Refused
from bench.machine import Limits, measured
from bench.plan import Plan, environment_of, packs_of
from bench.results import Measurement, Report
from bench.suite import SEED, measure_cases
from dispatch.context import using
from dispatch.tuning.values import arrays_of

__all__ = ["per_operator", "run_overhead"]

SHORT, LONG = 32, 288
"""Lengths of the chains: their difference holds no cost that comes once a call."""

EAGER_OPERATORS = ("conv2d", "relu", "add", "matmul")
CHAINED_OPERATORS = ("tanh", "conv2d")
SHAPES = "tiny"


def run_overhead(plan: Plan, threads: int, progress: Callable[[str, int, int], None]) -> Report:
    """Measure eager calls against the peers', and what a replay adds to an operator.

    Raises
    ------
    WrongResult
        If a result is wrong.
    BenchError
        If a peer isn't there.
    """
    packs = packs_of(plan)
    environment = environment_of(plan, packs)
    limits = measured(threads)
    with using(device=plan.device, threads=threads):
        eager = [c for op in EAGER_OPERATORS for c in cases_of(op, SHAPES)]
        chained = [c for op in CHAINED_OPERATORS for c in cases_of(op, SHAPES)]
    eager = [replace(c, name=f"{c.name} t{threads}", label=f"{_op(c)} {c.label}") for c in eager]
    engines = [ANY_PACK, *plan.peers]
    with ExitStack() as stack:
        workers = {e: stack.enter_context(start(e, threads, environment)) for e in engines}
        versions = {
            e: w.ask({"do": "open", "engine": e, "threads": threads})[0]["version"]
            for e, w in workers.items()
        }
        measurements, refusals = measure_cases(eager, workers, plan.schedule, limits, progress)
    findings = []
    for pack in packs:
        for case in chained:
            progress(f"replay {pack} {_op(case)}", 0, 1)
            try:
                found, beyond = _chain(plan, threads, pack, case, environment, limits)
            except Refused as error:
                refusals[case.name, pack] = str(error)
                continue
            measurements += found
            findings.append(
                {
                    "what": f"replay: time beyond {pack}'s kernel for {_op(case)} {case.label}, "
                    f"an operator",
                    "value": beyond,
                    "unit": "seconds",
                }
            )
    names = list(dict.fromkeys([*engines, *(m.engine for m in measurements)]))
    settings = {
        "engines": names,
        "versions": versions,
        "threads": threads,
        "environment": environment,
        "seconds": plan.schedule.seconds,
        "machine": limits.machine,
        "findings": findings,
    }
    title = (
        f"overhead, {threads} thread{'s' if threads > 1 else ''}, {plan.device}; {ANY_PACK} and "
        f"peers: whole calls, weights constant; kernel: a pack's own time in C; {CHAIN}N: a "
        f"replay of N in a row; medians of rounds in turns"
    )
    return Report(title, settings, measurements, refusals)


def _op(case: Case) -> str:
    return case.problem.operator


def _chain(
    plan: Plan, threads: int, pack: str, case: Case, environment: dict[str, str], limits: Limits
) -> tuple[list[Measurement], float]:
    names = [pack, f"{pack}:{CHAIN}{SHORT}", f"{pack}:{CHAIN}{LONG}"]
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        extra: dict[str, dict[str, Any]] = {}
        expected = expect(case.problem, arrays_of(case.problem, SEED))
        for name in [f"{pack}:{CHAIN}1", *names]:
            worker = stack.enter_context(start(name, threads, environment))
            worker.ask({"do": "open", "engine": name, "threads": threads})
            message = {"do": "prepare", "problem": case.problem.to_dict(), "seed": SEED}
            reply, outputs = worker.ask(message)
            if name in (pack, f"{pack}:{CHAIN}1"):
                check(name, case.problem, outputs, expected)
            if name in names:
                workers[name], extra[name] = worker, reply["information"]
        rounds = alternate(names, asking(workers), plan.schedule)
    figures = rounds.figures(plan.schedule.clock, threads, plan.schedule.least)
    label = f"replay of {_op(case)} {case.label}, {pack}"
    measurements = [
        Measurement(
            f"replay/{case.name} {pack} t{threads}",
            shown,
            tuple(figures.seconds[name]),
            rounds.iterations[name],
            {"label": label, "count": 1, "busy": figures.busy, "clock": str(figures.clock)}
            | {"rounds_left_out": figures.left_out, **extra[name]},
        )
        for name, shown in zip(names, ("kernel", f"{CHAIN}{SHORT}", f"{CHAIN}{LONG}"), strict=True)
    ]
    return measurements, per_operator(*(figures.seconds[name] for name in names))


def per_operator(kernel: list[float], short: list[float], long: list[float]) -> float:
    """Return the median time that a replay adds to each operator's kernel.

    Parameters
    ----------
    kernel
        One kernel's own time in each round.
    short, long
        Those of replays of `SHORT` and `LONG` operators.
    """
    return statistics.median(
        (b - a) / (LONG - SHORT) - k for k, a, b in zip(kernel, short, long, strict=True)
    )
