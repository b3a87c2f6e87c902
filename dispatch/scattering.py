"""What the operators share that write updates to places of a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.errors import UnsupportedDtype
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.shapes import check_same_dtype, choice
from dispatch.tensor import TensorSpec

__all__ = [
    "ERROR",
    "REDUCTIONS",
    "check_updates",
    "combined",
    "combined_magnitude",
    "scattered_bytes",
    "scattered_flops",
]

_COMBINE: dict[str, np.ufunc] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}
REDUCTIONS = ("none", *_COMBINE)
"""What becomes of an element and its updates, in their order; none: the last is left."""

ERROR = 16.0
"""The cases have fewer updates of one element."""


def check_updates(operator: str, x: TensorSpec, updates: TensorSpec, reduction: Any) -> str:
    """Return the reduction, one of those that x's dtype has; the updates have it, too."""
    name = choice(operator, "reduction", reduction, REDUCTIONS)
    check_same_dtype(operator, "x", x, updates=updates)
    if name != "none" and x.dtype == "bool":
        raise UnsupportedDtype(f"{operator}: x: expected numbers for reduction {name!r}, got bool")
    return name


def combined(x: Array, places: Array, updates: Array, reduction: str) -> Array:
    """Return a copy of `x` with updates.

    Parameters
    ----------
    x
        Elements, or slices along the first axis.
    places : shape (count,)
        Of the elements or slices, not negative.
    updates
        One for each place.
    """
    y = x.copy()
    if reduction == "none":
        y[places] = updates
    else:
        _COMBINE[reduction].at(y, places, updates)
    return y


def combined_magnitude(x: Array, places: Array, updates: Array, reduction: str) -> Array:
    """Return what the rounding error of `combined` is measured against: nothing for a choice."""
    if reduction in ("add", "mul"):
        return combined(np.abs(x), places, np.abs(updates), reduction)
    return np.zeros(x.shape)


def scattered_flops(problem: Problem) -> float:
    """Return one operation for each update, unless it takes an element's place."""
    updates = problem.inputs[2]
    assert updates is not None
    return 0.0 if problem.attribute("reduction") == "none" else float(updates.size)


def scattered_bytes(problem: Problem) -> int:
    """Return a copy's bytes and those of the indices and updates."""
    return 2 * problem.outputs[0].nbytes + sum(t.nbytes for t in problem.inputs[1:] if t)
