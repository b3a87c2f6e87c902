"""Addition of quantised tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.arguments import epilogue_of
from dispatch.call import call
from dispatch.operator import Array
from dispatch.qelementwise import quantized_binary
from dispatch.quantization import centred, check_ratio, ratio, saturated
from dispatch.quantized import QuantizedArray
from dispatch.tensor import Quantization

__all__ = ["OPERATOR", "qadd"]

NAME = "qadd"


def _check(a: Quantization, b: Quantization, y: Quantization) -> None:
    check_ratio(NAME, "a", a, y)
    check_ratio(NAME, "b", b, y)


def _combine(a: QuantizedArray, b: QuantizedArray, y: Quantization, dtype: str) -> Array:
    """Each product and their sum are rounded to float32."""
    first, second = (
        centred(x.array, x.quantization).astype(np.float32) * ratio(x.quantization, y)
        for x in (a, b)
    )
    return saturated(np.rint(first + second), y.zero_points[0], dtype)


OPERATOR = quantized_binary(NAME, check=_check, combine=_combine, onnx=("QLinearAdd",), scale=0.05)


def qadd(
    a: Any,
    b: Any,
    *,
    scale: float,
    zero_point: int = 0,
    dtype: str | None = None,
    activation: str | tuple[Any, ...] | None = None,
    out: Any = None,
) -> Any:
    """Add the real values of quantised arrays, as ONNX Runtime's QLinearAdd.

    ``docs/decisions/0012-quantised-tensors.md`` says how the sum is rounded.

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
