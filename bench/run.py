"""A plan carried out: from options to a report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import cast

from bench.alternation import Clock
from bench.case import Case, cases_of, label_of
from bench.emulation.suite import is_emulated, run_emulated
from bench.engines.base import EAGER, PEERS
from bench.errors import CaseError
from bench.machine import measured
from bench.models import run_models
from bench.overhead import run_overhead
from bench.plan import Mode, Plan, Subject, check_base, engines_of, environment_of, packs_of
from bench.results import Report
from bench.suite import run_cases
from dispatch.context import using
from dispatch.device_names import host_family, is_cpu
from dispatch.devices import located
from dispatch.dtypes import SHORT_NAMES
from dispatch.problem import Precision, Problem

__all__ = ["carry_out"]

Progress = Callable[[str, int, int], None]


def carry_out(plan: Plan, threads: int, progress: Progress) -> Report:
    """Measure what a plan says with one number of threads.

    Raises
    ------
    BenchError
        A wrong result, a wrong option, a missing engine.
    DispatchError
        A device that isn't here, shapes that don't fit.
    """
    if is_emulated(plan.device):
        return _emulated(plan, progress)
    device, device_id = located(plan.device)
    for peer in plan.peers:
        if peer not in PEERS:
            raise CaseError(f"peers: expected some of {', '.join(PEERS)}, got {peer!r}")
    # Threads that have just worked spin for a while before they sleep.
    schedule = replace(plan.schedule, settle_seconds=0.005 if threads > 1 else 0.0)
    if plan.cold and (is_cpu(device) or plan.subject is not Subject.OPERATORS):
        raise CaseError(f"cold: for operators on devices with memory of their own, got {device!r}")
    if not is_cpu(device):
        # What the CPU does meanwhile is no part of the device's time.
        schedule = replace(schedule, clock=Clock.WALL)
    timed = replace(plan, schedule=schedule, device=device, device_id=device_id or 0)
    if plan.subject is Subject.MODELS:
        return run_models(timed, threads, progress)
    if plan.subject is Subject.OVERHEAD:
        return run_overhead(timed, threads, progress)
    return _operators(timed, threads, progress)


def _operators(plan: Plan, threads: int, progress: Progress) -> Report:
    packs = packs_of(plan)
    cases = _cases(plan, threads)
    engines = engines_of(plan, packs, cases[0].problem)
    check_base(plan.base, engines)
    return run_cases(
        cases,
        engines,
        threads,
        plan.schedule,
        environment_of(plan, packs),
        measured(threads) if is_cpu(plan.device) else None,
        _title(plan, threads),
        progress,
        plan.cold,
    )


def _emulated(plan: Plan, progress: Progress) -> Report:
    """Make the cases as for this host, whose problems differ in the device alone."""
    cases = _cases(replace(plan, device=host_family()), 1)
    return run_emulated(
        plan,
        [replace(case, problem=replace(case.problem, device=plan.device)) for case in cases],
        progress,
    )


def _cases(plan: Plan, threads: int) -> list[Case]:
    if plan.problem is not None:
        problem = replace(
            Problem.from_json(plan.problem),
            device=plan.device,
            device_id=plan.device_id,
            threads=threads,
        )
        return [Case(f"problem t{threads} {problem}", label_of(problem), 1, problem)]
    with using(device=plan.device, precision=cast("Precision", plan.precision), threads=threads):
        cases = cases_of(plan.op, plan.shapes, plan.dtype)
    return [
        replace(
            case,
            name=f"{case.name} t{threads}",
            problem=replace(case.problem, device_id=plan.device_id),
        )
        for case in cases
    ]


def _title(plan: Plan, threads: int) -> str:
    """Return the table's head: what is timed, and how."""
    how = {
        Mode.KERNEL: "packs: prepared kernels alone, in the layouts they like, constants packed",
        Mode.EAGER: "packs: whole calls of the public function",
        Mode.BOTH: "packs: prepared kernels alone in the layouts they like; "
        f":{EAGER}: whole calls of the public function",
    }[plan.mode]
    what = "one problem"
    if plan.problem is not None:
        how = "kernels: alone, in the problem's layouts, constants packed"
    else:
        long_names = {short: name for name, short in SHORT_NAMES.items()}
        what = f"{plan.op}, {plan.shapes}, {long_names.get(plan.dtype, plan.dtype)}"
    if not is_cpu(plan.device):
        how += ", by the device's clock"
    return (
        f"{what}, {threads} thread{'s' if threads > 1 else ''}, {plan.device_name}; {how}; "
        f"peers: whole calls on dense arrays; {'cold' if plan.cold else 'warm'} caches; medians of "
        f"rounds in turns, ± the distance between the quartiles"
    )
