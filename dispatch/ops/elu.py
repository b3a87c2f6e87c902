"""Exponential linear unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary
from dispatch.operator import Array, Arrays, Attributes
from dispatch.problem import AttributeValue
from dispatch.shapes import real
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "elu"]


def check(attributes: Attributes, x: TensorSpec) -> dict[str, AttributeValue]:
    """Make the numbers floats."""
    return {"alpha": real("elu", "alpha", attributes["alpha"])}


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """Below 0 the exponential itself, for subtracting 1 cancels."""
    (x,) = arrays
    assert x is not None
    return [np.where(x > 0, np.abs(x), abs(attributes["alpha"]))]


OPERATOR = unary(
    "elu",
    dtypes=FLOATS,
    reference=lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))),
    onnx=("Elu",),
    attributes={"alpha": 1.0},
    check=check,
    variants=({}, {"alpha": 0.5}, {"alpha": 2.0}),
    magnitude=magnitude,
    edge_values=(math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1e-4, -1.0, -20.0, -100.0, 1e4),
)


def elu(x: Any, *, alpha: float = 1.0, out: Any = None) -> Any:
    """Return `x` where it is above 0, else ``alpha * (exp(x) - 1)``, as ONNX's Elu.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
    alpha
        What the negative side tends to, with its sign turned.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        An attribute that isn't what is described above.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (alpha,), out)
