"""Power."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import binary
from dispatch.operator import Array, Arrays, Attributes

__all__ = ["OPERATOR", "pow"]


def power(a: Array, b: Array) -> Array:
    """Raise; a negative exponent of integers gives the reciprocal, cut off toward zero."""
    if a.dtype.kind == "f":
        return np.asarray(np.power(a, b))
    whole = np.power(a, np.maximum(b, 0))
    odd = np.where(b % 2 == 0, 1, a)
    return np.where(b >= 0, whole, np.where(np.abs(a) == 1, odd, 0)).astype(a.dtype)


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The result times its condition: the exponent times the logarithm is rounded too."""
    a, b = arrays
    assert a is not None and b is not None and outputs[0] is not None
    with np.errstate(all="ignore"):
        condition = np.abs(b * np.log(np.abs(a)))
    condition = np.where(np.isfinite(condition), condition, 0.0)
    return [np.abs(outputs[0]) * (1.0 + condition)]


OPERATOR = binary(
    "pow",
    dtypes=FLOATS + INTEGERS,
    reference=power,
    onnx=("Pow",),
    magnitude=magnitude,
    low=0.1,
    second_low=0.0,
    second_high=3.0,
    edge_values=(
        (
            0.0,
            0.0,
            -0.0,
            1.0,
            2.0,
            -2.0,
            -2.0,
            -8.0,
            math.inf,
            -math.inf,
            -math.inf,
            math.nan,
            1.0,
            9.0,
        ),
        (0.0, 3.0, 3.0, math.nan, -1.0, 3.0, 0.5, 2.0, 2.0, 3.0, -1.0, 0.0, math.inf, 0.5),
    ),
)


def pow(a: Any, b: Any, *, out: Any = None) -> Any:
    """Return ``a ** b``, as ONNX's Pow.

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
    Integers wrap around; a negative exponent gives the reciprocal cut off toward zero
    (0 for the base 0).
    """
    return call(OPERATOR, (a, b), (), out)
