"""Buffers with guards around them, filled with what no kernel may leave."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.operator import Array

__all__ = ["POISON", "Buffer"]

GUARD = 128
"""Bytes on each side: a vector's width beyond the end, twice."""
ALIGNMENT = 64
PATTERN = 0xA5
POISON = 0xFF
"""A NaN in every floating dtype."""


class Buffer:
    """Memory for one array, between two guards.

    Parameters
    ----------
    shape, dtype
        Of the array.
    offset
        Bytes by which its address misses the contract's alignment.
    """

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int = 0) -> None:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        self._raw = np.full(size + 2 * GUARD + 2 * ALIGNMENT, PATTERN, np.uint8)
        start = GUARD - (self._raw.ctypes.data + GUARD) % ALIGNMENT + ALIGNMENT + offset
        self._start, self._end = start, start + size
        self.bytes: Array = self._raw[start : self._end]
        self.bytes[:] = POISON
        self.array: Array = self.bytes.view(dtype).reshape(shape)

    def seen_as(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Return the same memory as an array of another shape."""
        other = object.__new__(type(self))
        other.__dict__ = {**self.__dict__, "array": self.bytes.view(dtype).reshape(shape)}
        return other

    def guards_broken(self) -> str:
        """Say where the guards were written to, "" if nowhere."""
        before = np.flatnonzero(self._raw[: self._start] != PATTERN)
        after = np.flatnonzero(self._raw[self._end :] != PATTERN)
        if before.size:
            return f"{self._start - int(before[0])} bytes before the start"
        if after.size:
            return f"{int(after[-1]) + 1} bytes beyond the end"
        return ""
