"""Exponential."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "exp"]

OPERATOR = unary(
    "exp",
    dtypes=FLOATS,
    reference=np.exp,
    onnx=("Exp",),
    edge_values=(
        math.nan,
        math.inf,
        -math.inf,
        0.0,
        -0.0,
        1e-6,
        1.0,
        88.0,
        89.0,
        -87.0,
        -104.0,
        -200.0,
    ),
)


def exp(x: Any, *, out: Any = None) -> Any:
    """Return ``e ** x``, as ONNX's Exp.

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
