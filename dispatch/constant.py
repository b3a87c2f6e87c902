"""Weights that don't change, so that kernels pack them once."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from dispatch.arrays import to_numpy
from dispatch.contract import Memory, Queue
from dispatch.memory import place_of
from dispatch.operator import Array
from dispatch.quantized import QuantizedArray
from dispatch.tensor import Quantization

__all__ = ["Constant", "DeviceConstant", "constant"]

_tokens = itertools.count(1)


class Constant:
    """An array whose values never change, as `constant` makes it.

    Attributes
    ----------
    array : numpy.ndarray
        The values: dense, read-only.
    quantization : Quantization or None
        What the values stand for, if they are quantised.
    token : int
        Different for every constant of the process.
    """

    __slots__ = ("__weakref__", "array", "quantization", "token")

    def __init__(self, array: Array, quantization: Quantization | None = None) -> None:
        self.array = array
        self.quantization = quantization
        self.token = next(_tokens)

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype."""
        return self.array.dtype

    def __repr__(self) -> str:
        return f"constant({self.array.dtype}{list(self.array.shape)})"


class DeviceConstant(Constant):
    """A constant in a device's own memory.

    Attributes
    ----------
    array : array
        A dense copy, of the caller's kind and in the same memory.
    """

    __slots__ = ("_copied_on", "_memory", "_queues")

    def __init__(self, value: Any, memory: Memory, quantization: Quantization | None) -> None:
        queue = memory.queue_of(value)
        dtype, shape, _ = memory.describe(value)
        array = memory.new_array(queue, shape, dtype, value)
        memory.copy(queue, array, value)
        super().__init__(array, quantization)
        # The array's own queue may be another by and by: its library's current one.
        self._memory, self._copied_on, self._queues = memory, queue, {queue}

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self._memory.describe(self.array)[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype."""
        return self._memory.describe(self.array)[0]

    def wait_on(self, queue: Queue) -> None:
        """Have what is enqueued on `queue` from now on come after the copy."""
        if queue not in self._queues:
            self._memory.order(self._copied_on, queue)
            self._queues.add(queue)

    def __repr__(self) -> str:
        return f"constant({self.dtype}{list(self.shape)} on {self._copied_on})"


def constant(value: Any) -> Constant:
    """Mark an array as one that won't change, so that kernels prepare it once.

    Parameters
    ----------
    value : array
        Anything that an operator takes, quantised arrays too. Its values are copied, within the
        memory that they lie in: a later change of `value` has no effect.

    Returns
    -------
    Constant
        Stands for the array in every call.

    Examples
    --------
    >>> w = dispatch.constant(weights)
    >>> y = dispatch.conv2d(x, w)
    """
    if isinstance(value, Constant):
        return value
    quantized = isinstance(value, QuantizedArray)
    place = place_of(value.array if quantized else value)
    if place is not None:
        if quantized:
            return DeviceConstant(value.array, place.memory, value.quantization)
        return DeviceConstant(value, place.memory, None)
    source = value.array if quantized else to_numpy(value, "value")
    array = np.array(source, order="C", copy=True)
    array.flags.writeable = False
    return Constant(array, value.quantization if quantized else None)
