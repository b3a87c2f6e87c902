"""Inequality."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import binary

__all__ = ["OPERATOR", "not_equal"]

OPERATOR = binary(
    "not_equal",
    dtypes=FLOATS + INTEGERS + ("bool",),
    reference=np.not_equal,
    onnx=(),
    output_dtype="bool",
    error=0.0,
)


def not_equal(a: Any, b: Any, *, out: Any = None) -> Any:
    """Return ``a != b`` as bool, which ONNX writes as Not of Equal; NaN is unequal to everything.

    Parameters
    ----------
    a, b : array
        Shapes that broadcast as NumPy's do; float32, float64, float16 or bfloat16,
        integers or bool,
        the same for both.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of the broadcast shape, bool, of the arguments' kind.

    Raises
    ------
    InvalidArgument
        Shapes that don't broadcast.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    return call(OPERATOR, (a, b), (), out)
