"""Sequences of tensors: lists at import, of which a trace holds the elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import dispatch
from dispatch.shapes import MOST_TENSORS, normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Entry, Extents, reshape, static_shape
from runtime.onnx.sequence import TensorSequence

__all__ = ["HANDLERS", "TAKE_SEQUENCES", "stacked"]


def _sequence(call: Call, index: int) -> tuple[Value, ...]:
    value: Any = call[index]
    if not isinstance(value, TensorSequence):
        raise ModelError(f"expected a sequence, got the tensor {value.spec}")
    return value.values


def _place(call: Call, index: int, count: int, default: int) -> int:
    """Return a position in a sequence, from the end where it is negative."""
    given = call.array(index, "position")
    place = default if given is None else int(given.item())
    if not -count <= place < max(count, default + 1):
        raise ModelError(f"position: expected from {-count} to {count - 1}, got {place}")
    return place + count if place < 0 else place


def construct(call: Call) -> Any:
    """Return a sequence of what comes."""
    return TensorSequence(tuple(call.every()))


def empty(call: Call) -> Any:
    """Return a sequence of nothing."""
    return TensorSequence(())


def at(call: Call) -> Any:
    """Return an element."""
    values = _sequence(call, 0)
    if not values:
        raise ModelError("expected a sequence with elements, got an empty one")
    return values[_place(call, 1, len(values), 0)]


def insert(call: Call) -> Any:
    """Return a sequence with one more element, at its end by default."""
    values = _sequence(call, 0)
    place = _place(call, 2, len(values), len(values))
    return TensorSequence((*values[:place], call[1], *values[place:]))


def erase(call: Call) -> Any:
    """Return a sequence without an element, the last one by default."""
    values = _sequence(call, 0)
    if not values:
        raise ModelError("expected a sequence with elements, got an empty one")
    place = _place(call, 1, len(values), len(values) - 1)
    return TensorSequence((*values[:place], *values[place + 1 :]))


def length(call: Call) -> Any:
    """Return the number of elements."""
    return call.scope.concrete(len(_sequence(call, 0)), np.int64)


def concat(call: Call) -> Any:
    """Record the concatenation of a sequence's elements, along a new axis where it is asked for."""
    values, axis = _sequence(call, 0), call.get("axis", 0)
    if not values:
        raise ModelError("expected a sequence with elements, got an empty one")
    if call.get("new_axis", 0):
        return stacked(call, values, axis)
    return _joined(values, axis)


def stacked(call: Call, values: Sequence[Value], axis: int) -> Any:
    """Return values along a new axis."""
    rank = values[0].ndim + 1
    axis = normalize_axis(call.operator, "axis", axis, rank)
    parts = []
    for value in values:
        entries: list[Entry] = [Extents((a,)) for a in range(rank - 1)]
        entries.insert(axis, 1)
        parts.append(reshape(call, value, entries))
    return _joined(parts, axis)


def _joined(parts: Sequence[Any], axis: int) -> Any:
    """Concatenate any number of values."""
    while len(parts) > MOST_TENSORS:
        parts = [
            _joined(parts[i : i + MOST_TENSORS], axis) for i in range(0, len(parts), MOST_TENSORS)
        ]
    return parts[0] if len(parts) == 1 else dispatch.concat(parts, axis)


def split(call: Call) -> Any:
    """Record the parts of a tensor, which become a sequence."""
    x, sizes = call[0], call.array(1, "split")
    axis = normalize_axis(call.operator, "axis", call.get("axis", 0), x.ndim)
    shape = static_shape(call, x)
    if shape is None:
        raise ModelError("expected a tensor of fixed extents, got a dynamic one")
    extent = shape[axis]
    if sizes is None or sizes.ndim == 0:
        size = 1 if sizes is None else int(sizes.item())
        if size < 1:
            raise ModelError(f"split: expected at least 1, got {size}")
        parts = [min(size, extent - begin) for begin in range(0, extent, size)]
    else:
        parts = [int(n) for n in sizes]
    pieces = list(dispatch.split(x, tuple(parts), axis)) if len(parts) > 1 else [x]
    if sizes is None and not call.get("keepdims", 1):
        kept = [Extents((a,)) for a in range(x.ndim) if a != axis]
        pieces = [reshape(call, piece, kept) for piece in pieces]
    return TensorSequence(tuple(pieces))


HANDLERS: Mapping[str, Handler] = {
    "ConcatFromSequence": concat,
    "SequenceAt": at,
    "SequenceConstruct": construct,
    "SequenceEmpty": empty,
    "SequenceErase": erase,
    "SequenceInsert": insert,
    "SequenceLength": length,
    "SplitToSequence": split,
}

TAKE_SEQUENCES = frozenset({*HANDLERS, "Identity"})
"""Operators whose inputs may be sequences."""
