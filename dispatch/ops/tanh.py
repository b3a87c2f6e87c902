"""Hyperbolic tangent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "tanh"]

OPERATOR = unary(
    "tanh",
    dtypes=FLOATS,
    reference=np.tanh,
    onnx=("Tanh",),
    edge_values=(math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-4, -1e-4, 0.5, 9.0, -9.0, 100.0),
)


def tanh(x: Any, *, out: Any = None) -> Any:
    """Return the hyperbolic tangent, as ONNX's Tanh.

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
