"""Logical or."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.elementwise import binary

__all__ = ["OPERATOR", "logical_or"]

OPERATOR = binary(
    "logical_or",
    dtypes=("bool",),
    reference=np.logical_or,
    onnx=("Or",),
    low=0.0,
    high=1.0,
    error=0.0,
    edge_values=((0.0, 0.0, 1.0, 1.0), (0.0, 1.0, 0.0, 1.0)),
)


def logical_or(a: Any, b: Any, *, out: Any = None) -> Any:
    """Return ``a or b`` of truth values, as ONNX's Or.

    Parameters
    ----------
    a, b : array
        Shapes that broadcast as NumPy's do; bool,
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
    """
    return call(OPERATOR, (a, b), (), out)
