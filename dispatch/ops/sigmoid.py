"""Logistic function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "sigmoid"]

OPERATOR = unary(
    "sigmoid",
    dtypes=FLOATS,
    reference=lambda x: 1.0 / (1.0 + np.exp(-x)),
    onnx=("Sigmoid",),
    edge_values=(math.nan, math.inf, -math.inf, 0.0, -0.0, 20.0, -20.0, 80.0, -80.0, 1e3, -1e3),
)


def sigmoid(x: Any, *, out: Any = None) -> Any:
    """Return ``1 / (1 + exp(-x))``, as ONNX's Sigmoid.

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
