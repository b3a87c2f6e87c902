"""Operators whose results' sizes follow from elements: served where those elements are known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.operator import Array
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.onnx.extents import Extents, reshape

__all__ = ["HANDLERS"]


def _elements(call: Call, index: int, name: str) -> Array:
    known = call.array(index, name)
    if known is None:
        raise ModelError(f"{name}: expected an input, got none")
    return known


def non_zero(call: Call) -> Any:
    """Return the places of what isn't zero, a column each."""
    x = _elements(call, 0, "X")
    return call.scope.concrete(np.array(np.nonzero(np.atleast_1d(x))), np.int64)


def compress(call: Call) -> Any:
    """Record Compress: what a condition holds for, of a tensor that needn't be known."""
    x, condition = call[0], _elements(call, 1, "condition")
    if condition.ndim != 1:
        raise ModelError(f"condition: expected one dimension, got {condition.ndim}")
    axis: int | None = call.attributes.get("axis")
    if axis is None:
        x, axis = reshape(call, x, (Extents(tuple(range(x.ndim))),)), 0
    axis = normalize_axis(call.operator, "axis", axis, x.ndim)
    places = call.scope.concrete(np.flatnonzero(condition), np.int64)
    return dispatch.gather(x, places, axis)


def unique(call: Call) -> Any:
    """Return what a tensor is made of, where each is first, where all are, and how often."""
    x = _elements(call, 0, "X")
    axis: int | None = call.attributes.get("axis")
    if axis is not None:
        axis = normalize_axis(call.operator, "axis", axis, x.ndim)
    values, first, inverse, counts = np.unique(
        x, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(-1)
    if not call.get("sorted", 1):
        order = np.argsort(first, kind="stable")
        values = np.take(values, order, 0 if axis is None else axis)
        first, counts = first[order], counts[order]
        inverse = np.argsort(order, kind="stable")[inverse]
    concrete = call.scope.concrete
    return concrete(values), *(concrete(a, np.int64) for a in (first, inverse, counts))


HANDLERS: Mapping[str, Handler] = {
    "Compress": compress,
    "NonZero": non_zero,
    "Unique": unique,
}
