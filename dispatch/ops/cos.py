"""Cosine."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.elementwise import of_angle

__all__ = ["OPERATOR", "cos"]

OPERATOR = of_angle("cos", np.cos, onnx="Cos")


def cos(x: Any, *, out: Any = None) -> Any:
    """Return the cosine of an angle in radians, as ONNX's Cos.

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
