"""Arithmetic of shapes that stays right when the inputs' extents change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import dispatch
from runtime.onnx.call import Call, Value, as_integers
from runtime.tracer import Tracer, shape_of

__all__ = [
    "Entry", "Extents", "extents_of", "joined", "rank", "reshape", "shape_attribute",
    "static_shape",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Extents:
    """The product of some extents of an array, times a number and divided by one.

    Parameters
    ----------
    axes
        Whose product; none: 1.
    times, over
        The factor and the divisor.
    """

    axes: tuple[int, ...]
    times: int = 1
    over: int = 1


Entry: TypeAlias = int | Extents
"""An extent of a new shape: a number, or what follows from the old one."""


def rank(value: Value) -> int:
    """Return the number of dimensions."""
    return value.ndim


def static_shape(call: Call, value: Value) -> tuple[int, ...] | None:
    """Return the extents if they are the same whatever the model's inputs' are."""
    return value.spec.shape if call.scope.static(value) else None


def shape_attribute(call: Call, value: Value) -> Any:
    """Return the extents as an attribute: numbers, or a traced value."""
    shape = static_shape(call, value)
    return shape_of(value) if shape is None else shape


def reshape(call: Call, value: Value, entries: Sequence[Entry]) -> Any:
    """Return the elements of an array under the shape that `entries` give."""
    shape = static_shape(call, value)
    if shape is not None:
        return dispatch.reshape(value, _numbers(entries, shape), allow_zero=True)
    wanted = [_copied(axis, entry) for axis, entry in enumerate(entries)]
    if all(isinstance(e, int) for e in wanted) and 0 not in value.spec.shape:
        return dispatch.reshape(value, tuple(wanted))
    assert isinstance(value, Tracer)
    return dispatch.reshape(value, extents_value(call, value, entries), allow_zero=True)


def extents_of(call: Call, value: Value, axes: Sequence[int]) -> Any:
    """Return some extents as int64: numbers where they are fixed, else a value of the graph."""
    shape = static_shape(call, value)
    if shape is not None:
        return call.scope.concrete([shape[axis] for axis in axes], "int64")
    assert isinstance(value, Tracer)
    return extents_value(call, value, [Extents((axis,)) for axis in axes])


def joined(call: Call, parts: Sequence[Value]) -> Any:
    """Return extents, one part after the other, as an attribute."""
    return as_integers(dispatch.concat(parts, 0) if len(parts) > 1 else parts[0])


def extents_value(call: Call, value: Tracer, entries: Sequence[Entry]) -> Any:
    """Return the shape that `entries` give as a traced value of int64."""
    whole = shape_of(value)

    def part(entry: Entry) -> Any:
        if isinstance(entry, int):
            return call.scope.concrete([entry], "int64")
        if not entry.axes:
            return call.scope.concrete([entry.times // entry.over], "int64")
        picked = dispatch.gather(whole, call.scope.concrete(entry.axes, "int64"))
        product = dispatch.prod(picked, axes=(0,), keepdims=True) if len(entry.axes) > 1 else picked
        if entry.times != 1:
            product = dispatch.mul(product, call.scope.concrete([entry.times], "int64"))
        if entry.over != 1:
            product = dispatch.div(product, call.scope.concrete([entry.over], "int64"))
        return product

    return dispatch.concat([part(entry) for entry in entries], 0)


def _numbers(entries: Sequence[Entry], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(
        e if isinstance(e, int) else math.prod(shape[a] for a in e.axes) * e.times // e.over
        for e in entries
    )


def _copied(axis: int, entry: Entry) -> Entry:
    """Return 0, reshape's sign for the same extent as before, where it will do."""
    if isinstance(entry, int):
        return entry
    if not entry.axes:
        return entry.times // entry.over
    return 0 if entry == Extents((axis,)) else entry
