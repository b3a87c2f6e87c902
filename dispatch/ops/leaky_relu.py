"""Leaky rectified linear unit."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary
from dispatch.operator import Attributes
from dispatch.problem import AttributeValue
from dispatch.shapes import real
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "leaky_relu"]


def check(attributes: Attributes, x: TensorSpec) -> dict[str, AttributeValue]:
    """Make the numbers floats."""
    return {"alpha": real("leaky_relu", "alpha", attributes["alpha"])}


OPERATOR = unary(
    "leaky_relu",
    dtypes=FLOATS,
    reference=lambda x, alpha: np.where(x >= 0, x, alpha * x),
    onnx=("LeakyRelu",),
    attributes={"alpha": 0.01},
    check=check,
    variants=({}, {"alpha": 0.3}, {"alpha": 0.0}, {"alpha": -0.5}, {"alpha": 1.5}),
)


def leaky_relu(x: Any, *, alpha: float = 0.01, out: Any = None) -> Any:
    """Return `x` where it is at least 0, else ``alpha * x``, as ONNX's LeakyRelu.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
    alpha
        The slope below 0.
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
