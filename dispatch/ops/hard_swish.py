"""Hard swish."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary
from dispatch.operator import Array, Arrays, Attributes

__all__ = ["OPERATOR", "hard_swish"]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The product before its inner sum cancels."""
    (x,) = arrays
    assert x is not None
    return [np.abs(x) * np.minimum(np.abs(x) / 6.0 + 0.5, 1.0)]


OPERATOR = unary(
    "hard_swish",
    dtypes=FLOATS,
    reference=lambda x: x * np.clip(x / 6.0 + 0.5, 0.0, 1.0),
    onnx=("HardSwish",),
    magnitude=magnitude,
    edge_values=(math.nan, math.inf, 0.0, -0.0, 3.0, -3.0, 2.5, -2.5, -1.5, 1e3, -1e3),
)


def hard_swish(x: Any, *, out: Any = None) -> Any:
    """Return ``x * max(0, min(1, x / 6 + 1 / 2))``, as ONNX's HardSwish.

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
