"""Smallest integer above."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "ceil"]

OPERATOR = unary(
    "ceil",
    dtypes=FLOATS,
    reference=np.ceil,
    onnx=("Ceil",),
    error=0.0,
)


def ceil(x: Any, *, out: Any = None) -> Any:
    """Return the smallest integer that is not below `x`, as ONNX's Ceil.

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
