"""Operators that take indices, which are bounded where they are used: nobody waits to be told."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.answer import No, NoCode
from dispatch.dtypes import SHORT_NAMES
from dispatch.problem import Problem
from kernels.gpu.elements import fill_launch
from kernels.gpu.elementwise import raw
from kernels.gpu.mapping import RANKS, Operand, each_element, map_launch, too_many_axes
from kernels.gpu.plan import SCRATCH, Launch, Plan
from kernels.gpu.strided import View, collapse, dense_strides
from kernels.gpu.traits import Traits

__all__ = [
    "plan_gather",
    "plan_gather_elements",
    "plan_gather_nd",
    "plan_scatter_elements",
    "plan_scatter_nd",
]


def plan_gather(problem: Problem, traits: Traits) -> Plan | No:
    """Plan parts by indices."""
    x, indices, y = *problem.inputs, problem.outputs[0]
    axis: Any = problem.attribute("axis")
    assert x is not None and indices is not None
    if y.size == 0:
        return Plan(())
    launch = each_element(
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
    return Plan((launch,))


def plan_gather_elements(problem: Problem, traits: Traits) -> Plan | No:
    """Plan elements by an index each."""
    x, indices, y = *problem.inputs, problem.outputs[0]
    assert x is not None and indices is not None
    numbers = _along(problem)
    if isinstance(numbers, No) or y.size == 0:
        return numbers if isinstance(numbers, No) else Plan(())
    defines = {"RANK": str(_rank(numbers)), "TYPE_B": SHORT_NAMES[indices.dtype]}
    launch = each_element(
        "gather_elements", (0, 1, 2), raw(x.dtype), y.size, traits, defines, *numbers
    )
    return Plan((launch,))


def _along(problem: Problem) -> tuple[Any, ...] | No:
    """Return x's extent and stride along the axis, the indices' extents and x's strides beside."""
    x, indices = problem.inputs[:2]
    axis: Any = problem.attribute("axis")
    assert x is not None and indices is not None
    strides = dense_strides(x.shape)
    beside = View(tuple(0 if a == axis else stride for a, stride in enumerate(strides)))
    refused = too_many_axes(indices.shape, (beside,))
    if refused is not None:
        return refused
    extents, (view,) = collapse(indices.shape, (beside,))
    return (x.shape[axis], strides[axis], *_filled((extents, 1), (view.strides, 0)))


def _filled(*lists: tuple[tuple[int, ...], int], least: int = 1) -> tuple[tuple[int, ...], ...]:
    """Return lists of axes, filled up in front to a length that kernels are built for."""
    rank = next(r for r in RANKS if r >= max(len(lists[0][0]), least))
    return tuple((filler,) * (rank - len(values)) + values for values, filler in lists)


def _rank(numbers: tuple[Any, ...]) -> int:
    return len(numbers[-1])


def plan_gather_nd(problem: Problem, traits: Traits) -> Plan | No:
    """Plan slices by tuples of indices."""
    x, indices, y = *problem.inputs, problem.outputs[0]
    batch_dims: Any = problem.attribute("batch_dims")
    assert x is not None and indices is not None
    numbers = _tuples(problem, batch_dims)
    if isinstance(numbers, No) or y.size == 0:
        return numbers if isinstance(numbers, No) else Plan(())
    count = math.prod(indices.shape[:-1])
    defines = {"CLAIM": "0", "DEPTH": str(_rank(numbers))}
    find = each_element("tuples", (1, SCRATCH), indices.dtype, count, traits, defines, *numbers)
    where, inner = (0, SCRATCH, 2), y.size // count
    move = each_element("slices", where, raw(x.dtype), y.size, traits, {}, inner)
    return Plan((find, move), scratch_bytes=4 * count)


