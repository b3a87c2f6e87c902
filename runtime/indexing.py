"""Basic indexing of traced arrays, and the shapes that follow from it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import dispatch
from runtime.errors import TraceError
from runtime.tracer import Tracer, shape_of

__all__ = ["drop_axes", "getitem", "insert_axes", "integer_vector"]

END = sys.maxsize
"""A slice's end that stands for the axis's own, whatever its extent."""


def integer_vector(entries: Sequence[Any]) -> Any:
    """Return integers, some of which may be traced values, as one attribute's value."""
    if not any(isinstance(e, Tracer) for e in entries):
        return tuple(int(e) for e in entries)
    parts = [
        dispatch.reshape(dispatch.cast(e, "int64"), (1,))
        if isinstance(e, Tracer)
        else np.array([e], np.int64)
        for e in entries
    ]
    return dispatch.concat(parts, axis=0)


def insert_axes(x: Tracer, axes: Sequence[int]) -> Any:
    """Return `x` with axes of extent 1 where the result has `axes`, all extents left dynamic."""
    rank = x.ndim + len(axes)
    places = sorted(axis % rank for axis in axes)
    if not places:
        return x
    own = iter(range(x.ndim))
    sources = [None if i in places else next(own) for i in range(rank)]
    return dispatch.reshape(x, _shape(x, sources))


def drop_axes(x: Tracer, axes: Sequence[int]) -> Any:
    """Return `x` without `axes`, whose extent is 1."""
    dropped = {axis % x.ndim for axis in axes}
    if not dropped:
        return x
    return dispatch.reshape(x, _shape(x, [i for i in range(x.ndim) if i not in dropped]))


def _shape(x: Tracer, sources: Sequence[int | None]) -> Any:
    """Return a shape of x's extents by axis, None for 1."""
    places = [s for s in sources if s is not None]
    last = places[-1] if places else -1
    # What stays in its place is 0, "as the input's"; one that moves can be inferred.
    moved = [s for i, s in enumerate(sources) if s is not None and s != i]
    if len(moved) <= 1:
        return tuple(1 if s is None else 0 if s == i else -1 for i, s in enumerate(sources))
    extents = shape_of(x)
    picked = np.array([0 if s is None else s for s in sources], np.int64)
    gathered = dispatch.gather(extents, picked, axis=0)
    if None not in sources:
        return gathered
    keep = np.array([s is not None for s in sources])
    assert last >= 0
    return dispatch.where(keep, gathered, np.array(1, np.int64))


def getitem(x: Tracer, index: Any) -> Any:
    """Record ``x[index]``: integers, slices, ``...``, ``None``, or one array of integers.

    Raises
    ------
    TraceError
        For an index whose result's shape would follow from elements, or that
        isn't served.
    """
    entries = list(index) if isinstance(index, tuple) else [index]
    label = x.recorder.label()
    taken = sum(e is not None and e is not Ellipsis for e in entries)
    if sum(e is Ellipsis for e in entries) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if taken > x.ndim:
        raise IndexError(f"too many indices: {taken} for an array of {x.ndim} dimensions")
    if not any(e is Ellipsis for e in entries):
        entries.append(Ellipsis)
    at = next(i for i, e in enumerate(entries) if e is Ellipsis)
    entries[at : at + 1] = [slice(None)] * (x.ndim - taken)
    result = _slices(x, [e for e in entries if e is not None])
    axis: int = 0
    new_axes: list[int] = []
    picking = [e for e in entries if e is not None and not isinstance(e, slice)]
    if len(picking) > 1 and not all(isinstance(e, (int, np.integer)) for e in picking):
        raise TraceError(f"{label}: an array of indices is served alone, got {index!r}")
    for entry in entries:
        if entry is None:
            new_axes.append(axis)
        elif not isinstance(entry, slice):
            indices = _indices(entry, label)
            own = axis - len(new_axes)
            if isinstance(entry, (int, np.integer)):
                extent = result.spec.shape[own]
                if not -extent <= entry < extent:
                    raise IndexError(
                        f"index {entry} is out of bounds for an axis of extent {extent}"
                    )
            result = dispatch.gather(result, indices, axis=own)
            axis += indices.ndim
            continue
        axis += 1
    return insert_axes(result, new_axes) if new_axes else result


def _indices(entry: Any, label: str) -> Any:
    array = entry if isinstance(entry, Tracer) else np.asarray(entry)
    if array.dtype.kind not in "iu":
        raise TraceError(
            f"{label}: expected integers, slices, None or ... as indices of a traced array, got "
            f"{entry!r}: a mask's result has a shape that follows from elements; use numpy.where"
        )
    if array.dtype in (np.int32, np.int64):
        return array
    return dispatch.cast(array, "int64") if isinstance(array, Tracer) else array.astype(np.int64)


def _slices(x: Tracer, entries: Sequence[Any]) -> Any:
    """Apply all slices by one operator."""
    axes, starts, ends, steps = [], [], [], []
    for axis, entry in enumerate(entries):
        if not isinstance(entry, slice) or (entry.start is entry.stop is entry.step is None):
            continue
        step = 1 if entry.step is None else int(entry.step)
        if step == 0:
            raise ValueError("slice step cannot be zero")
        axes.append(axis)
        starts.append((0 if step > 0 else END) if entry.start is None else entry.start)
        ends.append((END if step > 0 else -END) if entry.stop is None else entry.stop)
        steps.append(step)
    if not axes:
        return x
    return dispatch.slice(
        x, integer_vector(starts), integer_vector(ends), tuple(axes), tuple(steps)
    )
