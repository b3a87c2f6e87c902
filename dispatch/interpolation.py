"""Where resized elements come from: ONNX's coordinate modes and their weights."""

from __future__ import annotations

import math

import numpy as np

from dispatch.operator import Array

__all__ = [
    "COORDINATE_MODES",
    "NEAREST_MODES",
    "coordinates",
    "cubic_weight",
    "nearest",
    "resized",
    "taps",
]

COORDINATE_MODES = (
    "half_pixel",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "half_pixel_symmetric",
)
NEAREST_MODES = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def coordinates(extent: int, count: int, scale: float, mode: str) -> Array:
    """Return the place in the input of each of `count` outputs, in float64.

    Parameters
    ----------
    extent
        Of the input.
    scale
        Output's extent over the input's, not rounded.
    mode
        One of `COORDINATE_MODES`.
    """
    at = np.arange(count, dtype=np.float64)
    if mode == "asymmetric":
        return np.asarray(at / scale)
    if mode == "align_corners":
        return np.asarray(at * (extent - 1) / (count - 1)) if count > 1 else np.zeros(count)
    if mode == "pytorch_half_pixel" and count <= 1:
        return np.zeros(count)
    offset = 0.0
    if mode == "half_pixel_symmetric":
        offset = extent / 2 * (1 - count / (scale * extent))
    return np.asarray(offset + (at + 0.5) / scale - 0.5)


def nearest(at: Array, extent: int, mode: str) -> Array:
    """Return the index nearest to each coordinate, as `mode` of `NEAREST_MODES` rounds."""
    rounded = {
        "round_prefer_floor": lambda: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda: np.floor(at + 0.5),
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
    }[mode]()
    return np.clip(rounded, 0, extent - 1).astype(np.int64)


def taps(
    at: Array, extent: int, mode: str, cubic_coefficient: float, exclude_outside: bool
) -> list[tuple[Array, Array]]:
    """Return (indices, weights) of each tap of linear or cubic interpolation."""
    floor = np.floor(at)
    fraction = at - floor
    if mode == "linear":
        weights = [1.0 - fraction, fraction]
        first = 0
    else:
        weights = [cubic_weight(fraction + 1 - tap, cubic_coefficient) for tap in range(4)]
        first = -1
    indices = [floor.astype(np.int64) + first + tap for tap in range(len(weights))]
    if exclude_outside:
        weights = [
            np.where((index >= 0) & (index < extent), weight, 0.0)
            for index, weight in zip(indices, weights, strict=True)
        ]
        total = np.sum(weights, axis=0)
        weights = [weight / total for weight in weights]
    return [(np.clip(i, 0, extent - 1), w) for i, w in zip(indices, weights, strict=True)]


def cubic_weight(distance: Array, a: float) -> Array:
    """Return the weight of an element at a distance, up to 2."""
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, far)


def resized(extent: int, scale: float) -> int:
    """Return the output's extent, computed in float32 as scales are in ONNX."""
    return math.floor(np.float32(extent) * np.float32(scale))
