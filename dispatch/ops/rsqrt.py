"""Reciprocal square root."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "rsqrt"]

OPERATOR = unary(
    "rsqrt",
    dtypes=FLOATS,
    reference=lambda x: 1.0 / np.sqrt(x),
    onnx=(),
    low=1e-3,
    high=20.0,
)


def rsqrt(x: Any, *, out: Any = None) -> Any:
    """Return ``1 / sqrt(x)``: infinity at 0, NaN below. ONNX writes it as Reciprocal of Sqrt.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (), out)
