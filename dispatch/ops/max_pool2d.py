"""Largest element of a sliding window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.operator import (
    REQUIRED,
    Array,
    Arrays,
    Attributes,
    Case,
    Inferred,
    Input,
    Operator,
    Sample,
    Specs,
)
from dispatch.pooling import infer_window, reduce_windows, window_cases, window_flops, windows

__all__ = ["OPERATOR", "max_pool2d"]

NAME = "max_pool2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the window."""
    (x,) = specs
    assert x is not None
    return infer_window(NAME, x, attributes)


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Fold the window's offsets; padding holds what no element is below."""
    (x,) = arrays
    assert x is not None
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return [reduce_windows(windows(x, attributes, least), np.maximum)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Windows, then those with holes."""
    dilated = {"kernel_shape": 3, "dilations": (2, 3), "pads": 1}
    yield Case("dilated", (Sample((1, 9, 12, 13), -3.0, 3.0),), dilated)
    between = {"kernel_shape": 2, "dilations": 3, "pads": 1}
    yield Case("elements in the padding alone", (Sample((1, 3, 2, 2)),), between)
    yield from window_cases(rng, ({},), dilated=True)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={
        "kernel_shape": REQUIRED,
        "strides": 1,
        "pads": 0,
        "dilations": 1,
        "ceil_mode": False,
    },
    dtypes=(*FLOATS, "int8", "uint8"),
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=window_flops,
    onnx=("MaxPool",),
)


def max_pool2d(
    x: Any,
    kernel_shape: int | tuple[int, int],
    *,
    strides: int | tuple[int, int] = 1,
    pads: int | tuple[int, ...] | str = 0,
    dilations: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
    out: Any = None,
) -> Any:
    """Return the largest element of each window, as ONNX's MaxPool; NaN if there is one.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images; float32, float64, float16, bfloat16, int8 or uint8.
    kernel_shape
        The window: one number or (height, width).
    strides, dilations
        One number or (vertical, horizontal), at least 1.
    pads
        Padding that no window prefers to an element: as for `dispatch.conv2d`,
        each side less than the window.
    ceil_mode
        A last window that reaches beyond the padding counts too, if it starts
        within the image or the padding before it.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (N, C, H', W')
        Of x's kind and dtype. A dilated window whose elements all lie in the
        padding gives minus infinity, or the least integer.

    Raises
    ------
    InvalidArgument
        A shape or attribute that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (kernel_shape, strides, pads, dilations, ceil_mode), out)