def plan_scatter_elements(problem: Problem, traits: Traits) -> Plan | No:
    """Plan elements along an axis that are written."""
    x, indices, _ = problem.inputs
    axis: Any = problem.attribute("axis")
    assert x is not None and indices is not None
    numbers = _along(problem)
    if isinstance(numbers, No):
        return numbers
    if x.rank > RANKS[-1]:
        return No(NoCode.RANK, "x.rank", f"<= {RANKS[-1]}", str(x.rank))
    steps = dense_strides(indices.shape)
    limits = tuple(-1 if a == axis else n for a, n in enumerate(indices.shape))
    beside = tuple(0 if a == axis else step for a, step in enumerate(steps))
    columns = _filled((x.shape, 1), (limits, -1), (beside, 0), least=4)
    return _scatter(
        problem, traits, "along", 1, numbers, (indices.shape[axis], steps[axis], *columns)
    )


def plan_scatter_nd(problem: Problem, traits: Traits) -> Plan | No:
    """Plan slices that are written."""
    x, indices, _ = problem.inputs
    assert x is not None and indices is not None
    numbers = _tuples(problem, 0)
    if isinstance(numbers, No):
        return numbers
    inner = math.prod(x.shape[indices.shape[-1] :])
    every = (math.prod(indices.shape[:-1]), 1, (max(x.size, 1),), (-1,), (0,))
    return _scatter(problem, traits, "tuples", inner, numbers, every)


def _tuples(problem: Problem, batch_dims: int) -> tuple[Any, ...] | No:
    """Return how many tuples and slices a batch has, the named axes' extents and strides."""
    x, indices = problem.inputs[:2]
    assert x is not None and indices is not None
    depth = indices.shape[-1]
    if depth > RANKS[-1]:
        return No(NoCode.RANK, "indices of a tuple", f"<= {RANKS[-1]}", str(depth))
    named = x.shape[batch_dims : batch_dims + depth]
    each = math.prod(indices.shape[batch_dims:-1])
    return each, math.prod(named), named, dense_strides(named)


def _scatter(
    problem: Problem,
    traits: Traits,
    finder: str,
    inner: int,
    numbers: tuple[Any, ...],
    columns: tuple[Any, ...],
) -> Plan:
    """Plan slices of `inner` elements that take updates.

    Parameters
    ----------
    finder, numbers
        The kernel that finds an update's slice, and its parameters.
    columns
        Where the updates lie that a slice may have, for src/combine.h.
    """
    (x, indices, updates), y = problem.inputs, problem.outputs[0]
    assert x is not None and indices is not None and updates is not None
    if updates.size == 0:
        given, result = (Operand(i, raw(x.dtype), View((1,))) for i in (0, 3))
        copy = map_launch("a", (y.size,), [given], result, traits)
        return Plan((copy,) if y.size else (), may_overwrite=frozenset({0}))
    reduction = str(problem.attribute("reduction"))
    moves = reduction == "none"
    count, slices = updates.size // inner, y.size // inner
    length = {"along": "RANK", "tuples": "DEPTH"}[finder]
    defines = {"CLAIM": str(int(moves)), length: str(_rank(numbers))}
    find = each_element(finder, (1, SCRATCH), indices.dtype, count, traits, defines, *numbers)
    where = (0, 2, SCRATCH, 3)
    launches: tuple[Launch, ...]
    if moves:
        unclaimed = fill_launch((slices,), np.array(-1, np.int32), traits, SCRATCH)
        write = each_element("scatter", where, raw(x.dtype), y.size, traits, {}, inner)
        launches = (unclaimed, find, write)
    else:
        values = (_COMBINED.index(reduction), inner, *columns)
        rank = {"RANK": str(_rank(columns))}
        combine = each_element("combine", where, x.dtype, y.size, traits, rank, *values)
        launches = (find, combine)
    entries = slices if moves else count
    return Plan(launches, scratch_bytes=4 * entries, may_overwrite=frozenset({0}))


_COMBINED = ("add", "mul", "max", "min")
"""Reductions as src/combine.h counts them."""
