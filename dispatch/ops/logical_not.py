"""Logical not."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "logical_not"]

OPERATOR = unary(
    "logical_not",
    dtypes=("bool",),
    reference=np.logical_not,
    onnx=("Not",),
    low=0.0,
    high=1.0,
    edge_values=(0.0, 1.0),
    error=0.0,
)


def logical_not(x: Any, *, out: Any = None) -> Any:
    """Return the negation, as ONNX's Not.

    Parameters
    ----------
    x : array
        Any shape; bool.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (), out)
