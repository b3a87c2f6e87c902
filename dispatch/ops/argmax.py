"""Index of the largest element along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.errors import InvalidArgument
from dispatch.operator import (
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
from dispatch.shapes import flag, normalize_axis, output

__all__ = ["OPERATOR", "argmax"]

NAME = "argmax"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that there is something along the axis."""
    (x,) = specs
    assert x is not None
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    keep = flag(NAME, "keepdims", attributes["keepdims"])
    last = flag(NAME, "select_last_index", attributes["select_last_index"])
    if x.shape[axis] == 0:
        raise InvalidArgument(f"{NAME}: x: expected elements along axis {axis}, got {x.shape}")
    shape = (*x.shape[:axis], *((1,) if keep else ()), *x.shape[axis + 1 :])
    canonical = {"axis": axis, "keepdims": keep, "select_last_index": last}
    return Inferred(canonical, (output(NAME, "int64", shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy, which takes a NaN for the largest."""
    (x,) = arrays
    assert x is not None
    axis, keep = attributes["axis"], bool(attributes["keepdims"])
    if not attributes["select_last_index"]:
        return [np.asarray(np.argmax(x, axis=axis, keepdims=keep), np.int64)]
    index = np.argmax(np.flip(x, axis), axis=axis, keepdims=keep)
    return [np.asarray(x.shape[axis] - 1 - index, np.int64)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Ties, NaN, each axis; then random ones."""
    shape: tuple[int, ...]
    inf, nan = math.inf, math.nan
    rows = (1.0, 3.0, 3.0, -1.0, nan, 2.0, nan, inf, -inf, -inf, -inf, -inf, 0.0, -0.0, 0.0, -0.0)
    for last in (False, True):
        attributes = {"select_last_index": last}
        yield Case("ties and NaN", (Sample((4, 4), values=rows),), {"axis": 1, **attributes})
        for shape, axis in (
            ((7,), 0), ((1,), 0), ((3, 5), 0), ((3, 5), -1), ((2, 3, 4), 1), ((2, 33), 1),
            ((33, 2), 0), ((2, 16, 3, 3), 1), ((0, 3), 1), ((100003,), 0), ((4, 6625), 1),
        ):  # fmt: skip
            for keep in (True, False):
                given = {"axis": axis, "keepdims": keep, **attributes}
                # Few different values: there are ties.
                yield Case(f"{shape} along {axis}", (Sample(shape, 0.0, 9.0),), given)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
        given = {
            "axis": int(rng.integers(len(shape))),
            "keepdims": bool(rng.integers(2)),
            "select_last_index": bool(rng.integers(2)),
        }
        yield Case("random", (Sample(shape, -4.0, 4.0),), given)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"axis": 0, "keepdims": False, "select_last_index": False},
    dtypes=FLOATS + INTEGERS,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=lambda problem: float(sum(t.size for t in problem.inputs if t is not None)),
    onnx=("ArgMax",),
)


def argmax(
    x: Any,
    axis: int = 0,
    *,
    keepdims: bool = False,
    select_last_index: bool = False,
    out: Any = None,
) -> Any:
    """Return the index of the largest element along an axis, as ONNX's ArgMax.

    Parameters
    ----------
    x : array
        At least one dimension; float32, float64, float16, bfloat16 or integers.
        A NaN counts as the largest.
    axis
        Where to look; negative: from the end.
    keepdims
        Leave the axis with extent 1.
    select_last_index
        Of equal elements the last one, not the first.
    out : array of int64, optional
        Where to write the result.

    Returns
    -------
    array of int64
        Of x's kind.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have or that has no elements.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (axis, keepdims, select_last_index), out)
