"""From real numbers to stored integers."""

from __future__ import annotations

import math
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
from dispatch.quantization import STORED, make_quantization, output_spec, quantize
from dispatch.shapes import output

__all__ = ["OPERATOR", "quantize_linear"]

NAME = "quantize_linear"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the parameters."""
    (x,) = specs
    assert x is not None
    return Inferred({}, (output_spec(NAME, attributes, None, output(NAME, "uint8", x.shape)),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Divide in float32, round half to even, saturate."""
    (x,) = arrays
    assert x is not None
    dtype, axis = attributes["dtype"], attributes.get("axis")
    q = make_quantization(NAME, attributes["scale"], attributes["zero_point"], axis, dtype, x.shape)
    return [quantize(x, q, dtype)]


_SHAPES: tuple[tuple[int, ...], ...] = (
    (7,), (), (0,), (1,), (3, 5), (2, 3, 0, 4), (16,), (31,), (33,), (64,), (1, 3, 17, 19),
    (2, 16, 5, 5), (100003,),
)  # fmt: skip


def _scales(count: int) -> tuple[float, ...]:
    return tuple(float(np.float32(0.01 + 0.003 * (index * 7 % 11))) for index in range(count))


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Ties, saturation and every axis; then random ones."""
    inf = math.inf
    ties = tuple(half / 2.0 for half in range(-620, 621))
    edges = (0.0, -0.0, inf, -inf, 3e38, -3e38, 1e-40, 127.5, 128.5, -128.5, 255.5, 254.5)
    for dtype, zero in (("uint8", 0), ("uint8", 128), ("uint8", 255), ("int8", -128), ("int8", 3)):
        given = {"scale": 1.0, "zero_point": zero, "dtype": dtype}
        yield Case("ties", (Sample((len(ties),), values=ties),), given)
        yield Case("edge values", (Sample((len(edges),), values=edges),), given)
        tiny = {**given, "scale": 1e-30}
        yield Case("overflowing quotient", (Sample((5,), -3e38, 3e38),), tiny)
        for shape in _SHAPES:
            given = {"scale": 0.0237, "zero_point": zero, "dtype": dtype}
            yield Case(f"shape {shape}", (Sample(shape, -5.0, 5.0),), given)
        for axis, count in enumerate((2, 5, 17, 3)):
            given = {
                "scale": _scales(count),
                "zero_point": tuple(abs(zero) % (i + 2) for i in range(count)),
                "axis": axis,
                "dtype": dtype,
            }
            yield Case(f"axis {axis}", (Sample((2, 5, 17, 3), -3.0, 3.0),), given)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
        axis = int(rng.integers(len(shape)))
        given = {"scale": _scales(shape[axis]), "axis": axis, "dtype": str(rng.choice(STORED))}
        yield Case("random", (Sample(shape, -3.0, 3.0),), given)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"scale": REQUIRED, "zero_point": 0, "axis": None, "dtype": "uint8"},
    dtypes=("float32", "float16", "bfloat16"),
    infer=infer,
    reference=reference,
    cases=cases,
    onnx=("QuantizeLinear",),
    quantized_output=True,
)


def quantize_linear(
    x: Any,
    scale: Any,
    zero_point: Any = 0,
    *,
    axis: int | None = None,
    dtype: str = "uint8",
    out: Any = None,
) -> Any:
    """Quantise, as ONNX's QuantizeLinear: ``saturate(rint(x / scale) + zero_point)``.

    Parameters
    ----------
    x : array
        Any shape; float32, float16 or bfloat16, divided in float32.
    scale : number or array
        Finite and above 0; with an axis, one for each of its indices.
    zero_point : integer or array
        The stored value of 0, within the dtype; with an axis, one or as many.
    axis
        The axis that has scales of its own; None: one scale for all.
    dtype
        ``"uint8"`` or ``"int8"``.
    out : array of the result's dtype, optional
        Where to write the stored values.

    Returns
    -------
    QuantizedArray
        Of x's shape. Halves are rounded to the even one; infinity saturates; NaN
        gives an unspecified value.

    Raises
    ------
    InvalidArgument
        A scale, zero point or axis that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (scale, zero_point, axis, dtype), out)
