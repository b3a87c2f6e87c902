"""Largest integer below."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "floor"]

OPERATOR = unary(
    "floor",
    dtypes=FLOATS,
    reference=np.floor,
    onnx=("Floor",),
    error=0.0,
)


def floor(x: Any, *, out: Any = None) -> Any:
    """Return the largest integer that is not above `x`, as ONNX's Floor.

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
