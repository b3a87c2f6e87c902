"""From a command line to a report: which engines, which cases, under which settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import cast

from bench.alternation import Clock, Schedule
from bench.case import Case, cases_of, label_of
from bench.emulation.suite import is_emulated, run_emulated
from bench.engines.base import ANY_PACK, DIRECT, EAGER, PEERS, TUNED
from bench.engines.direct import direct_module
from bench.errors import CaseError
from bench.machine import measured
from bench.results import Report
from bench.suite import run_cases
from dispatch.answer import Yes
from dispatch.context import Settings, using
from dispatch.devices import host_family, is_cpu, located
from dispatch.dtypes import SHORT_NAMES
from dispatch.problem import Precision, Problem
from dispatch.registry import registry
from dispatch.selection import candidates, serving

__all__ = ["Mode", "Plan", "Subject", "carry_out", "engines_of", "environment_of", "packs_of"]

Progress = Callable[[str, int, int], None]


class Mode(StrEnum):
    """How our packs are timed."""

    KERNEL = "kernel"
    EAGER = "eager"
    BOTH = "both"


class Subject(StrEnum):
    """What is timed."""

    OPERATORS = "operators"
    MODELS = "models"
    OVERHEAD = "overhead"


@dataclass(frozen=True)
class Plan:
    """The options of ``bench run``; `device_id`: which of a device's several."""

    subject: Subject = Subject.OPERATORS
    op: str = "conv2d"
    shapes: str = "resnet50"
    problem: str | None = None
    models: tuple[str, ...] = ()
    model_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    memory: bool = False
    device: str = "cpu"
    device_id: int = 0
    cold: bool = False
    cpu: str | None = None
    packs: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    direct: bool = False
    tuned: bool = False
    mode: Mode = Mode.KERNEL
    dtype: str = "f32"
    precision: str = "high"
    level: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None
    schedule: Schedule = field(default_factory=Schedule)

    @property
    def device_name(self) -> str:
        """The device, and which of several if it isn't the first."""
        return f"{self.device}:{self.device_id}" if self.device_id else self.device


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
        from bench.models import run_models

        return run_models(timed, threads, progress)
    if plan.subject is Subject.OVERHEAD:
        from bench.overhead import run_overhead

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
        title_of(plan, threads),
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


def packs_of(plan: Plan) -> tuple[str, ...]:
    """Return the names of the packs to time: those asked for, or all here for the device."""
    here = tuple(p.name for p in serving(plan.device, None, registry()) if p.available)
    if not plan.packs:
        return here
    unknown = [p for p in plan.packs if p not in here]
    if unknown:
        reasons = {p.name: p.reason for p in registry().packs if p.reason}
        raise CaseError(
            f"packs: expected some of {', '.join(here)}, got "
            + "; ".join(f"{name!r} {reasons.get(name, '')}".strip() for name in unknown)
        )
    return plan.packs


def engines_of(plan: Plan, packs: tuple[str, ...], problem: Problem) -> list[str]:
    """Return the names of the engines, ours first: for one problem every kernel that serves it."""
    engines: list[str] = []
    if plan.mode in (Mode.KERNEL, Mode.BOTH):
        engines += packs if plan.problem is None else _kernels(packs, problem)
    if plan.mode in (Mode.EAGER, Mode.BOTH):
        engines += [f"{pack}:{EAGER}" for pack in packs]
        engines += [ANY_PACK] if len(packs) > 1 else []
    if plan.direct:
        offering = [f"{pack}:{DIRECT}" for pack in packs if direct_module(pack) is not None]
        if not offering:
            raise CaseError(f"direct: none of {', '.join(packs)} offers its library's direct calls")
        engines += offering
    if plan.tuned:
        engines.append(f"{ANY_PACK}:{TUNED}")
    return [*engines, *plan.peers]


def _kernels(packs: tuple[str, ...], problem: Problem) -> list[str]:
    """Return the names of the kernels that serve a problem, the one that would be chosen first."""
    asked = candidates(problem, Settings(device=problem.device, packs=packs), registry())
    names = [c.kernel.name for c in asked if isinstance(c.answer, Yes)]
    if not names:
        reasons = "".join(f"\n  {c.kernel.name}: {c.answer}" for c in asked)
        raise CaseError(f"problem: no kernel of {', '.join(packs)} serves {problem}{reasons}")
    return names


def check_base(base: str | None, engines: Sequence[str]) -> None:
    """Raise `CaseError` if ratios are asked for to an engine that doesn't take part."""
    if base is not None and base not in engines:
        raise CaseError(f"base: expected one of {', '.join(engines)}, got {base!r}")


def environment_of(plan: Plan, packs: tuple[str, ...]) -> dict[str, str]:
    """Return the variables for the engines' processes; `Plan.environment` wins."""
    held = {f"DISPATCH_{p.upper()}_LEVEL": plan.level for p in packs if plan.level is not None}
    return {**held, **plan.environment}


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


def title_of(plan: Plan, threads: int) -> str:
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
