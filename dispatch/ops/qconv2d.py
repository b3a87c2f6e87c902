"""Two-dimensional convolution of quantised tensors."""

from __future__ import annotations

import math
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
    Sample,
    Specs,
)
from dispatch.ops import conv2d
from dispatch.problem import EpilogueStep
from dispatch.qproducts import Parameters, check_product, draw_parameters, outputs_of
from dispatch.quantization import STORED, centred, output_spec
from dispatch.quantized import quantized_input
from dispatch.shapes import output

__all__ = ["OPERATOR", "qconv2d"]

NAME = "qconv2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check shapes and quantisation, and give the output's."""
    x, w, bias = specs
    assert x is not None and w is not None
    canonical, shape = conv2d.convolution(NAME, x, w, bias, attributes)
    y = output_spec(NAME, attributes, x.dtype, output(NAME, x.dtype, shape))
    check_product(NAME, ("x", x), ("w", w, 0), bias, y, math.prod(w.shape[1:]))
    return Inferred(canonical, (y,))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Convolve in int64, then requantise."""
    x, w = map(quantized_input, arrays[:2])
    bias = arrays[2]
    real_x, real_w = (centred(t.array, t.quantization) for t in (x, w))
    (sums,) = conv2d.reference([real_x, real_w, bias], attributes)
    return [outputs_of(sums, x, w, attributes, axis=1)]


def _case(
    label: str,
    x: tuple[int, int, int, int],
    w: tuple[int, int, int, int],
    parameters: Parameters,
    bias: bool = True,
    constant: bool = True,
    epilogue: tuple[EpilogueStep, ...] = (),
    **attributes: Any,
) -> Case:
    inputs = (
        parameters.first(x),
        parameters.second(w, 0, constant),
        Sample((w[0],), -3000.0, 3000.0, "int32", constant) if bias else None,
    )
    return Case(label, inputs, {**attributes, **parameters.output}, epilogue)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases in each combination of dtypes, then random ones."""
    relu = EpilogueStep("relu")
    steps = (relu, EpilogueStep("clip", -1, -0.7, 0.8), EpilogueStep("clip", -1, 0.0, 6.0))
    for first in STORED:
        for second in STORED:
            for result in STORED:
                p = Parameters(first, second, result, sums=144)
                label = f"3x3, {first} by {second} to {result}"
                yield _case(label, (1, 16, 14, 14), (32, 16, 3, 3), p, pads=1)
        p = Parameters(first, sums=64)
        wide = Parameters(first, sums=64, per_channel=True)
        odd = Parameters(first, "uint8", sums=64, per_channel=True, zero_points=True)
        yield _case("per channel", (1, 16, 9, 9), (24, 16, 3, 3), wide, pads=1)
        yield _case("zero point per channel", (1, 16, 9, 9), (24, 16, 3, 3), odd, pads=1)
        yield _case("no bias", (1, 8, 7, 7), (8, 8, 3, 3), p, bias=False)
        yield _case("weight not constant", (2, 5, 9, 9), (7, 5, 3, 3), wide, constant=False, pads=1)
        yield _case("one by one", (2, 33, 13, 11), (17, 33, 1, 1), wide)
        yield _case("one by one, odd zero points", (2, 35, 3, 5), (65, 35, 1, 1), odd)
        yield _case("one by one, strided", (1, 64, 14, 14), (32, 64, 1, 1), wide, strides=2)
        yield _case("stem", (1, 3, 37, 41), (24, 3, 7, 7), wide, strides=2, pads=3)
        yield _case("asymmetric padding", (1, 6, 9, 10), (9, 6, 3, 4), odd, pads=(0, 1, 2, 3))
        yield _case("same", (1, 4, 10, 11), (6, 4, 4, 3), p, strides=(2, 3), pads="same")
        yield _case("dilated", (1, 8, 15, 17), (8, 8, 3, 3), wide, dilations=(2, 3), pads=2)
        yield _case("grouped", (2, 12, 8, 8), (18, 4, 3, 3), odd, groups=3, pads=1)
        yield _case("depthwise 3x3", (1, 40, 15, 13), (40, 1, 3, 3), wide, groups=40, pads=1)
        yield _case(
            "depthwise 5x5, stride 2",
            (1, 19, 16, 18),
            (19, 1, 5, 5),
            odd,
            groups=19,
            strides=2,
            pads=2,
        )
        yield _case(
            "depthwise, dilated, weight not constant",
            (2, 33, 9, 12),
            (33, 1, 2, 4),
            odd,
            constant=False,
            groups=33,
            dilations=(3, 2),
            pads=(1, 2, 3, 4),
        )
        yield _case("depthwise, two outputs each", (1, 6, 8, 8), (12, 1, 3, 3), p, groups=6, pads=1)
        yield _case("one pixel", (1, 1, 1, 1), (1, 1, 1, 1), p)
        yield _case("window of the whole image", (2, 5, 6, 7), (3, 5, 6, 7), odd)
        yield _case("padding wider than the window", (1, 3, 4, 4), (5, 3, 2, 2), p, pads=3)
        yield _case("stride wider than the window", (1, 7, 11, 11), (5, 7, 2, 2), p, strides=3)
        yield _case("empty batch", (0, 4, 6, 6), (4, 4, 3, 3), p)
        yield _case("no input channels", (1, 0, 5, 5), (4, 0, 3, 3), p)
        yield _case("no output channels", (1, 4, 5, 5), (0, 4, 3, 3), p)
        yield _case("one row", (1, 16, 1, 130), (16, 16, 1, 3), wide, pads=(0, 1, 0, 1))
        yield _case("deep", (1, 1030, 2, 3), (9, 1030, 1, 1), Parameters(first, sums=1030))
        for step in steps:
            label = f"{step.name} {step.beta}"
            yield _case(label, (1, 9, 7, 9), (20, 9, 3, 3), wide, epilogue=(step,))
        yield _case("relu, clip", (1, 9, 7, 9), (9, 1, 3, 3), odd, epilogue=steps[:2], groups=9)
        loud = Parameters(first, "uint8", sums=64, loudness=40.0, extremes=True)
        yield _case("saturated", (1, 16, 6, 6), (16, 16, 3, 3), loud, pads=1)
        yield _case("saturated, depthwise", (1, 16, 6, 6), (16, 1, 3, 3), loud, pads=1, groups=16)
        tied = Parameters(first, ties=True)
        yield _case("ties", (1, 1, 16, 16), (3, 1, 1, 1), tied, bias=False)
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        per_group, outputs = int(rng.integers(1, 40)), int(rng.integers(1, 40))
        dilations = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
        extents = [
            int(rng.integers((k - 1) * d + 1, (k - 1) * d + 24))
            for k, d in zip(kernel, dilations, strict=True)
        ]
        yield _case(
            "random",
            (int(rng.integers(1, 3)), per_group * groups, extents[0], extents[1]),
            (outputs * groups, per_group, *kernel),
            draw_parameters(rng, per_group * kernel[0] * kernel[1]),
            bias=bool(rng.integers(2)),
            constant=bool(rng.integers(2)),
            strides=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            pads=tuple(int(p) for p in rng.integers(0, 4, 4)),
            dilations=dilations,
            groups=groups,
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(
        Input("x", quantized=True),
        Input("w", quantized=True),
        Input("bias", optional=True),
    ),
    attributes={
        "scale": REQUIRED,
        "zero_point": 0,
        "dtype": None,
        "strides": 1,
        "pads": 0,
        "dilations": 1,
        "groups": 1,
    },
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=conv2d.flops,
    onnx=("QLinearConv",),
    epilogue=("relu", "clip"),
    quantized_output=True,
)


