"""What goes through the rows along an axis in order: running sums, the best elements."""

from __future__ import annotations

import math
from typing import Any

from dispatch.answer import No
from dispatch.problem import Problem
from kernels.gpu.plan import Launch, Plan, numeric_defines, parameters
from kernels.gpu.traits import Traits

__all__ = ["plan_cumsum", "plan_top_k"]


def plan_cumsum(problem: Problem, traits: Traits) -> Plan | No:
    """Plan running sums."""
    defines = {name.upper(): str(problem.attribute(name)) for name in ("exclusive", "reverse")}
    return _by_rows(problem, "scan", "cumsum", defines, (), traits)


def plan_top_k(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the largest or smallest elements, found one after the other."""
    k: Any = problem.attribute("k")
    defines = {"LARGEST": str(problem.attribute("largest"))}
    return _by_rows(problem, "topk", "top_k", defines, (k,), traits)


def _by_rows(
    problem: Problem,
    source: str,
    function: str,
    defines: dict[str, str],
    numbers: tuple[int, ...],
    traits: Traits,
) -> Plan:
    """Return one launch whose groups take a row each, or several that lie beside each other."""
    x = problem.inputs[0]
    assert x is not None
    if problem.outputs[0].size == 0:
        return Plan(())
    axis: Any = problem.attribute("axis")
    length, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    rows = x.size // length
    beside = traits.beside(inner, x.itemsize)
    every = {**numeric_defines(x.dtype), **traits.row_defines(beside), **defines}
    launch = Launch(
        source,
        function,
        tuple(sorted(every.items())),
        tuple(range(len(problem.tensors))),
        parameters("int32", (), length, inner, rows, *numbers),
        (-(-rows // beside),),
        (traits.row_items,),
    )
    return Plan((launch,))
