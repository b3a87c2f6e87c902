"""What a pack that builds the kernels here answers: refusals, costs, and the plans behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.consistency import is_consistent
from dispatch.dtypes import SHORT_NAMES
from dispatch.operator import Operator
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import ANY, NCHW, NHWC, TensorSpec
from kernels.gpu.catalogue import CATALOGUE, Algorithm
from kernels.gpu.plan import MAX_ELEMENTS, Plan
from kernels.gpu.traits import Traits

__all__ = ["SERVES", "Speed", "answer", "plan_of", "refusal", "seconds_of", "where"]

KEPT_PLANS = 4096

SERVES: tuple[str, ...] = tuple(
    f"{a.operator}.{SHORT_NAMES[dtype]}" for a in CATALOGUE for dtype in a.dtypes
)
"""What the kernels here are for, as packs say it."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What a device is expected to do, whatever its size.

    Parameters
    ----------
    launch
        Seconds of a launch.
    bytes, flops
        A second.
    """

    launch: float
    bytes: float
    flops: float


def seconds_of(
    operator: Operator, problem: Problem, launches: int, slowdown: float, speed: Speed
) -> float:
    """Return the seconds that launches, bytes and operations are expected to take.

    Parameters
    ----------
    slowdown
        How many times as long as the device needs a kernel's operations take.
    """
    return (
        speed.launch * launches
        + operator.bytes_moved(problem) / speed.bytes
        + operator.flops(problem) / speed.flops * slowdown
    )


def answer(algorithm: Algorithm, problem: Problem, traits: Traits, speed: Speed) -> Answer:
    """Plan a problem without building anything; layouts left open become what others have."""
    layouts = _open_layouts(problem, algorithm.layouts)
    plan = plan_of(algorithm, problem.with_layouts(layouts), traits)
    if isinstance(plan, No):
        return plan
    operator = operators()[problem.operator]
    return Yes(
        seconds_of(operator, problem, len(plan.launches), plan.slowdown, speed),
        scratch_bytes=plan.scratch_bytes,
        layouts=layouts if any(layouts) else (),
        may_overwrite=plan.may_overwrite,
    )


@lru_cache(KEPT_PLANS)
def plan_of(algorithm: Algorithm, problem: Problem, traits: Traits) -> Plan | No:
    """Return the plan of a problem in concrete layouts, or the refusal."""
    refused = refusal(algorithm.operator, algorithm.dtypes, problem, traits, algorithm.layouts)
    return refused or algorithm.plan(problem, traits)


def _open_layouts(problem: Problem, served: Sequence[str] = (NCHW,)) -> tuple[str, ...]:
    """Return a layout for each tensor that leaves it open: that of the others, if it's served."""
    given = [t.layout for t in problem.tensors if t is not None]
    choice = NHWC if NHWC in served and NHWC in given else NCHW
    return tuple(choice if t is not None and t.layout == ANY else "" for t in problem.tensors)


def _layout_refusal(present: Sequence[TensorSpec], layouts: Sequence[str]) -> No | None:
    """Refuse layouts that aren't served, and more than one; one element lies in any."""
    for tensor in present:
        if tensor.layout not in (*layouts, ANY):
            return No(NoCode.LAYOUT, "layout", ", ".join(layouts), tensor.layout)
    found = {tensor.layout for tensor in present if tensor.size > 1} - {ANY}
    if len(found) > 1:
        return No(NoCode.LAYOUT, "layouts", "one of all tensors", ", ".join(sorted(found)))
    return None


def refusal(
    operator: str,
    dtypes: Sequence[str],
    problem: Problem,
    traits: Traits,
    layouts: Sequence[str] = (NCHW,),
) -> No | None:
    """Refuse a problem for another operator, dtype or device, one that contradicts itself.

    Parameters
    ----------
    operator, dtypes, layouts
        What the kernel is for.
    """
    if problem.operator != operator or problem.dtype not in dtypes:
        return No(NoCode.DTYPE, "dtype", ", ".join(dtypes), problem.dtype)
    present = [t for t in problem.tensors if t is not None]
    refused = None if operator == "reorder" else _layout_refusal(present, layouts)
    if refused is not None:
        return refused
    for tensor in present:
        if tensor.dtype == "float64" and not traits.has_f64:
            return No(NoCode.DEVICE, "float64", "a device that has it", traits.name)
    if not is_consistent(operators()[operator], problem.with_layouts(_open_layouts(problem))):
        return No(NoCode.SHAPE, "tensors and attributes", "what the operator's rule gives")
    largest = max(tensor.size for tensor in present)
    if largest > MAX_ELEMENTS:
        return No(NoCode.SHAPE, "elements", f"<= {MAX_ELEMENTS}", str(largest))
    return None


def where(algorithm: Algorithm) -> str:
    """Return where an algorithm is planned: ``file:line``."""
    code = getattr(algorithm.plan, "func", algorithm.plan).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"
