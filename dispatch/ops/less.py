"""Less than."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import binary

__all__ = ["OPERATOR", "less"]

OPERATOR = binary(
    "less",
    dtypes=FLOATS + INTEGERS,
    reference=np.less,
    onnx=("Less",),
    output_dtype="bool",
    error=0.0,
)


def less(a: Any, b: Any, *, out: Any = None) -> Any:
    """Return ``a < b`` as bool, as ONNX's Less; NaN is in no order with anything.

    Parameters
    ----------
    a, b : array
        Shapes that broadcast as NumPy's do; float32, float64, float16 or bfloat16, or integers,
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
