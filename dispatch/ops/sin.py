"""Sine."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "sin"]

OPERATOR = unary(
    "sin",
    dtypes=FLOATS,
    reference=np.sin,
    onnx=("Sin",),
    low=-30.0,
    high=30.0,
    edge_values=(
        *(math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-20, 0.5, -0.75, 3.0, -1.5),
        # Near multiples of a half turn's half, where a reduced argument loses its digits.
        *(math.pi / 2, -math.pi, 710.0, 3.3e3, 52174.0, -131071.5, 1e7, 3e38),
    ),
)


def sin(x: Any, *, out: Any = None) -> Any:
    """Return the sine of an angle in radians, as ONNX's Sin.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype; NaN for an infinity.

    Raises
    ------
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (), out)
