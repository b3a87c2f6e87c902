"""Remainder of a division cut off toward zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import binary, remainder

__all__ = ["OPERATOR", "fmod"]

OPERATOR = binary(
    "fmod",
    dtypes=FLOATS + INTEGERS,
    reference=remainder(np.fmod),
    onnx=("Mod",),
    low=-50.0,
    high=50.0,
    second_low=0.5,
    second_high=6.0,
    error=0.0,
)


def fmod(a: Any, b: Any, *, out: Any = None) -> Any:
    """Return the remainder of ``a / b`` with the sign of `a`, as C's fmod and ONNX's by ``fmod=1``.

    Parameters
    ----------
    a, b : array
        Shapes that broadcast as NumPy's do; float32, float64, float16 or bfloat16, or integers,
        the same for both.
    out : array, optional
        Where to write the result; may be `a` or `b` where the shapes agree.

    Returns
    -------
    array
        Of the broadcast shape and the arguments' kind and dtype.

    Raises
    ------
    InvalidArgument
        Shapes that don't broadcast.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.

    Notes
    -----
    The remainder of a division by 0 is 0 for integers, NaN for floating dtypes.
    """
    return call(OPERATOR, (a, b), (), out)
