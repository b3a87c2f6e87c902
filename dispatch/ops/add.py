"""Addition."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import binary

__all__ = ["OPERATOR", "add"]

OPERATOR = binary(
    "add",
    dtypes=FLOATS + INTEGERS,
    reference=np.add,
    onnx=("Add",),
)


def add(a: Any, b: Any, *, out: Any = None) -> Any:
    """Return ``a + b``, as ONNX's Add.

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
    Integers that overflow wrap around.
    """
    return call(OPERATOR, (a, b), (), out)
