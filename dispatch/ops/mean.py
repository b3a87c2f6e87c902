"""Mean over axes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.reduction import reduction

if TYPE_CHECKING:
    from dispatch.operator import Array, Arrays, Attributes

__all__ = ["OPERATOR", "mean"]


def values(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Add up and divide, without NumPy's warning of an empty mean."""
    total = np.sum(x, axis=axes, keepdims=keepdims)
    count = math.prod(x.shape[axis] for axis in axes)
    return np.asarray(np.divide(total, count))


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The mean of absolute values."""
    (x,) = arrays
    assert x is not None
    with np.errstate(all="ignore"):
        return [values(np.abs(x), attributes["axes"], bool(attributes["keepdims"]))]


OPERATOR = reduction(
    "mean",
    dtypes=FLOATS,
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
        Any shape; float32, float64, float16 or bfloat16.
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
    """
    return call(OPERATOR, (x,), (axes, keepdims), out)
