"""Softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.normalization import softmax_like

__all__ = ["OPERATOR", "softmax"]

OPERATOR = softmax_like(
    "softmax",
    values=lambda shifted, total: np.exp(shifted) / total,
    # The exponent's own rounding grows with its size.
    magnitude=lambda shifted, total, y: y * (1.0 + np.abs(shifted)),
    error=16.0,
    onnx=("Softmax",),
)


def softmax(x: Any, axis: int = -1, *, out: Any = None) -> Any:
    """Return ``exp(x) / sum(exp(x))`` along an axis, as ONNX's Softmax.

    Parameters
    ----------
    x : array
        At least one dimension; float32, float64, float16 or bfloat16.
    axis
        Along which to normalise; negative: from the end.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (axis,), out)