def qconv2d(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    scale: float,
    zero_point: int = 0,
    dtype: str | None = None,
    strides: int | tuple[int, int] = 1,
    pads: int | tuple[int, ...] | str = 0,
    dilations: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: str | tuple[Any, ...] | None = None,
    out: Any = None,
) -> Any:
    """Convolve quantised images with quantised filters, as ONNX's QLinearConv.

    The sums are exact; ``docs/decisions/0012-quantised-tensors.md`` says how they
    are rounded to the result.

    Parameters
    ----------
    x : QuantizedArray, shape (N, C, H, W)
        Images; uint8 or int8 with one scale.
    w : QuantizedArray, shape (O, C / groups, kernel height, kernel width)
        Filters; uint8 or int8 with one scale, or one for each output channel
        (axis 0). Weights that don't change: `dispatch.constant`.
    bias : array of int32, shape (O,), optional
        Added to each output channel, in units of ``x.scale * w.scale``.
    scale, zero_point
        The result's.
    dtype
        The result's, ``"uint8"`` or ``"int8"``; None: as x's.
    strides, dilations
        One number or (vertical, horizontal), at least 1.
    pads
        Zeros (stored as x's zero point) around x: one number, (vertical,
        horizontal), (top, left, bottom, right), ``"same"``, ``"same_lower"`` or
        ``"valid"``, as for `dispatch.conv2d`.
    groups
        Divides both C and O; C gives a depthwise convolution.
    activation
        ``"relu"`` or ``("clip", low, high)``, of the real result.
    out : array of the result's dtype, optional
        Where to write the stored values.

    Returns
    -------
    QuantizedArray, shape (N, O, H', W')

    Raises
    ------
    InvalidArgument
        A shape, attribute, scale or zero point that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(
        OPERATOR,
        (x, w, bias),
        (scale, zero_point, dtype, strides, pads, dilations, groups),
        out,
        epilogue_of(activation, None),
    )
