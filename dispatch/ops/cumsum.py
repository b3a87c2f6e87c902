"""Running sums along an axis."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
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

__all__ = ["OPERATOR", "cumsum"]

NAME = "cumsum"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the axis."""
    (x,) = specs
    assert x is not None
    canonical = {
        "axis": normalize_axis(NAME, "axis", attributes["axis"], x.rank),
        "exclusive": flag(NAME, "exclusive", attributes["exclusive"]),
        "reverse": flag(NAME, "reverse", attributes["reverse"]),
    }
    return Inferred(canonical, (output(NAME, x.dtype, x.shape),))


def _sums(x: Array, attributes: Attributes) -> Array:
    axis = attributes["axis"]
    way = np.flip(x, axis) if attributes["reverse"] else x
    with np.errstate(invalid="ignore"):
        sums = np.cumsum(way, axis=axis, dtype=x.dtype)
    if attributes["exclusive"]:
        before = np.take(sums, range(max(x.shape[axis] - 1, 0)), axis=axis)
        first = np.zeros_like(np.take(sums, range(min(x.shape[axis], 1)), axis=axis))
        sums = np.concatenate([first, before], axis=axis)
    return np.flip(sums, axis) if attributes["reverse"] else sums


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy, and move the sums on by one where they are exclusive."""
    (x,) = arrays
    assert x is not None
    return [_sums(x, attributes)]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The sums of absolute values."""
    (x,) = arrays
    assert x is not None
    return [_sums(np.abs(x), attributes)]


_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (((3, 33), -1), ((17, 5), 0), ((2, 9, 300), 1))
_FURTHER: tuple[tuple[tuple[int, ...], int], ...] = (
    ((1,), 0), ((2, 3, 4, 5), 2), ((0, 3), 0), ((3, 0), 0), ((100003,), 0),
)  # fmt: skip


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each way along each axis, NaN and infinity; then random ones."""
    special = (1.0, math.inf, 2.0, -math.inf, 3.0, 1.0, math.nan, 2.0, -math.inf, 3.0)
    for way in range(4):
        attributes = {"exclusive": bool(way & 1), "reverse": bool(way & 2)}
        along = {"axis": 1, **attributes}
        yield Case("NaN and infinity", (Sample((2, 5), values=special),), along)
        for shape, axis in _SHAPES:
            along = {"axis": axis, **attributes}
            yield Case(f"{shape} along {axis}", (Sample(shape, -4.0, 4.0),), along)
    for shape, axis in _FURTHER:
        yield Case(f"{shape} along {axis}", (Sample(shape, -4.0, 4.0),), {"axis": axis})
    large = Sample((3, 40), -(2.0**62), 2.0**62)
    yield Case("large values", (large,), {"axis": 1})
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
        along = {
            "axis": int(rng.integers(len(shape))),
            "exclusive": bool(rng.integers(2)),
            "reverse": bool(rng.integers(2)),
        }
        yield Case("random", (Sample(shape, -4.0, 4.0),), along)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"axis": 0, "exclusive": False, "reverse": False},
    dtypes=(*FLOATS, "int64", "int32"),
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=32.0,
    onnx=("CumSum",),
)


def cumsum(
    x: Any, axis: int = 0, *, exclusive: bool = False, reverse: bool = False, out: Any = None
) -> Any:
    """Add up the elements before each one along an axis, and itself, as ONNX's CumSum.

    Parameters
    ----------
    x : array
        At least one dimension; float32, float64, float16, bfloat16, int64 or int32.
        16-bit floats are summed in float32; sums of integers wrap around.
    axis
        Along which; negative: from the end.
    exclusive
        Without the element itself: the first sum is 0.
    reverse
        From the end of the axis to its beginning.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind, dtype and shape.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (axis, exclusive, reverse), out)
