"""Mean of a sliding window of quantised images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.arguments import epilogue_of
from dispatch.call import call
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
from dispatch.ops import avg_pool2d
from dispatch.pooling import reduce_windows, window_flops, windows
from dispatch.qpooling import averages, quantized_cases, result_spec
from dispatch.quantization import STORED, centred
from dispatch.quantized import quantized_input

__all__ = ["OPERATOR", "qavg_pool2d"]

NAME = "qavg_pool2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the window and the parameters."""
    (x,) = specs
    assert x is not None
    window = avg_pool2d.infer_as(NAME, x, attributes)
    return Inferred(window.attributes, (result_spec(NAME, x, attributes, window.outputs[0]),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Add up in int64; padding is x's zero point."""
    x = quantized_input(arrays[0])
    stored = centred(x.array, x.quantization)
    sums = reduce_windows(windows(stored, attributes, 0), np.add)
    counts = avg_pool2d.counts_of(attributes, stored.shape[2:], sums.shape[2:])
    return [averages(sums, counts, x.quantization, attributes)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Those of plain averages."""
    return quantized_cases(avg_pool2d.cases(rng), rng)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x", quantized=True),),
    attributes={
        "kernel_shape": REQUIRED,
        "scale": REQUIRED,
        "zero_point": 0,
        "dtype": None,
        "strides": 1,
        "pads": 0,
        "ceil_mode": False,
        "count_include_pad": False,
    },
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=window_flops,
    onnx=("QLinearAveragePool",),
    epilogue=("relu", "clip"),
    quantized_output=True,
)


def qavg_pool2d(
    x: Any,
    kernel_shape: int | tuple[int, int],
    *,
    scale: float,
    zero_point: int = 0,
    dtype: str | None = None,
    strides: int | tuple[int, int] = 1,
    pads: int | tuple[int, ...] | str = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = False,
    activation: str | tuple[Any, ...] | None = None,
    out: Any = None,
) -> Any:
    """Return the mean of each window of quantised images, as ONNX Runtime's QLinearAveragePool.

    The sums are exact; ``docs/decisions/0012-quantised-tensors.md`` says how they
    are rounded to the result.

    Parameters
    ----------
    x : QuantizedArray, shape (N, C, H, W)
        Images; uint8 or int8 with one scale.
    kernel_shape
        The window: one number or (height, width).
    scale, zero_point
        The result's.
    dtype
        The result's, ``"uint8"`` or ``"int8"``; None: as x's.
    strides
        One number or (vertical, horizontal), at least 1.
    pads
        Zeros (stored as x's zero point) around x: as for `dispatch.conv2d`, each
        side less than the window.
    ceil_mode, count_include_pad
        As for `dispatch.avg_pool2d`.
    activation
        ``"relu"`` or ``("clip", low, high)``, of the real result.
    out : array of the result's dtype, optional
        Where to write the stored values.

    Returns
    -------
    QuantizedArray, shape (N, C, H', W')

    Raises
    ------
    InvalidArgument
        A shape, attribute, scale or zero point that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(
        OPERATOR,
        (x,),
        (kernel_shape, scale, zero_point, dtype, strides, pads, ceil_mode, count_include_pad),
        out,
        epilogue_of(activation, None),
    )
