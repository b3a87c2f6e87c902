"""Mean over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.operator import Array, Arrays, Attributes
from dispatch.reduction import reduction

__all__ = ["OPERATOR", "mean"]


def values(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Add up in x's own dtype and divide."""
    total = np.asarray(np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype))
    count = math.prod(x.shape[axis] for axis in axes)
    if x.dtype.kind == "f":
        return np.asarray(np.divide(total, count))
    # Integers are cut off toward zero; Python's are exact and of any size.
    whole = [abs(int(t)) // count * (1 if t >= 0 else -1) if count else 0 for t in total.flat]
    return np.array(whole, x.dtype).reshape(total.shape)


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The mean of absolute values."""
    (x,) = arrays
    assert x is not None
    with np.errstate(all="ignore"):
        return [values(np.abs(x), attributes["axes"], bool(attributes["keepdims"]))]


OPERATOR = reduction(
    "mean",
    dtypes=FLOATS + INTEGERS,
    reference=values,
    onnx=("ReduceMean",),
    magnitude=magnitude,
)


def mean(
    x: Any,
    axes: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    out: Any = None,
) -> Any:
    """Return the mean over axes, as ONNX's ReduceMean; NaN over no elements.

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
    Integers are added up in their own dtype, wrapping around, and divided
    cutting off toward zero; over no elements they give 0.
    """
    return call(OPERATOR, (x,), (axes, keepdims), out)
