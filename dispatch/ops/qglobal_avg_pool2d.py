"""Mean of each channel of quantised images."""

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
from dispatch.pooling import global_cases, infer_global
from dispatch.qpooling import averages, quantized_cases, result_spec
from dispatch.quantization import STORED, centred
from dispatch.quantized import quantized_input

__all__ = ["OPERATOR", "qglobal_avg_pool2d"]

NAME = "qglobal_avg_pool2d"
PIXELS = 2**23
"""What a sum of 8-bit numbers in int32 has room for."""


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the image and the parameters."""
    (x,) = specs
    assert x is not None
    plain = infer_global(NAME, x, at_most=PIXELS)
    return Inferred({}, (result_spec(NAME, x, attributes, plain.outputs[0]),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Add up in int64."""
    x = quantized_input(arrays[0])
    sums = centred(x.array, x.quantization).sum(axis=(2, 3), keepdims=True)
    pixels = np.asarray(x.shape[2] * x.shape[3])
    return [averages(sums, pixels, x.quantization, attributes)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Those of plain averages."""
    return quantized_cases(global_cases(rng), rng)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x", quantized=True),),
    attributes={"scale": REQUIRED, "zero_point": 0, "dtype": None},
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=lambda problem: float(sum(t.size for t in problem.inputs if t is not None)),
    onnx=("QLinearGlobalAveragePool",),
    epilogue=("relu", "clip"),
    quantized_output=True,
)


def qglobal_avg_pool2d(
    x: Any,
    *,
    scale: float,
    zero_point: int = 0,
    dtype: str | None = None,
    activation: str | tuple[Any, ...] | None = None,
    out: Any = None,
) -> Any:
    """Return the mean of each quantised channel, as ONNX Runtime's QLinearGlobalAveragePool.

    The sums are exact; ``docs/decisions/0012-quantised-tensors.md`` says how they
    are rounded to the result.

    Parameters
    ----------
    x : QuantizedArray, shape (N, C, H, W)
        Images of 1 to 2**23 pixels; uint8 or int8 with one scale.
    scale, zero_point
        The result's.
    dtype
        The result's, ``"uint8"`` or ``"int8"``; None: as x's.
    activation
        ``"relu"`` or ``("clip", low, high)``, of the real result.
    out : array of the result's dtype, optional
        Where to write the stored values.

    Returns
    -------
    QuantizedArray, shape (N, C, 1, 1)

    Raises
    ------
    InvalidArgument
        A shape, scale or zero point that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (scale, zero_point, dtype), out, epilogue_of(activation, None))
