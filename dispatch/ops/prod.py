"""Product over axes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.operator import Array, Arrays, Attributes
from dispatch.reduction import reduction

__all__ = ["OPERATOR", "prod"]


def values(x: Array, axes: tuple[int, ...], keepdims: bool) -> Array:
    """Multiply in x's own dtype."""
    return np.asarray(np.prod(x, axis=axes, keepdims=keepdims, dtype=x.dtype))


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The result, for each of its factors: every product is rounded."""
    (x,) = arrays
    assert x is not None and outputs[0] is not None
    factors = math.prod(x.shape[axis] for axis in attributes["axes"])
    return [np.abs(outputs[0].astype(np.float64)) * max(factors, 1)]


OPERATOR = reduction(
    "prod",
    dtypes=FLOATS + INTEGERS,
    reference=values,
    onnx=("ReduceProd",),
    magnitude=magnitude,
    error=4.0,
    low=0.8,
    high=1.25,
)


def prod(
    x: Any,
    axes: int | tuple[int, ...] | None = None,
    *,
    keepdims: bool = False,
    out: Any = None,
) -> Any:
    """Return the product over axes, as ONNX's ReduceProd; 1 over no elements.

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
