"""Timing operators: every case on every engine, checked first, then in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from bench.alternation import Schedule, Worker, alternate, asking, start
from bench.case import Case
from bench.check import check, expect
from bench.errors import CaseError, Refused
from bench.machine import Limits, limit_seconds
from bench.results import Measurement, Report
from dispatch.machine import this_machine
from dispatch.operators import operators
from dispatch.tuning.values import arrays_of

__all__ = ["measure_cases", "run_cases"]

SEED = 20
Progress = Callable[[str, int, int], None]


def run_cases(
    cases: Sequence[Case],
    engines: Sequence[str],
    threads: int,
    schedule: Schedule,
    environment: Mapping[str, str],
    limits: Limits | None,
    title: str,
    progress: Progress,
    cold: bool = False,
) -> Report:
    """Start the engines' processes and measure the cases.

    Parameters
    ----------
    cases
        What to time.
    engines
        Names, as `bench.engines` describes them.
    threads
        Of every engine.
    schedule
        How long.
    environment
        Variables for the processes.
    limits
        The machine's peaks; None: those of another device.
    title
        For the report.
    progress
        Called with a case's label, how many are done and how many there are.
    cold
        Empty the caches before each run.

    Raises
    ------
    WrongResult
        If an engine's result is wrong: nothing is reported then.
    BenchError
        If an engine isn't there, or its process fails.
    """
    with ExitStack() as stack:
        workers = {name: stack.enter_context(start(name, threads, environment)) for name in engines}
        versions = {
            name: worker.ask({"do": "open", "engine": name, "threads": threads})[0]["version"]
            for name, worker in workers.items()
        }
        measurements, refusals = measure_cases(cases, workers, schedule, limits, progress, cold)
    settings = {
        "engines": list(engines),
        "versions": versions,
        "threads": threads,
        "environment": dict(environment),
        "seconds": schedule.seconds,
        "machine": this_machine().id,
    }
    if limits is not None:
        settings |= {"peak_flops": limits.peak, "bandwidth": limits.bandwidth}
    return Report(title, settings, measurements, refusals)


def measure_cases(
    cases: Sequence[Case],
    workers: Mapping[str, Worker],
    schedule: Schedule,
    limits: Limits | None,
    progress: Progress,
    cold: bool = False,
) -> tuple[list[Measurement], dict[tuple[str, str], str]]:
    """Measure the cases on processes that are open; `run_cases` without the processes."""
    measurements: list[Measurement] = []
    refusals: dict[tuple[str, str], str] = {}
    for number, case in enumerate(cases):
        progress(case.label, number, len(cases))
        expected = expect(case.problem, arrays_of(case.problem, SEED))
        extra: dict[str, dict[str, Any]] = {}
        for name, worker in workers.items():
            try:
                reply, outputs = worker.ask(
                    {
                        "do": "prepare",
                        "problem": case.problem.to_dict(),
                        "seed": SEED,
                        "cold": cold,
                    }
                )
            except Refused as error:
                refusals[case.name, name] = str(error)
                continue
            worst = check(name, case.problem, outputs, expected)
            extra[name] = {**reply["information"], "error": worst}
        del expected
        if not extra:
            reasons = "\n".join(refusals[case.name, name] for name in workers)
            raise CaseError(f"no engine serves {case.name}:\n{reasons}")
        measurements += _measure(case, list(extra), workers, schedule, limits, extra)
    progress("", len(cases), len(cases))
    return measurements, refusals


def _measure(
    case: Case,
    engines: Sequence[str],
    workers: Mapping[str, Worker],
    schedule: Schedule,
    limits: Limits | None,
    extra: Mapping[str, Mapping[str, Any]],
) -> list[Measurement]:
    rounds = alternate(engines, asking(workers), schedule)
    figures = rounds.figures(schedule.clock, case.problem.threads, schedule.least)
    schema = operators()[case.problem.operator]
    least, binds = (0.0, "") if limits is None else limit_seconds(case.problem, limits)
    common = {
        "label": case.label,
        "count": case.count,
        "problem": case.problem.to_dict(),
        "flops": schema.flops(case.problem),
        "bytes": schema.bytes_moved(case.problem),
        "limit_seconds": least,
        "limit": binds,
        "clock": str(figures.clock),
        "rounds_left_out": figures.left_out,
        "busy": figures.busy,
    }
    return [
        Measurement(
            case.name,
            name,
            tuple(figures.seconds[name]),
            rounds.iterations[name],
            {**common, **extra[name]},
        )
        for name in engines
    ]
