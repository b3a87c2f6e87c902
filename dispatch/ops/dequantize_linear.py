"""From stored integers to real numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.operator import (
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
from dispatch.quantization import RANGES, STORED, check_quantized, dequantize
from dispatch.quantized import quantized_input
from dispatch.shapes import output
from dispatch.tensor import Quantization

__all__ = ["OPERATOR", "dequantize_linear"]

NAME = "dequantize_linear"
SUMS = "int32"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the parameters."""
    (x,) = specs
    assert x is not None
    check_quantized(NAME, "x", x, -1, (*STORED, SUMS))
    return Inferred({}, (output(NAME, "float32", x.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Subtract the zero point, multiply by the scale."""
    x = quantized_input(arrays[0])
    return [dequantize(x.array, x.quantization)]


_SHAPES: tuple[tuple[int, ...], ...] = (
    (7,), (), (0,), (1,), (3, 5), (2, 3, 0, 4), (16,), (31,), (33,), (64,), (1, 3, 17, 19),
    (2, 16, 5, 5), (100003,),
)  # fmt: skip


def _quantization(dtype: str, count: int, axis: int) -> Quantization:
    low, high = RANGES[dtype]
    scales = tuple(float(np.float32(0.01 + 0.003 * (i * 7 % 11))) for i in range(count))
    if dtype == SUMS:
        return Quantization(scales, (0,) * count, axis)
    points = tuple(low + (i * 41 + 77) % (high - low + 1) for i in range(count))
    return Quantization(scales, points, axis)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every stored value, every shape and axis; then random ones."""
    for dtype in (*STORED, SUMS):
        low, high = RANGES[dtype]
        edges = tuple(map(float, range(low, high + 1) if dtype != SUMS else (low, high, 0, -1)))
        for zero in {0, low, high} if dtype != SUMS else {0}:
            q = Quantization((float(np.float32(0.0237)),), (zero,))
            sample = Sample((len(edges),), dtype=dtype, values=edges, quantization=q)
            yield Case(f"every value, zero point {zero}", (sample,))
        for shape in _SHAPES:
            q = _quantization(dtype, 1, -1)
            yield Case(f"shape {shape}", (_sample(shape, dtype, q),))
        for axis, count in enumerate((2, 5, 17, 3)):
            q = _quantization(dtype, count, axis)
            yield Case(f"axis {axis}", (_sample((2, 5, 17, 3), dtype, q),))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
        axis, dtype = int(rng.integers(len(shape))), str(rng.choice((*STORED, SUMS)))
        yield Case("random", (_sample(shape, dtype, _quantization(dtype, shape[axis], axis)),))


def _sample(shape: tuple[int, ...], dtype: str, q: Quantization) -> Sample:
    low, high = (-1e6, 1e6) if dtype == SUMS else RANGES[dtype]
    return Sample(shape, low - 0.5, high + 0.5, dtype, quantization=q)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x", quantized=True),),
    attributes={},
    dtypes=(*STORED, SUMS),
    infer=infer,
    reference=reference,
    cases=cases,
    error=1.0,
    onnx=("DequantizeLinear",),
)


def dequantize_linear(x: Any, *, out: Any = None) -> Any:
    """Return real values, as ONNX's DequantizeLinear: ``(values - zero_point) * scale``.

    Parameters
    ----------
    x : QuantizedArray
        Any shape; uint8, int8, or int32 (sums, whose zero point is 0).
    out : array of float32, optional
        Where to write the result.

    Returns
    -------
    array of float32
        Of x's shape and kind.

    Raises
    ------
    InvalidArgument
        If `x` isn't quantised.
    UnsupportedDtype
        If `out` isn't float32.
    """
    return call(OPERATOR, (x,), (), out)
