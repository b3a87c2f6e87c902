"""Where a tensor's elements lie, as the kernels walk them: extents, strides, an offset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dispatch.tensor import NHWC, TensorSpec

__all__ = ["View", "broadcast_view", "collapse", "dense", "dense_strides", "stored_shape"]


@dataclass(frozen=True, slots=True)
class View:
    """Elements at ``offset + sum(index * stride)``, in elements.

    Parameters
    ----------
    strides
        One for each axis of what is walked; 0 where the same element serves.
    offset
        Of the first element.
    """

    strides: tuple[int, ...]
    offset: int = 0


def dense_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a dense tensor in C order."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def stored_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Return a tensor's extents in the order in which they lie in memory."""
    if spec.layout != NHWC:
        return spec.shape
    batch, channels, height, width = spec.shape
    return batch, height, width, channels


def dense(shape: Sequence[int]) -> View:
    """Return the view of a dense tensor."""
    return View(dense_strides(shape))


def broadcast_view(shape: Sequence[int], target: Sequence[int]) -> View:
    """Return the view of a dense tensor that NumPy's rules broadcast to a shape."""
    missing = len(target) - len(shape)
    strides = dense_strides(shape)
    return View(
        (0,) * missing
        + tuple(0 if n == 1 else stride for n, stride in zip(shape, strides, strict=True))
    )


def collapse(
    extents: Sequence[int], views: Sequence[View]
) -> tuple[tuple[int, ...], tuple[View, ...]]:
    """Drop axes of one element and join axes that every view walks as one.

    Returns
    -------
    extents, views
        With at least one axis.
    """
    kept: list[int] = []
    strides: list[list[int]] = [[] for _ in views]
    for axis, extent in enumerate(extents):
        if extent == 1:
            continue
        steps = [view.strides[axis] for view in views]
        if kept and all(s[-1] == step * extent for s, step in zip(strides, steps, strict=True)):
            kept[-1] *= extent
            for s, step in zip(strides, steps, strict=True):
                s[-1] = step
            continue
        kept.append(extent)
        for s, step in zip(strides, steps, strict=True):
            s.append(step)
    if not kept:
        kept = [1]
        for s in strides:
            s.append(0)
    return tuple(kept), tuple(
        View(tuple(s), view.offset) for s, view in zip(strides, views, strict=True)
    )
