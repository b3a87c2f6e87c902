"""Softmax of quantised tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

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
    Sample,
    Specs,
)
from dispatch.quantization import (
    RANGES,
    STORED,
    check_quantized,
    dequantize,
    make_quantization,
    output_spec,
    saturated,
)
from dispatch.quantized import quantized_input
from dispatch.shapes import normalize_axis, output
from dispatch.tensor import Quantization

__all__ = ["OPERATOR", "qsoftmax"]

NAME = "qsoftmax"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the axis and the parameters."""
    (x,) = specs
    assert x is not None
    check_quantized(NAME, "x", x)
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    one_scale = {**attributes, "axis": None}
    y = output_spec(NAME, one_scale, x.dtype, output(NAME, x.dtype, x.shape))
    return Inferred({"axis": axis}, (y,))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Compute in float64, and round once, half to even."""
    x = quantized_input(arrays[0])
    axis, dtype = attributes["axis"], attributes["dtype"]
    y = make_quantization(NAME, attributes["scale"], attributes["zero_point"], None, dtype, ())
    real = dequantize(x.array, x.quantization)
    shifted = np.exp(real - np.max(real, axis=axis, keepdims=True, initial=-np.inf))
    with np.errstate(divide="ignore"):  # nothing is added up where an extent is 0
        multiplier = 1.0 / (np.sum(shifted, axis=axis, keepdims=True) * y.scales[0])
    return [saturated(np.rint(shifted * multiplier), y.zero_points[0], dtype)]


_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((7,), 0), ((1,), 0), ((3, 5), -1), ((3, 5), 0), ((2, 3, 4), 1), ((4, 16), 1), ((4, 17), 1),
    ((4, 33), 1), ((16, 4), 0), ((2, 8, 12, 40), -1), ((1, 21, 5, 5), 1), ((2, 5, 9, 1), 2),
    ((0, 3), 1), ((3, 0), 1), ((2, 1000), 1), ((3, 257), 1), ((1, 6625), 1), ((2, 300, 3, 3), 1),
)  # fmt: skip


def _case(
    label: str,
    shape: tuple[int, ...],
    axis: int,
    dtype: str = "uint8",
    result: str = "uint8",
    *,
    scale: float = 0.05,
    out: tuple[float, int] = (1.0 / 256.0, 0),
    values: tuple[float, ...] | None = None,
) -> Case:
    low, high = RANGES[dtype]
    q = Quantization((float(np.float32(scale)),), (low + 100,))
    x = Sample(shape, low - 0.5, high + 0.5, dtype, values=values, quantization=q)
    given = {"scale": out[0], "zero_point": out[1] + RANGES[result][0], "dtype": result}
    return Case(label, (x,), {"axis": axis, **given})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Shapes along each axis in each combination of dtypes, equal values, results out of range."""
    for number, (shape, axis) in enumerate(_SHAPES):
        first, result = STORED[number % 2], STORED[number // 2 % 2]
        yield _case(f"{shape} along {axis}", shape, axis, first, result)
        yield _case(f"{shape} along {axis} in uint8", shape, axis, scale=0.02)
    for first in STORED:
        high = float(RANGES[first][1])
        for count in (1, 2, 3, 7, 512):
            same = (high - 3.0,) * count
            yield _case(f"{count} equal values", (count,), 0, first, values=same)
        yield _case("far apart", (5, 19), 1, first, scale=2.0)
        yield _case("close", (5, 19), 1, first, scale=1e-4)
        yield _case("saturated", (3, 4), 1, first, out=(1.0 / 1024.0, 3))
        yield _case("coarse", (3, 4), 1, first, "int8", out=(0.25, 200))
        yield _case("a scale that is all but zero", (3, 4), 1, first, out=(1e-30, 0))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
        first, result = (str(d) for d in rng.choice(STORED, 2))
        yield _case(
            "random",
            shape,
            int(rng.integers(len(shape))),
            first,
            result,
            scale=float(rng.uniform(0.001, 0.3)),
            out=(float(np.float32(rng.uniform(0.002, 0.02))), int(rng.integers(0, 256))),
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x", quantized=True),),
    attributes={"scale": REQUIRED, "zero_point": 0, "dtype": None, "axis": -1},
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=lambda problem: 3.0 * problem.outputs[0].size,
    onnx=("QLinearSoftmax",),
    quantized_output=True,
)


def qsoftmax(
    x: Any,
    axis: int = -1,
    *,
    scale: float,
    zero_point: int = 0,
    dtype: str | None = None,
    out: Any = None,
) -> Any:
    """Return softmax of a quantised array's real values, as ONNX Runtime's QLinearSoftmax.

    ``docs/decisions/0012-quantised-tensors.md`` says how it is rounded.

    Parameters
    ----------
    x : QuantizedArray
        At least one dimension; uint8 or int8 with one scale.
    axis
        Along which to normalise; negative: from the end.
    scale, zero_point
        The result's; 1/256 and the dtype's smallest number hold all of it but 1.
    dtype
        The result's, ``"uint8"`` or ``"int8"``; None: as x's.
    out : array of the result's dtype, optional
        Where to write the stored values.

    Returns
    -------
    QuantizedArray
        Of x's shape.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have, a scale or zero point that doesn't fit.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (scale, zero_point, dtype, axis), out)
