"""Quantised values of a model: ONNX has plain integers there, with scales beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

import dispatch
from dispatch.operator import Array
from dispatch.quantization import RANGES, make_quantization
from runtime.errors import ModelError
from runtime.onnx.call import Call, Value
from runtime.onnx.concrete import Concrete

__all__ = ["Parameters", "meant", "parameters", "stored"]


class Parameters:
    """A scale and a zero point that a node has as inputs.

    Attributes
    ----------
    scale, zero_point : numpy.ndarray
        Their elements; the zero point's dtype is the stored values'.
    axis : int or None
        The axis that they lie along; None for one of each.
    """

    def __init__(self, scale: Array, zero_point: Array, axis: int | None) -> None:
        self.scale, self.zero_point, self.axis = scale, zero_point, axis

    @property
    def dtype(self) -> str:
        """The stored values'."""
        return self.zero_point.dtype.name

    @property
    def result(self) -> dict[str, Any]:
        """The keywords of an operator whose result they are; it has one scale."""
        if self.axis is not None:
            raise ModelError("y_scale: expected one number, got several")
        return {
            "scale": float(self.scale),
            "zero_point": int(self.zero_point),
            "dtype": self.dtype,
        }


def parameters(
    call: Call, scale: int, zero_point: int, axis: int, dtype: str = "uint8"
) -> Parameters | None:
    """Return a node's parameters, None where they follow from the model's inputs.

    Parameters
    ----------
    scale, zero_point
        The inputs' numbers; a zero point that is absent is 0.
    axis
        The axis of parameters that are several.
    dtype
        Of the stored values where there is no zero point.

    Raises
    ------
    ModelError
        If the stored values' dtype isn't served, or both don't go together.
    """
    given, point = call[scale], call.optional(zero_point)
    name = dtype if point is None else point.spec.dtype
    if name not in RANGES:
        raise ModelError(f"expected quantised uint8, int8 or int32, got {name}")
    if not isinstance(given, Concrete) or not (point is None or isinstance(point, Concrete)):
        return None
    scales = given.array.astype(np.float32)
    points = np.zeros(scales.shape, name) if point is None else point.array
    alike = scales.ndim <= 1 and points.shape == scales.shape
    if not alike and not (scales.size == points.size == 1):
        raise ModelError(
            f"expected as many zero points as scales, along one axis, got shapes "
            f"{points.shape} and {scales.shape}"
        )
    if scales.size == 1:
        return Parameters(scales.reshape(()), points.reshape(()), None)
    return Parameters(scales, points, axis)


def stored(value: Value) -> Value:
    """Return the plain integers of a quantised value; any other as it is."""
    if value.spec.quantization is None:
        return value
    return value.like(value.array) if isinstance(value, Concrete) else value.values


def meant(value: Value, given: Parameters) -> Value:
    """Return a value whose integers stand for what the parameters say."""
    spec = value.spec
    quantization = make_quantization(
        "quantisation", given.scale, given.zero_point, given.axis, spec.dtype, spec.shape
    )
    if spec.quantization == quantization:
        return value
    if given.zero_point.dtype.name != spec.dtype:
        raise ModelError(
            f"expected a zero point of {spec.dtype} as the values are, got {given.dtype}"
        )
    if isinstance(value, Concrete):
        return Concrete(value.array, value.recorder, quantization)
    plain = stored(value)
    made: Value = dispatch.quantized(plain, given.scale, given.zero_point, given.axis)
    return made
