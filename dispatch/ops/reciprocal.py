"""Reciprocal."""

from __future__ import annotations

from typing import Any

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary

__all__ = ["OPERATOR", "reciprocal"]

OPERATOR = unary(
    "reciprocal",
    dtypes=FLOATS,
    reference=lambda x: 1.0 / x,
    onnx=("Reciprocal",),
)


def reciprocal(x: Any, *, out: Any = None) -> Any:
    """Return ``1 / x``, as ONNX's Reciprocal.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
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
