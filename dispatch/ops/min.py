"""Smallest element over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.operator import Array
from dispatch.reduction import reduction

__all__ = ["OPERATOR", "min"]


def values(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Start from what no element is above."""
    start: Any = np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).max
    return np.asarray(np.minimum.reduce(x, axis=axes, keepdims=keepdims, initial=start))  # type: ignore[call-overload]


OPERATOR = reduction(
    "min",
    dtypes=FLOATS + INTEGERS,
    reference=values,
    onnx=("ReduceMin",),
    error=0.0,
)


def min(
    x: Any,
    axes: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    out: Any = None,
) -> Any:
    """Return the smallest element over axes, as ONNX's ReduceMin; NaN if there is one.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16, or integers.
    axes
        The axes to reduce; None: all of them, an empty tuple: none.
    keepdims
        Leave reduced axes with extent 1.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have, or the same one twice.
    UnsupportedDtype
        A dtype that isn't served.

    Notes
    -----
    Over no elements: infinity, or the dtype's largest integer.
    """
    return call(OPERATOR, (x,), (axes, keepdims), out)
