"""The largest or smallest elements along an axis, and where they are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.errors import InvalidArgument
from dispatch.operator import (
    REQUIRED,
    Array,
    Arrays,
    Attributes,
    Case,
    Inferred,
    Input,
    Operator,
    Sample,
    Specs,
)
from dispatch.problem import Problem
from dispatch.shapes import flag, integer, normalize_axis, output

__all__ = ["OPERATOR", "top_k"]

NAME = "top_k"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that there are k elements along the axis."""
    (x,) = specs
    assert x is not None
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    k = integer(NAME, "k", attributes["k"], 0)
    if k > x.shape[axis]:
        raise InvalidArgument(
            f"{NAME}: k: expected at most {x.shape[axis]}, x's extent along axis {axis}, got {k}"
        )
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    canonical = {"k": k, "axis": axis, "largest": flag(NAME, "largest", attributes["largest"])}
    return Inferred(canonical, (output(NAME, x.dtype, shape), output(NAME, "int64", shape)))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Sort by value, then by index; NumPy puts NaN behind all that is ascending."""
    (x,) = arrays
    assert x is not None
    axis = attributes["axis"]
    if attributes["largest"]:
        # Stable from the end, then turned: of equal elements the first one comes first.
        turned = np.argsort(np.flip(x, axis), axis=axis, kind="stable")
        order = x.shape[axis] - 1 - np.flip(turned, axis)
    else:
        order = np.argsort(x, axis=axis, kind="stable")
    indices = np.take(order, range(attributes["k"]), axis=axis)
    return [np.take_along_axis(x, indices, axis), indices]


def flops(problem: Problem) -> float:
    """One comparison for each element, and those that sort k of them."""
    k: Any = problem.attribute("k")
    x = problem.inputs[0]
    assert x is not None
    return float(x.size) + problem.outputs[0].size * math.log2(k + 1)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Ties, NaN and zeros of both signs, one to all elements, each axis; then random ones."""
    shape: tuple[int, ...]
    inf, nan = math.inf, math.nan
    rows = (1.0, 3.0, 3.0, -1.0, nan, 2.0, nan, inf, -inf, -inf, -inf, nan, 0.0, -0.0, 0.0, -0.0)
    for largest in (True, False):
        for k in (1, 3, 4):
            attributes = {"k": k, "axis": 1, "largest": largest}
            yield Case("ties and NaN", (Sample((4, 4), values=rows),), attributes)
        for shape, k, axis in (
            ((1,), 1, 0), ((7,), 3, 0), ((3, 5), 0, 1), ((3, 0), 0, 1), ((0, 9), 4, 1),
            ((5, 300), 17, -1), ((300, 5), 2, 0), ((2, 33, 3, 3), 33, 1),
        ):  # fmt: skip
            # Few different values: there are ties.
            attributes = {"k": k, "axis": axis, "largest": largest}
            yield Case(f"{k} of {shape} along {axis}", (Sample(shape, 0.0, 20.0),), attributes)
    yield Case("one by one", (Sample((3000,), values=tuple(range(3000))),), {"k": 9})
    yield Case("many", (Sample((20011,), -1e4, 1e4),), {"k": 20})
    yield Case("all", (Sample((2, 150), -1e4, 1e4),), {"k": 150})
    yield Case("large values", (Sample((2, 50), -(2.0**64), 2.0**64),), {"k": 30})
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
        axis = int(rng.integers(len(shape)))
        attributes = {
            "k": int(rng.integers(shape[axis] + 1)),
            "axis": axis,
            "largest": bool(rng.integers(2)),
        }
        yield Case("random", (Sample(shape, -4.0, 4.0),), attributes)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"k": REQUIRED, "axis": -1, "largest": True},
    dtypes=FLOATS + INTEGERS,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=flops,
    onnx=("TopK",),
)


def top_k(x: Any, k: int, axis: int = -1, *, largest: bool = True, out: Any = None) -> Any:
    """Return the k largest or smallest elements along an axis, and where they are, as ONNX's TopK.

    Parameters
    ----------
    x : array
        At least one dimension; float32, float64, float16, bfloat16 or integers.
        A NaN counts as the largest.
    k
        How many, from 0 to the axis's extent.
    axis
        Along which; negative: from the end.
    largest
        The largest in descending order, else the smallest in ascending order; of
        equal elements the one of the lower index comes first.
    out : tuple of arrays, optional
        Where to write the results.

    Returns
    -------
    values : array
        Of x's kind and dtype; along the axis there are k.
    indices : array of int64
        Where they are along the axis, of the same shape.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have, or a k that it has fewer elements than.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (k, axis, largest), out)
