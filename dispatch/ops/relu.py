"""Rectified linear unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "relu"]

OPERATOR = unary(
    "relu",
    dtypes=FLOATS + INTEGERS,
    reference=lambda x: np.maximum(x, 0),
    onnx=("Relu",),
)


def relu(x: Any, *, out: Any = None) -> Any:
    """Return ``max(x, 0)``, as ONNX's Relu; NaN stays NaN.

    Parameters
    ----------
    x : array
        Any shape; floating or integers.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.
    """
    return call(OPERATOR, (x,), (), out)
