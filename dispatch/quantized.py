"""Quantised arrays as callers hold them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dispatch.arrays import TRACE_HOOK, to_numpy
from dispatch.dtypes import dtype_name
from dispatch.errors import InvalidArgument
from dispatch.memory import place_of
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.quantization import given_attributes, make_quantization
from dispatch.tensor import Quantization

__all__ = [
    "DeviceQuantizedArray",
    "QuantizedArray",
    "quantized",
    "quantized_input",
    "reference_arguments",
]


class QuantizedArray:
    """Integers that stand for ``scale * (values - zero_point)``.

    What `quantized` makes and quantised operators give. It can't be changed,
    and its view of the values is read-only; it doesn't copy them.

    Attributes
    ----------
    values : array
        The stored integers, of the kind that they were given as.
    array : numpy.ndarray
        The same memory as a read-only NumPy array.
    quantization : Quantization
        Scales and zero points, as a problem holds them.
    """

    __slots__ = ("array", "quantization", "values")

    array: Array
    quantization: Quantization
    values: Any

    def __init__(self, array: Array, quantization: Quantization, values: Any = None) -> None:
        view = array.view()
        view.flags.writeable = False
        set_once = object.__setattr__
        set_once(self, "array", view)
        set_once(self, "quantization", quantization)
        set_once(self, "values", view if values is None else values)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name}: a QuantizedArray can't be changed")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{name}: a QuantizedArray can't be changed")

    def __reduce__(self) -> tuple[Any, ...]:
        return QuantizedArray, (self.array, self.quantization)

    @property
    def scale(self) -> Any:
        """A number; with an axis, float32 numbers along it."""
        scales = self.quantization.scales
        return scales[0] if self.axis is None else np.array(scales, np.float32)

    @property
    def zero_point(self) -> Any:
        """An integer; with an axis, int32 integers along it."""
        points = self.quantization.zero_points
        return points[0] if self.axis is None else np.array(points, np.int32)

    @property
    def axis(self) -> int | None:
        """The axis that has scales of its own; None: one scale for all."""
        return None if self.quantization.axis == -1 else self.quantization.axis

    @property
    def shape(self) -> tuple[int, ...]:
        """Extents."""
        return self.array.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype of the stored values."""
        return self.array.dtype

    def dequantize(self) -> Any:
        """Return the real values as float32: `dispatch.dequantize_linear`."""
        from dispatch.ops.dequantize_linear import dequantize_linear

        return dequantize_linear(self)

    def __repr__(self) -> str:
        q = self.quantization
        what = (
            f"scale={q.scales[0]:.6g}, zero_point={q.zero_points[0]}"
            if self.axis is None
            else f"{len(q.scales)} scales along axis {self.axis}"
        )
        return f"quantized({self.dtype}{list(self.shape)}, {what})"


class DeviceQuantizedArray(QuantizedArray):
    """The same of an array in a device's own memory, which can't be made read-only."""

    __slots__ = ()

    def __init__(self, array: Any, quantization: Quantization) -> None:
        set_once = object.__setattr__
        set_once(self, "array", array)
        set_once(self, "quantization", quantization)
        set_once(self, "values", array)


def quantized(values: Any, scale: Any, zero_point: Any = 0, axis: int | None = None) -> Any:
    """Say what stored integers stand for: ``scale * (values - zero_point)``.

    Parameters
    ----------
    values : array
        uint8 or int8; int32 for sums. They aren't copied, so don't change them
        as long as the result is used; `dispatch.constant` of the result copies.
    scale : number or array
        Finite and above 0, rounded to float32; with an axis, one for each of its indices.
    zero_point : integer or array
        The stored value of 0, within the dtype (0 for int32); with an axis, one or as many.
    axis
        The axis that has scales of its own; None: one scale for all.

    Returns
    -------
    QuantizedArray
        What quantised operators take.

    Raises
    ------
    InvalidArgument
        A scale, zero point or axis that doesn't fit; the message names it.
    UnsupportedDtype
        Values of another dtype.

    Examples
    --------
    >>> x = dispatch.quantized(pixels, 1 / 255)
    >>> w = dispatch.constant(dispatch.quantized(filters, scales, axis=0))
    >>> y = dispatch.qconv2d(x, w, scale=0.05, zero_point=128)
    """
    if isinstance(values, QuantizedArray):
        raise InvalidArgument("quantized: values: expected plain integers, got a QuantizedArray")
    take_over = getattr(type(values), TRACE_HOOK, None)
    if take_over is not None:
        from dispatch.ops.as_quantized import OPERATOR

        return take_over(OPERATOR, (values,), (scale, zero_point, axis), None, ())
    place = place_of(values)
    if place is not None:
        stored, shape, _ = place.memory.describe(values)
        name = dtype_name(stored) or str(stored)
        q = make_quantization("quantized", scale, zero_point, axis, name, shape)
        return DeviceQuantizedArray(values, q)
    array = to_numpy(values, "quantized: values")
    dtype = dtype_name(array.dtype)
    assert dtype is not None
    quantization = make_quantization("quantized", scale, zero_point, axis, dtype, array.shape)
    return QuantizedArray(
        array, quantization, None if isinstance(values, (np.ndarray, np.generic)) else values
    )


def quantized_input(value: Any) -> QuantizedArray:
    """Return an input of a reference as the quantised array that it is."""
    assert isinstance(value, QuantizedArray)
    return value


def reference_arguments(
    problem: Problem, arrays: Sequence[Array | None]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the inputs and attributes that an operator's reference takes.

    Parameters
    ----------
    problem
        With its own inputs first.
    arrays
        Their values, floating ones as float64.
    """
    given = [
        a if a is None or t is None or t.quantization is None else QuantizedArray(a, t.quantization)
        for a, t in zip(arrays, problem.inputs, strict=False)
    ]
    return given, given_attributes(problem)
