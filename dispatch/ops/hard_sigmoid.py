"""Hard sigmoid."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.elementwise import unary
from dispatch.operator import Array, Arrays, Attributes
from dispatch.problem import AttributeValue
from dispatch.shapes import real
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "hard_sigmoid"]


def check(attributes: Attributes, x: TensorSpec) -> dict[str, AttributeValue]:
    """Make the numbers floats."""
    return {
        "alpha": real("hard_sigmoid", "alpha", attributes["alpha"]),
        "beta": real("hard_sigmoid", "beta", attributes["beta"]),
    }


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The sum of absolute values, for alpha * x + beta may cancel."""
    (x,) = arrays
    assert x is not None
    return [np.minimum(np.abs(attributes["alpha"] * x) + abs(attributes["beta"]), 1e3)]


OPERATOR = unary(
    "hard_sigmoid",
    dtypes=FLOATS,
    reference=lambda x, alpha, beta: np.clip(alpha * x + beta, 0.0, 1.0),
    onnx=("HardSigmoid",),
    attributes={"alpha": 0.2, "beta": 0.5},
    check=check,
    variants=({}, {"alpha": 1.0 / 6.0, "beta": 0.5}, {"alpha": -0.3, "beta": 0.25}),
    magnitude=magnitude,
)


def hard_sigmoid(x: Any, *, alpha: float = 0.2, beta: float = 0.5, out: Any = None) -> Any:
    """Return ``max(0, min(1, alpha * x + beta))``, as ONNX's HardSigmoid.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16 or bfloat16.
    alpha
        The slope.
    beta
        The value at 0.
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
    return call(OPERATOR, (x,), (alpha, beta), out)
