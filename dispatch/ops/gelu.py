"""Gaussian error linear unit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import erf_values, unary
from dispatch.operator import Array, Arrays, Attributes
from dispatch.problem import AttributeValue
from dispatch.shapes import choice
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "gelu"]


def values(x: Array, approximate: str) -> Array:
    """Compute by erf or by tanh's approximation."""
    if approximate == "tanh":
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1.0 + erf_values(x / math.sqrt(2.0)))


def check(attributes: Attributes, x: TensorSpec) -> dict[str, AttributeValue]:
    """Check the name."""
    return {
        "approximate": choice("gelu", "approximate", attributes["approximate"], ("none", "tanh"))
    }


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The factor x, for the other one cancels below 0."""
    (x,) = arrays
    assert x is not None
    return [np.abs(x)]


OPERATOR = unary(
    "gelu",
    dtypes=FLOATS,
    reference=values,
    onnx=("Gelu",),
    attributes={"approximate": "none"},
    check=check,
    variants=({}, {"approximate": "tanh"}),
    magnitude=magnitude,
    edge_values=(math.nan, math.inf, 0.0, -0.0, 1.0, -1.0, 3.0, -3.0, -6.0, -13.0, 100.0, -100.0),
)


def gelu(x: Any, *, approximate: str = "none", out: Any = None) -> Any:
    """Return ``x`` times the normal distribution's function, as ONNX's Gelu.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
    approximate
        ``"none"``: exact, by the error function; ``"tanh"``: by the usual approximation.
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
    return call(OPERATOR, (x,), (approximate,), out)
