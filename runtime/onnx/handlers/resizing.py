"""Resize, its forerunner Upsample, and GridSample."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import dispatch
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.onnx.extents import static_shape
from runtime.tracer import Tracer

__all__ = ["HANDLERS"]

TWO_AXES = {"bilinear": "linear", "bicubic": "cubic"}
"""GridSample's modes of version 16."""


def upsample(call: Call) -> Any:
    """Record Upsample: scales are an attribute before version 9, then an input."""
    if call.version < 9:
        scales: tuple[float, ...] = tuple(call.get("scales", [1.0]))
    else:
        scales = _numbers(call, 1, "scales") or ()
    return dispatch.resize(
        call[0],
        scales=scales,
        mode=call.get("mode", "nearest"),
        coordinate_mode="asymmetric",
        nearest_mode="floor",
    )


def resize(call: Call) -> Any:
    """Record Resize; version 10 has only asymmetric coordinates and no sizes."""
    x = call[0]
    if call.version < 11:
        return upsample(call)
    if call.get("antialias", 0):
        raise ModelError("antialias: expected 0, got 1")
    scales, sizes = _numbers(call, 2, "scales"), _sizes(call, 3)
    axes = _axes(call)
    if sizes is not None and not isinstance(sizes, Tracer):
        sizes = _kept_aspect(call, sizes, axes)
        sizes = _spread(sizes, axes, static_shape(call, x), x.ndim)
    elif scales is not None:
        scales = tuple(float(s) for s in _spread(scales, axes, (1.0,) * x.ndim, x.ndim))
    return dispatch.resize(
        x,
        sizes,
        scales=None if sizes is not None else scales,
        mode=call.get("mode", "nearest"),
        coordinate_mode=call.get("coordinate_transformation_mode", "half_pixel"),
        nearest_mode=call.get("nearest_mode", "round_prefer_floor"),
        cubic_coefficient=call.get("cubic_coeff_a", -0.75),
        exclude_outside=bool(call.get("exclude_outside", 0)),
    )


def _numbers(call: Call, index: int, name: str) -> tuple[float, ...] | None:
    """Return an input of numbers; no elements are as good as none."""
    array = call.array(index, name)
    return None if array is None or array.size == 0 else tuple(array.ravel().tolist())


def _sizes(call: Call, index: int) -> Any:
    sizes = call.setting(index, "sizes")
    return None if isinstance(sizes, tuple) and not sizes else sizes


def _axes(call: Call) -> tuple[int, ...]:
    """Return the axes that scales and sizes are given for."""
    rank = call[0].ndim
    axes = call.integers("axes") or tuple(range(rank))
    return tuple(normalize_axis("Resize", "axes", axis, rank) for axis in axes)


def _spread(
    values: Sequence[Any], axes: tuple[int, ...], default: Sequence[Any] | None, rank: int
) -> tuple[Any, ...]:
    """Return values for every axis, the default's for those that aren't given."""
    if len(values) != len(axes):
        raise ModelError(f"expected {len(axes)} entries, one an axis, got {tuple(values)}")
    if len(axes) == rank and axes == tuple(range(rank)):
        return tuple(values)
    if default is None:
        raise ModelError("axes: expected all of them as the input's extents are dynamic")
    spread = list(default)
    for axis, value in zip(axes, values, strict=True):
        spread[axis] = value
    return tuple(spread)


def _kept_aspect(call: Call, sizes: Sequence[int], axes: tuple[int, ...]) -> Sequence[int]:
    """Return sizes that all have one scale, where the model asks for that."""
    policy = call.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return sizes
    shape = static_shape(call, call[0])
    choose = {"not_larger": min, "not_smaller": max}.get(policy)
    if choose is None or shape is None:
        raise ModelError(f"keep_aspect_ratio_policy: {policy!r} needs fixed extents")
    scale = choose(size / shape[axis] for size, axis in zip(sizes, axes, strict=True))
    return [math.floor(scale * shape[axis] + 0.5) for axis in axes]


def grid_sample(call: Call) -> Any:
    """Record GridSample, whose modes have other names before version 20."""
    mode = call.get("mode", "linear")
    return dispatch.grid_sample(
        call[0],
        call[1],
        mode=TWO_AXES.get(mode, mode),
        padding_mode=call.get("padding_mode", "zeros"),
        align_corners=bool(call.get("align_corners", 0)),
    )


HANDLERS: Mapping[str, Handler] = {
    "GridSample": grid_sample,
    "Resize": resize,
    "Upsample": upsample,
}
