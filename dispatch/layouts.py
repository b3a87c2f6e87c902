"""Arrays in a kernel's own layouts, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.operator import Array
from dispatch.tensor import LAYOUT_BLOCKS, NHWC, TensorSpec

__all__ = ["PAGE", "empty", "from_layout", "to_layout"]

PAGE = 4096


def to_layout(array: Array, spec: TensorSpec, offset: int = 0) -> Array:
    """Return the elements in the layout of `spec`, in memory of their own as `empty` gives it."""
    block = LAYOUT_BLOCKS[spec.layout]
    stored: Array = array
    if spec.layout == NHWC:
        stored = array.transpose(0, 2, 3, 1)
    elif block > 1:
        n, channels, height, width = array.shape
        blocks = -(-channels // block)
        padded = np.zeros((n, blocks * block, height, width), array.dtype)
        padded[:, :channels] = array
        stored = padded.reshape(n, blocks, block, height, width).transpose(0, 1, 3, 4, 2)
    target = empty(stored.shape, array.dtype, offset)
    target[...] = stored
    return target


def from_layout(stored: Array, spec: TensorSpec) -> Array:
    """Return the logical array of what lies in the layout of `spec`."""
    block = LAYOUT_BLOCKS[spec.layout]
    if spec.layout == NHWC:
        n, channels, height, width = spec.shape
        return stored.reshape(n, height, width, channels).transpose(0, 3, 1, 2)
    if block == 1:
        return stored.reshape(spec.shape)
    n, channels, height, width = spec.shape
    blocks = -(-channels // block)
    whole = stored.reshape(n, blocks, height, width, block).transpose(0, 1, 4, 2, 3)
    return whole.reshape(n, blocks * block, height, width)[:, :channels]


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0) -> Array:
    """Return uninitialised memory that starts `offset` bytes behind a page's start."""
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    raw = np.empty(count + PAGE + offset, np.uint8)
    start = -raw.ctypes.data % PAGE + offset
    return raw[start : start + count].view(dtype).reshape(shape)
