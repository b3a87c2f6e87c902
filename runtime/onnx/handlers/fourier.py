"""Fourier transforms, as products with matrices of sines and cosines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.operator import Array
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Extents, extents_of, reshape, static_shape
from runtime.onnx.handlers.casts import cast_to
from runtime.onnx.handlers.positions import positions

__all__ = ["HANDLERS"]

LARGEST_MATRIX = 2**26
"""Elements: beyond it a transform would cost too much by a product."""


def dft(call: Call) -> Any:
    """Record DFT; before version 20 the axis is an attribute."""
    x, length = call[0], call.array(1, "dft_length")
    given = call.get("axis", 1) if call.version < 20 else call.array(2, "axis")
    axis = -2 if given is None else int(np.asarray(given).item())
    axis = normalize_axis("DFT", "axis", axis, x.ndim)
    if axis == x.ndim - 1:
        raise ModelError(f"axis: expected one before the last, got {axis}")
    if call.get("onesided", 0) and call.get("inverse", 0):
        raise ModelError("onesided: expected 0 as inverse is 1, got 1")
    n = _fixed_extent(call, x, axis)
    order = (*(a for a in range(x.ndim) if a not in (axis, x.ndim - 1)), axis, x.ndim - 1)
    x = dispatch.transpose(x, order)
    wanted = n if length is None else int(length.item())
    if wanted < n:
        x = dispatch.slice(x, (0,), (wanted,), (x.ndim - 2,))
    elif wanted > n:
        pads = (0,) * (2 * x.ndim - 2) + (wanted - n, 0)
        x = dispatch.pad(x, pads)
    y = _transformed(call, x, wanted, None)
    return dispatch.transpose(y, tuple(int(i) for i in np.argsort(order)))


def stft(call: Call) -> Any:
    """Record STFT: frames of the signal, each times the window and transformed."""
    signal, given, window = call[0], call.array(1, "frame_step"), call.optional(2)
    length, step = call.array(3, "frame_length"), 0 if given is None else int(given.item())
    if signal.ndim not in (2, 3) or step < 1:
        raise ModelError(
            f"expected a signal of 2 or 3 dimensions and steps above 0, got {signal.spec}, {step}"
        )
    if signal.ndim == 2:  # as exporters give real ones
        signal = reshape(call, signal, (Extents((0,)), Extents((1,)), 1))
    if length is not None:
        n = int(length.item())
    elif window is not None:
        n = _fixed_extent(call, window, 0)
    else:
        raise ModelError("frame_length: expected a number or a window, got neither")
    # None of a signal that is shorter than a frame; division cuts off toward zero.
    room = dispatch.add(extents_of(call, signal, (1,)), step - n)
    count = dispatch.maximum(dispatch.div(room, step), 0)
    starts = dispatch.mul(positions(call, count), step)
    places = dispatch.add(
        reshape(call, starts, (Extents((0,)), 1)), call.scope.concrete(np.arange(n), np.int64)
    )
    return _transformed(call, dispatch.gather(signal, places, 1), n, window)


def _fixed_extent(call: Call, x: Value, axis: int) -> int:
    shape = static_shape(call, x)
    if shape is None:
        raise ModelError(f"expected a fixed extent along axis {axis} as it is transformed")
    return shape[axis]


def _transformed(call: Call, x: Any, n: int, window: Value | None) -> Any:
    """Return the transform of ``x[..., n, 1 or 2]``, real or real and imaginary parts."""
    parts = x.spec.shape[-1]
    bins = n // 2 + 1 if call.get("onesided", int(call.operator == "STFT")) else n
    if parts not in (1, 2) or n < 1:
        raise ModelError(f"expected 1 or 2 parts of at least one number, got {x.spec}")
    if n * parts * bins * 2 > LARGEST_MATRIX:
        raise ModelError(f"a transform of {n} numbers: expected less, for it is a product here")
    matrix: Any = call.scope.concrete(_matrix(n, parts, bins, bool(call.get("inverse", 0))))
    matrix = cast_to(matrix, x.spec.dtype)
    if window is not None:
        matrix = dispatch.mul(matrix, reshape(call, window, (Extents((0,)), 1, 1)))
    matrix = dispatch.reshape(matrix, (n * parts, bins * 2))
    leading = [Extents((axis,)) for axis in range(x.ndim - 2)]
    flat = reshape(call, x, [*leading, Extents((x.ndim - 2, x.ndim - 1))])
    return reshape(call, dispatch.matmul(flat, matrix), [*leading, bins, 2])


def _matrix(n: int, parts: int, bins: int, inverse: bool) -> Array:
    """Return what takes numbers to frequencies, of shape (n, parts, 2 * bins)."""
    turns = np.outer(np.arange(n), np.arange(bins)) % n
    wave = np.exp((2j if inverse else -2j) * np.pi * turns / n) / (n if inverse else 1)
    real = np.stack([wave.real, wave.imag], -1)
    imaginary = np.stack([-wave.imag, wave.real], -1)
    return np.stack([real, imaginary][:parts], 1).reshape(n, parts, 2 * bins)


HANDLERS: Mapping[str, Handler] = {"DFT": dft, "STFT": stft}
