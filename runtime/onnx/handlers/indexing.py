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
from runtime.onnx.extents import static_shape

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
    "Scatter": scatter_elements,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
}
