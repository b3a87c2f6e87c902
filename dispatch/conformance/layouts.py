"""Tensors in the contract's layouts, by NumPy."""

from __future__ import annotations

import numpy as np

from dispatch.operator import Array
from dispatch.tensor import LAYOUT_BLOCKS, NCHW, NHWC, TensorSpec

__all__ = ["from_layout", "padding", "physical_shape", "to_layout"]


def physical_shape(spec: TensorSpec) -> tuple[int, ...]:
    """Return the dense shape in memory."""
    block = LAYOUT_BLOCKS[spec.layout]
    if spec.layout == NCHW:
        return spec.shape
    n, channels, height, width = spec.shape
    if spec.layout == NHWC:
        return (n, height, width, channels)
    return (n, -(-channels // block), height, width, block)


def to_layout(array: Array, layout: str) -> Array:
    """Return a logical array as it lies in memory, blocks filled up with zeros."""
    if layout == NCHW:
        return np.ascontiguousarray(array).reshape(array.shape)
    if layout == NHWC:
        return np.ascontiguousarray(array.transpose(0, 2, 3, 1))
    block = LAYOUT_BLOCKS[layout]
    n, channels, height, width = array.shape
    blocks = -(-channels // block)
    full = np.zeros((n, blocks * block, height, width), array.dtype)
    full[:, :channels] = array
    parts = full.reshape(n, blocks, block, height, width)
    return np.ascontiguousarray(parts.transpose(0, 1, 3, 4, 2))


def from_layout(stored: Array, spec: TensorSpec) -> Array:
    """Return the logical array of what lies in memory."""
    if spec.layout == NCHW:
        return stored
    if spec.layout == NHWC:
        return stored.transpose(0, 3, 1, 2)
    return _all_channels(stored)[:, : spec.shape[1]]


def padding(stored: Array, spec: TensorSpec) -> Array:
    """Return the elements that fill the last block up; the contract says that they are zero."""
    if LAYOUT_BLOCKS[spec.layout] == 1:
        return stored.reshape(-1)[:0]
    return _all_channels(stored)[:, spec.shape[1] :]


def _all_channels(stored: Array) -> Array:
    n, blocks, height, width, block = stored.shape
    return stored.transpose(0, 1, 4, 2, 3).reshape(n, blocks * block, height, width)
