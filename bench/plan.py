"""What ``bench run`` is asked for: which engines, which cases, under which settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from bench.alternation import Schedule
from bench.engines.base import ANY_PACK, DIRECT, EAGER, TUNED
from bench.engines.direct import direct_module
from bench.errors import CaseError
from dispatch.answer import Yes
from dispatch.context import Settings
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.selection import candidates, serving

__all__ = ["Mode", "Plan", "Subject", "engines_of", "environment_of", "packs_of"]


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
