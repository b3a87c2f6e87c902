"""Operators that take indices, which are bounded where they are used: nobody waits to be told."""

from __future__ import annotations

import math
from typing import Any

from dispatch.answer import No
from dispatch.dtypes import SHORT_NAMES
from dispatch.problem import Problem
from kernels.gpu.elementwise import raw
from kernels.gpu.mapping import RANKS, each_element, too_many_axes
from kernels.gpu.plan import Plan
from kernels.gpu.strided import View, collapse, dense_strides
from kernels.gpu.traits import Traits

__all__ = ["plan_gather", "plan_gather_elements"]


def plan_gather(problem: Problem, traits: Traits) -> Plan | No:
    """Plan parts by indices."""
    x, indices, y = *problem.inputs, problem.outputs[0]
    axis: Any = problem.attribute("axis")
    assert x is not None and indices is not None
    if y.size == 0:
        return Plan(())
    return each_element(
        "gather",
        (0, 1, 2),
        raw(x.dtype),
        y.size,
        traits,
        {"TYPE_B": SHORT_NAMES[indices.dtype]},
        x.shape[axis],
        indices.size,
        math.prod(x.shape[axis + 1 :]),
    )


def plan_gather_elements(problem: Problem, traits: Traits) -> Plan | No:
    """Plan elements by an index each."""
    x, indices, y = *problem.inputs, problem.outputs[0]
    axis: Any = problem.attribute("axis")
    assert x is not None and indices is not None
    strides = dense_strides(x.shape)
    beside = View(tuple(0 if a == axis else stride for a, stride in enumerate(strides)))
    refused = too_many_axes(indices.shape, (beside,))
    if refused is not None:
        return refused
    if y.size == 0:
        return Plan(())
    extents, (view,) = collapse(indices.shape, (beside,))
    rank = next(r for r in RANKS if r >= len(extents))
    missing = rank - len(extents)
    return each_element(
        "gather_elements",
        (0, 1, 2),
        raw(x.dtype),
        y.size,
        traits,
        {"RANK": str(rank), "TYPE_B": SHORT_NAMES[indices.dtype]},
        x.shape[axis],
        strides[axis],
        (1,) * missing + extents,
        (0,) * missing + view.strides,
    )
