"""Sign."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "sign"]

OPERATOR = unary(
    "sign",
    dtypes=FLOATS + INTEGERS,
    reference=np.sign,
    onnx=("Sign",),
    error=0.0,
)


def sign(x: Any, *, out: Any = None) -> Any:
    """Return -1, 0 or 1 by the sign of `x`, as ONNX's Sign; NaN stays NaN.

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
    """
    return call(OPERATOR, (x,), (), out)
