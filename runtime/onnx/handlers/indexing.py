"""Operators that take indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.operator import Array
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.onnx.concrete import Concrete
from runtime.onnx.extents import Entry, Extents, extents_of, reshape, shape_attribute, static_shape
from runtime.onnx.handlers.casts import cast_to
from runtime.onnx.handlers.positions import positions

__all__ = ["HANDLERS"]


def gather(call: Call) -> Any:
    """Record Gather."""
    return dispatch.gather(call[0], call[1], _checked_axis(call))


def gather_elements(call: Call) -> Any:
    """Record GatherElements."""
    return dispatch.gather_elements(call[0], call[1], _checked_axis(call))


def gather_nd(call: Call) -> Any:
    """Record GatherND."""
    batch_dims = call.get("batch_dims", 0)
    _check_tuples(call, batch_dims)
    return dispatch.gather_nd(call[0], call[1], batch_dims)


def scatter_elements(call: Call) -> Any:
    """Record ScatterElements, or Scatter, which it was called before version 11."""
    reduction = call.get("reduction", "none")
    return dispatch.scatter_elements(call[0], call[1], call[2], _checked_axis(call), reduction)


def scatter_nd(call: Call) -> Any:
    """Record ScatterND."""
    _check_tuples(call, 0)
    return dispatch.scatter_nd(call[0], call[1], call[2], call.get("reduction", "none"))


def reverse_sequence(call: Call) -> Any:
    """Record ReverseSequence: each sequence of a batch as far as it goes."""
    x, lengths = call[0], cast_to(call[1], "int64")
    time, batch = call.get("time_axis", 0), call.get("batch_axis", 1)
    if {time, batch} != {0, 1} or x.ndim < 2:
        raise ModelError(f"expected time_axis and batch_axis of 0 and 1, got {time} and {batch}")
    ones = (1,) * (x.ndim - 2)
    steps = positions(call, extents_of(call, x, (time,)))
    along: list[Entry] = [Extents((0,)), 1] if time == 0 else [1, Extents((0,))]
    steps = reshape(call, steps, (*along, *ones))
    ends = reshape(call, lengths, (*along[::-1], *ones))
    turned = dispatch.sub(dispatch.sub(ends, steps), 1)
    places = dispatch.where(dispatch.less(steps, ends), turned, steps)
    return dispatch.gather_elements(x, dispatch.expand(places, shape_attribute(call, x)), time)


def tensor_scatter(call: Call) -> Any:
    """Record TensorScatter: what is new in a cache, from each sequence's place on."""
    cache, update, begin = call[0], call[1], call.optional(2)
    axis = normalize_axis(call.operator, "axis", call.get("axis", -2), cache.ndim)
    if axis == 0:
        raise ModelError("axis: expected one after the batch, got 0")
    steps = positions(call, extents_of(call, update, (axis,)))
    after = (1,) * (cache.ndim - 1 - axis)
    places = reshape(call, steps, (*(1,) * axis, Extents((0,)), *after))
    if begin is not None:
        first = reshape(call, cast_to(begin, "int64"), (Extents((0,)), *(1,) * (cache.ndim - 1)))
        places = dispatch.add(places, first)
    if call.get("mode", "linear") == "circular":
        places = dispatch.mod(places, extents_of(call, cache, (axis,)))
    places = dispatch.expand(places, shape_attribute(call, update))
    return dispatch.scatter_elements(cache, places, update, axis)


def _checked_axis(call: Call) -> int:
    """Return the axis along which the second input has indices, which are checked if known."""
    x, indices, axis = call[0], call[1], call.get("axis", 0)
    fixed = static_shape(call, x)
    if isinstance(indices, Concrete) and fixed is not None:
        extent = fixed[normalize_axis(call.operator, "axis", axis, x.ndim)]
        _check_range(indices.array, extent)
    return axis


def _check_tuples(call: Call, batch_dims: int) -> None:
    """Check indices of the axes from `batch_dims` on, if they are known."""
    x, indices = call[0], call[1]
    fixed = static_shape(call, x)
    if isinstance(indices, Concrete) and fixed is not None and indices.ndim:
        named = np.moveaxis(indices.array, -1, 0)
        for extent, along in zip(fixed[batch_dims:], named, strict=False):
            _check_range(along, extent)


def _check_range(indices: Array, extent: int) -> None:
    if not indices.size:
        return
    low, high = int(indices.min()), int(indices.max())
    if low < -extent or high >= extent:
        raise ModelError(f"indices: expected from {-extent} to {extent - 1}, got {low} to {high}")


HANDLERS: Mapping[str, Handler] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "ReverseSequence": reverse_sequence,
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
    "TensorScatter": tensor_scatter,
}
