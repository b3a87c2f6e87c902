"""Operators that take indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
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


def _checked_axis(call: Call) -> int:
    """Return the axis along which the second input has indices, which are checked if known."""
    x, indices, axis = call[0], call[1], call.get("axis", 0)
    fixed = static_shape(call, x)
    if isinstance(indices, Concrete) and fixed is not None and indices.array.size:
        extent = fixed[normalize_axis(call.operator, "axis", axis, x.ndim)]
        low, high = int(indices.array.min()), int(indices.array.max())
        if low < -extent or high >= extent:
            raise ModelError(
                f"indices: expected from {-extent} to {extent - 1}, got {low} to {high}"
            )
    return axis


HANDLERS: Mapping[str, Handler] = {
    "Gather": gather,
    "GatherElements": gather_elements,
}
