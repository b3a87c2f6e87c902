"""Natural logarithm."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "log"]

OPERATOR = unary(
    "log",
    dtypes=FLOATS,
    reference=np.log,
    onnx=("Log",),
    low=1e-3,
    high=20.0,
    edge_values=(math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 1.0, 1.0078125, 0.9921875, 1e-30),
)


def log(x: Any, *, out: Any = None) -> Any:
    """Return the natural logarithm, as ONNX's Log: minus infinity at 0, NaN below.

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
