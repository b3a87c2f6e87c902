"""Operators on shapes, and those that give the same elements another shape."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.shapes import normalize_axes
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, as_integers
from runtime.onnx.concrete import Concrete
from runtime.onnx.extents import Entry, Extents, reshape, static_shape
from runtime.tracer import shape_of

__all__ = ["HANDLERS"]


def identity(call: Call) -> Any:
    """Return what came."""
    return call[0]


def dropout(call: Call) -> Any:
    """Return what came, as outside training, and a mask of True where it is wanted."""
    training = call.array(2, "training_mode")
    if training is not None and bool(training.item()):
        raise ModelError("training_mode: expected False, got True")
    x = call[0]
    if not call.wants(1):
        return x
    mask = dispatch.equal(x, x) if x.dtype.kind != "f" else _all_true(x)
    return x, mask


def _all_true(x: Any) -> Any:
    """Return True for every element, a NaN too."""
    return dispatch.logical_or(dispatch.equal(x, x), dispatch.not_equal(x, x))


def shape(call: Call) -> Any:
    """Return the extents: numbers where they are fixed, else a value of the graph."""
    x = call[0]
    start = _clamped(call.get("start", 0), x.ndim)
    end = _clamped(call.get("end", x.ndim), x.ndim)
    fixed = static_shape(call, x)
    if fixed is not None:
        return call.scope.concrete(fixed[start:end], np.int64)
    whole = shape_of(x)
    if (start, end) == (0, x.ndim):
        return whole
    return dispatch.slice(whole, (start,), (max(start, end),), (0,))


def _clamped(axis: int, rank: int) -> int:
    return min(max(axis + rank if axis < 0 else axis, 0), rank)


def size(call: Call) -> Any:
    """Return the number of elements."""
    fixed = static_shape(call, call[0])
    if fixed is not None:
        return call.scope.concrete(math.prod(fixed), np.int64)
    return dispatch.prod(shape_of(call[0]), axes=(0,))


def reshape_to(call: Call) -> Any:
    """Record Reshape."""
    return dispatch.reshape(
        call[0], call.setting(1, "shape"), allow_zero=bool(call.get("allowzero", 0))
    )


def flatten(call: Call) -> Any:
    """Record Flatten: a matrix of the extents before the axis and of the others."""
    x = call[0]
    axis = call.get("axis", 1)
    if not -x.ndim <= axis <= x.ndim:
        raise ModelError(f"axis: expected from {-x.ndim} to {x.ndim}, got {axis}")
    axis = axis + x.ndim if axis < 0 else axis
    return reshape(call, x, (Extents(tuple(range(axis))), Extents(tuple(range(axis, x.ndim)))))


def squeeze(call: Call) -> Any:
    """Record Squeeze: extents of 1 are left out."""
    x = call[0]
    given = _axes(call)
    if given is None:
        fixed = static_shape(call, x)
        if fixed is None:
            raise ModelError("axes: expected the axes as the input's extents are dynamic")
        given = tuple(axis for axis, extent in enumerate(fixed) if extent == 1)
    axes = normalize_axes("Squeeze", "axes", given, x.ndim)
    for axis in axes:
        if x.spec.shape[axis] != 1:
            raise ModelError(f"axes: expected extent 1 on axis {axis}, got {x.spec}")
    return reshape(call, x, [Extents((a,)) for a in range(x.ndim) if a not in axes])


def unsqueeze(call: Call) -> Any:
    """Record Unsqueeze: extents of 1 are put in."""
    x = call[0]
    given = _axes(call)
    if given is None:
        raise ModelError("axes: expected a constant, got none")
    rank = x.ndim + len(given)
    axes = normalize_axes("Unsqueeze", "axes", given, rank)
    old = iter(range(x.ndim))
    return reshape(call, x, [1 if a in axes else Extents((next(old),)) for a in range(rank)])


def _axes(call: Call) -> tuple[int, ...] | None:
    """Return the axes: an attribute before version 13, then an input."""
    array = call.array(1, "axes")
    if array is not None:
        return tuple(array.ravel().tolist())
    return call.integers("axes")


def depth_to_space(call: Call) -> Any:
    """Record DepthToSpace: blocks of channels become blocks of pixels."""
    x, block = _image(call)
    split = Extents((1,), over=block * block)
    n, h, w = Extents((0,)), Extents((2,)), Extents((3,))
    entries: tuple[Entry, ...]
    if call.get("mode", "DCR") == "DCR":
        entries, permutation = (n, block, block, split, h, w), (0, 3, 4, 1, 5, 2)
    else:
        entries, permutation = (n, split, block, block, h, w), (0, 1, 4, 2, 5, 3)
    y = dispatch.transpose(reshape(call, x, entries), permutation)
    axes = (Extents((0,)), Extents((1,)), Extents((2, 3)), Extents((4, 5)))
    return reshape(call, y, axes)


def space_to_depth(call: Call) -> Any:
    """Record SpaceToDepth: blocks of pixels become channels."""
    x, block = _image(call)
    entries: tuple[Entry, ...] = (
        Extents((0,)),
        Extents((1,)),
        Extents((2,), over=block),
        block,
        Extents((3,), over=block),
        block,
    )
    first = (3, 5, 1) if call.get("mode", "DCR") == "DCR" else (1, 3, 5)
    y = dispatch.transpose(reshape(call, x, entries), (0, *first, 2, 4))
    return reshape(call, y, (Extents((0,)), Extents((1, 2, 3)), Extents((4,)), Extents((5,))))


def _image(call: Call) -> tuple[Any, int]:
    x, block = call[0], call.get("blocksize", 0)
    if x.ndim != 4 or block < 1:
        raise ModelError(f"expected 4 dimensions and a positive blocksize, got {x.spec}, {block}")
    return x, block


def tile(call: Call) -> Any:
    """Record Tile: each axis is given one of repetitions before it, then the two become one."""
    x, repeats = call[0], call[1]
    if repeats.spec.shape != (x.ndim,):
        raise ModelError(f"repeats: expected {x.ndim} counts, got {repeats.spec}")
    if isinstance(repeats, Concrete) and (repeats.array < 0).any():
        raise ModelError(f"repeats: expected none below 0, got {repeats.array.tolist()}")
    between: list[Any] = []
    for axis in range(x.ndim):
        between += (1, Extents((axis,)))
    counts = dispatch.reshape(repeats, (x.ndim, 1))
    ones = call.scope.concrete(np.ones((x.ndim, 1)), np.int64)
    shape = dispatch.reshape(dispatch.concat([counts, ones], 1), (2 * x.ndim,))
    wide = dispatch.expand(reshape(call, x, between), as_integers(shape))
    return reshape(call, wide, [Extents((2 * a, 2 * a + 1)) for a in range(x.ndim)])


def expand(call: Call) -> Any:
    """Record Expand."""
    return dispatch.expand(call[0], call.setting(1, "shape"))


HANDLERS: Mapping[str, Handler] = {
    "DepthToSpace": depth_to_space,
    "Dropout": dropout,
    "Expand": expand,
    "Flatten": flatten,
    "Identity": identity,
    "Reshape": reshape_to,
    "Shape": shape,
    "Size": size,
    "SpaceToDepth": space_to_depth,
    "Squeeze": squeeze,
    "Tile": tile,
    "Unsqueeze": unsqueeze,
}
