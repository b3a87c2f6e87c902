"""Largest element of each channel."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.operator import Array, Arrays, Attributes, Inferred, Input, Operator, Specs
from dispatch.pooling import global_cases, infer_global

__all__ = ["OPERATOR", "global_max_pool2d"]

NAME = "global_max_pool2d"


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
        return [np.max(x, axis=(2, 3), keepdims=True)]


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={},
    dtypes=(*FLOATS, "int8", "uint8"),
    infer=infer,
    reference=reference,
    cases=global_cases,
    error=0.0,
    flops=lambda problem: float(sum(t.size for t in problem.inputs if t is not None)),
    onnx=("GlobalMaxPool",),
)


def global_max_pool2d(x: Any, *, out: Any = None) -> Any:
    """Return the largest element of each channel, as ONNX's GlobalMaxPool; NaN if there is one.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images of at least one pixel; float32, float64, float16,
        bfloat16, int8 or uint8.
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
