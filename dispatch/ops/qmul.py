"""Multiplication of quantised tensors."""

from __future__ import annotations

from typing import Any

from dispatch.arguments import epilogue_of
from dispatch.call import call
from dispatch.operator import Array
from dispatch.qelementwise import quantized_binary
from dispatch.quantization import centred, check_multipliers, multipliers, requantize
from dispatch.quantized import QuantizedArray
from dispatch.tensor import Quantization

__all__ = ["OPERATOR", "qmul"]

NAME = "qmul"


def _check(a: Quantization, b: Quantization, y: Quantization) -> None:
    check_multipliers(NAME, a, b, y)


def _combine(a: QuantizedArray, b: QuantizedArray, y: Quantization, dtype: str) -> Array:
    """The product of stored values is exact, then requantised as a sum of one."""
    product = centred(a.array, a.quantization) * centred(b.array, b.quantization)
    return requantize(product, multipliers(a.quantization, b.quantization, y)[0], y, dtype)


OPERATOR = quantized_binary(NAME, check=_check, combine=_combine, onnx=("QLinearMul",), scale=0.045)


def qmul(
    a: Any,
    b: Any,
    *,
    scale: float,
    zero_point: int = 0,
    dtype: str | None = None,
    activation: str | tuple[Any, ...] | None = None,
    out: Any = None,
) -> Any:
    """Multiply the real values of quantised arrays, as ONNX Runtime's QLinearMul.

    ``docs/decisions/0012-quantised-tensors.md`` says how the product is rounded.

    Parameters
    ----------
    a, b : QuantizedArray
        Shapes that broadcast as NumPy's do; uint8 or int8, one scale each.
    scale, zero_point
        The result's.
    dtype
        The result's, ``"uint8"`` or ``"int8"``; None: as a's.
    activation
        ``"relu"`` or ``("clip", low, high)``, of the real result.
    out : array of the result's dtype, optional
        Where to write the stored values.

    Returns
    -------
    QuantizedArray
        Of the broadcast shape.

    Raises
    ------
    InvalidArgument
        A shape, scale or zero point that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (a, b), (scale, zero_point, dtype), out, epilogue_of(activation, None))
