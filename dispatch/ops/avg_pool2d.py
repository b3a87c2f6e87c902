"""Mean of a sliding window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
    Specs,
)
from dispatch.pooling import infer_window, reduce_windows, window_cases, window_flops, windows
from dispatch.shapes import flag
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "avg_pool2d"]

NAME = "avg_pool2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the window."""
    (x,) = specs
    assert x is not None
    return infer_as(NAME, x, attributes)


def infer_as(operator: str, x: TensorSpec, attributes: Attributes) -> Inferred:
    """Check the window of an operator that averages."""
    inferred = infer_window(operator, x, attributes)
    include = flag(operator, "count_include_pad", attributes["count_include_pad"])
    return Inferred({**inferred.attributes, "count_include_pad": include}, inferred.outputs)


def counts_of(attributes: Attributes, extents: Sequence[int], outputs: Sequence[int]) -> Array:
    """Return how many elements count in each window."""
    rows, columns = (_counts(attributes, axis, extents[axis], outputs[axis]) for axis in range(2))
    return np.outer(rows, columns)


def _counts(attributes: Attributes, axis: int, extent: int, outputs: int) -> Array:
    """Return how many elements count in each window along an axis."""
    before, after = attributes["pads"][axis], attributes["pads"][axis + 2]
    low, high = 0, extent
    if attributes["count_include_pad"]:
        low, high = -before, extent + after
    start = np.arange(outputs) * attributes["strides"][axis] - before
    stop = start + attributes["kernel_shape"][axis]
    return np.asarray(np.minimum(stop, high) - np.maximum(start, low))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Add up each window and divide by what counts."""
    (x,) = arrays
    assert x is not None
    total = reduce_windows(windows(x, attributes, 0.0), np.add)
    return [total / counts_of(attributes, x.shape[2:], total.shape[2:])]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The mean of absolute values."""
    return reference([None if a is None else np.abs(a) for a in arrays], attributes)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Windows, each with the padding counted and not."""
    yield from window_cases(
        rng, ({"count_include_pad": False}, {"count_include_pad": True}), dilated=False
    )


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={
        "kernel_shape": REQUIRED,
        "strides": 1,
        "pads": 0,
        "ceil_mode": False,
        "count_include_pad": False,
    },
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=window_flops,
    onnx=("AveragePool",),
)


def avg_pool2d(
    x: Any,
    kernel_shape: int | tuple[int, int],
    *,
    strides: int | tuple[int, int] = 1,
    pads: int | tuple[int, ...] | str = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    out: Any = None,
) -> Any:
    """Return the mean of each window, as ONNX's AveragePool without dilations.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images; float32, float64, float16 or bfloat16.
    kernel_shape
        The window: one number or (height, width).
    strides
        One number or (vertical, horizontal), at least 1.
    pads
        Zeros around x: as for `dispatch.conv2d`, each side less than the window.
    ceil_mode
        A last window that reaches beyond the padding counts too, if it starts
        within the image or the padding before it; what lies beyond the padding
        is never counted.
    count_include_pad
        Divide by the window's elements within the padded image, not by those
        within the image.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (N, C, H', W')
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        A shape or attribute that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (kernel_shape, strides, pads, ceil_mode, count_include_pad), out)
