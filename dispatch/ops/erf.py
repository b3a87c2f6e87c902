"""Error function."""

from __future__ import annotations

from typing import Any

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import erf_values, unary

__all__ = ["OPERATOR", "erf"]

OPERATOR = unary(
    "erf",
    dtypes=FLOATS,
    reference=erf_values,
    onnx=("Erf",),
    low=-4.0,
    high=4.0,
)


def erf(x: Any, *, out: Any = None) -> Any:
    """Return the error function, as ONNX's Erf.

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
