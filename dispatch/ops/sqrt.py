"""Square root."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "sqrt"]

OPERATOR = unary(
    "sqrt",
    dtypes=FLOATS,
    reference=np.sqrt,
    onnx=("Sqrt",),
    low=0.0,
    high=20.0,
)


def sqrt(x: Any, *, out: Any = None) -> Any:
    """Return the square root, as ONNX's Sqrt: NaN below 0.

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
