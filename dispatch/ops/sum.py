"""Sum over axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.operator import Array, Arrays, Attributes
from dispatch.reduction import reduction

__all__ = ["OPERATOR", "sum"]


def values(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Add up in x's own dtype."""
    return np.asarray(np.sum(x, axis=axes, keepdims=keepdims, dtype=x.dtype))


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The sum of absolute values."""
    (x,) = arrays
    assert x is not None
    return [values(np.abs(x), attributes["axes"], bool(attributes["keepdims"]))]


OPERATOR = reduction(
    "sum",
    dtypes=FLOATS + INTEGERS,
    reference=values,
    onnx=("ReduceSum",),
    magnitude=magnitude,
)


def sum(
    x: Any,
    axes: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    out: Any = None,
) -> Any:
    """Return the sum over axes, as ONNX's ReduceSum; 0 over no elements.

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
    Integers that overflow wrap around.
    """
    return call(OPERATOR, (x,), (axes, keepdims), out)
