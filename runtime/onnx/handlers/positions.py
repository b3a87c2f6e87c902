"""Operators that go by elements' places: EyeLike, OneHot, Range, Trilu."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.concrete import Concrete
from runtime.onnx.extents import Extents, extents_of, reshape
from runtime.onnx.handlers.casts import cast_to, element_type

__all__ = ["HANDLERS", "positions"]

LARGEST_RANGE = 2**28
"""Elements."""


def positions(call: Call, count: Value) -> Any:
    """Return 0, 1, 2 … as int64; their number, of shape (1,), is known or follows from shapes."""
    if isinstance(count, Concrete):
        return call.scope.concrete(np.arange(count.array.item()), np.int64)
    ones = dispatch.expand(call.scope.concrete(1, np.int64), count)
    return dispatch.cumsum(ones, 0, exclusive=True)


def value_range(call: Call) -> Any:
    """Record Range, whose limits are known or follow from shapes."""
    start, limit, delta = call[0], call[1], call[2]
    if isinstance(delta, Concrete) and delta.array.item() == 0:
        raise ModelError("delta: expected other than 0, got 0")
    dtype = start.spec.dtype
    length = dispatch.sub(cast_to(limit, "float64"), cast_to(start, "float64"))
    steps = dispatch.ceil(dispatch.div(length, cast_to(delta, "float64")))
    count = cast_to(dispatch.maximum(steps, 0.0), "int64")
    if isinstance(count, Concrete) and count.array.item() > LARGEST_RANGE:
        raise ModelError(f"expected at most {LARGEST_RANGE} elements, got {count.array.item()}")
    places = positions(call, dispatch.reshape(count, (1,)))
    return dispatch.add(start, dispatch.mul(cast_to(places, dtype), delta))


def one_hot(call: Call) -> Any:
    """Record OneHot: one value where an index says, the other elsewhere."""
    indices, depth, values = cast_to(call[0], "int64"), call[1], call[2]
    rank = indices.ndim
    axis = normalize_axis("OneHot", "axis", call.get("axis", -1), rank + 1)
    count = dispatch.reshape(cast_to(depth, "int64"), (1,))
    wrapped = dispatch.where(dispatch.less(indices, 0), dispatch.add(indices, count), indices)
    column = [Extents((a,)) for a in range(rank)]
    apart = reshape(call, wrapped, [*column[:axis], 1, *column[axis:]])
    places = reshape(
        call, positions(call, count), [Extents((0,)) if a == axis else 1 for a in range(rank + 1)]
    )
    off, on = (dispatch.gather(values, call.scope.concrete(i, np.int64)) for i in (0, 1))
    return dispatch.where(dispatch.equal(apart, places), on, off)


def trilu(call: Call) -> Any:
    """Record Trilu: what lies on one side of a diagonal stays, the rest becomes 0."""
    x, offset = call[0], call.array(1, "k")
    if x.ndim < 2:
        raise ModelError(f"expected at least 2 dimensions, got {x.spec}")
    rows, columns = (positions(call, extents_of(call, x, (x.ndim - n,))) for n in (2, 1))
    ahead = dispatch.sub(columns, reshape(call, rows, (Extents((0,)), 1)))
    compare = dispatch.greater_equal if call.get("upper", 1) else dispatch.less_equal
    kept = compare(ahead, 0 if offset is None else int(offset.item()))
    return dispatch.where(kept, x, call.scope.concrete(0, x.dtype))


def eye_like(call: Call) -> Any:
    """Record EyeLike: 1 on a diagonal, 0 elsewhere."""
    x, number = call[0], call.get("dtype", 0)
    if x.ndim != 2:
        raise ModelError(f"expected a matrix, got {x.spec}")
    dtype = element_type(number) if number else x.spec.dtype
    rows, columns = (positions(call, extents_of(call, x, (axis,))) for axis in (0, 1))
    ahead = dispatch.sub(columns, reshape(call, rows, (Extents((0,)), 1)))
    return cast_to(dispatch.equal(ahead, call.get("k", 0)), dtype)


HANDLERS: Mapping[str, Handler] = {
    "EyeLike": eye_like,
    "OneHot": one_hot,
    "Range": value_range,
    "Trilu": trilu,
}
