"""Clipping to an interval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.elementwise import unary
from dispatch.errors import InvalidArgument
from dispatch.operator import Array, Attributes
from dispatch.problem import AttributeValue
from dispatch.shapes import real
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "clip"]

NAME = "clip"


def check(attributes: Attributes, x: TensorSpec) -> dict[str, AttributeValue]:
    """Make the bounds floats; those of integers must be whole."""
    bounds = {name: real(NAME, name, attributes[name]) for name in ("minimum", "maximum")}
    if "float" not in x.dtype:
        for name, bound in bounds.items():
            if math.isfinite(bound) and bound != math.floor(bound):
                raise InvalidArgument(
                    f"{NAME}: {name}: expected a whole number for {x.dtype}, got {bound}"
                )
    return dict(bounds)


def values(x: Array, minimum: float, maximum: float) -> Array:
    """Compute; where the bounds cross, the maximum wins."""
    if x.dtype.kind == "f":
        return np.asarray(np.minimum(np.maximum(x, minimum), maximum))
    limits = np.iinfo(x.dtype)
    low, high = (
        limits.min if bound <= limits.min else limits.max if bound >= limits.max else int(bound)
        for bound in (minimum, maximum)
    )
    return np.asarray(np.minimum(np.maximum(x, low), high)).astype(x.dtype)


OPERATOR = unary(
    NAME,
    dtypes=FLOATS + INTEGERS,
    reference=values,
    onnx=("Clip",),
    attributes={"minimum": -math.inf, "maximum": math.inf},
    check=check,
    variants=(
        {"minimum": 0.0, "maximum": 6.0},
        {"minimum": -1.0},
        {"maximum": 2.0},
        {"minimum": 3.0, "maximum": 1.0},
        {},
    ),
    error=1.0,
)


def clip(x: Any, minimum: float = -math.inf, maximum: float = math.inf, *, out: Any = None) -> Any:
    """Return ``min(max(x, minimum), maximum)``, as ONNX's Clip; NaN stays NaN.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16, bfloat16 or integers.
    minimum, maximum
        The bounds, whole numbers for integers; where they cross, the maximum wins.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        A bound that is NaN, or not whole where `x` holds integers.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (minimum, maximum), out)
