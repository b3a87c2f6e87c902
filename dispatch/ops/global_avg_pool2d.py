"""Mean of each channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.operator import Array, Arrays, Attributes, Inferred, Input, Operator, Specs
from dispatch.pooling import global_cases, infer_global

__all__ = ["OPERATOR", "global_avg_pool2d"]

NAME = "global_avg_pool2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the image."""
    (x,) = specs
    assert x is not None
    return infer_global(NAME, x)


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    (x,) = arrays
    assert x is not None
    with np.errstate(all="ignore"):
        return [np.mean(x, axis=(2, 3), keepdims=True)]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The mean of absolute values."""
    return reference([None if a is None else np.abs(a) for a in arrays], attributes)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={},
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=global_cases,
    magnitude=magnitude,
    error=32.0,
    flops=lambda problem: float(sum(t.size for t in problem.inputs if t is not None)),
    onnx=("GlobalAveragePool",),
)


def global_avg_pool2d(x: Any, *, out: Any = None) -> Any:
    """Return the mean of each channel, as ONNX's GlobalAveragePool.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images of at least one pixel; float32, float64, float16 or bfloat16.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (N, C, 1, 1)
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        A rank that isn't 4, or no pixels.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (), out)
