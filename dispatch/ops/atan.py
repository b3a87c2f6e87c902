"""Arc tangent."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "atan"]

OPERATOR = unary("atan", dtypes=FLOATS, reference=np.arctan, onnx=("Atan",))


def atan(x: Any, *, out: Any = None) -> Any:
    """Return the angle in radians whose tangent is `x`, as ONNX's Atan.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype; from minus a quarter turn to a quarter turn.

    Raises
    ------
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (), out)
