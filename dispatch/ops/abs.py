"""Absolute value."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "abs"]

OPERATOR = unary(
    "abs",
    dtypes=FLOATS + INTEGERS,
    reference=np.abs,
    onnx=("Abs",),
    error=0.0,
)


def abs(x: Any, *, out: Any = None) -> Any:
    """Return the absolute value, as ONNX's Abs.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16, or integers.
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

    Notes
    -----
    The least signed integer has no positive counterpart and stays as it is.
    """
    return call(OPERATOR, (x,), (), out)
