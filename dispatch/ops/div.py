"""Division."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import binary
from dispatch.operator import Array

__all__ = ["OPERATOR", "div"]


def quotient(a: Array, b: Array) -> Array:
    """Divide; integers without going through floating point."""
    if a.dtype.kind == "f":
        return np.asarray(a / b)
    floor, rest = np.divmod(a, b)
    # divmod rounds down; where it did so past zero, the quotient is one more.
    inexact = (rest != 0) & ((a < 0) != (b < 0))
    return np.where(b == 0, 0, floor + inexact).astype(a.dtype)


OPERATOR = binary(
    "div",
    dtypes=FLOATS + INTEGERS,
    reference=quotient,
    onnx=("Div",),
    second_low=0.5,
    second_high=6.0,
)


def div(a: Any, b: Any, *, out: Any = None) -> Any:
    """Return ``a / b``, as ONNX's Div: integers are cut off toward zero.

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
    An integer divided by 0 gives 0; the least signed integer divided by -1 wraps around to itself.
    """
    return call(OPERATOR, (a, b), (), out)
