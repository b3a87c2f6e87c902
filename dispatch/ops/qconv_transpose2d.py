"""Two-dimensional transposed convolution of quantised tensors."""

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
    Sample,
    Specs,
)
from dispatch.ops import conv_transpose2d
from dispatch.problem import EpilogueStep
from dispatch.qproducts import Parameters, check_product, draw_parameters, outputs_of
from dispatch.quantization import STORED, centred, output_spec
from dispatch.quantized import quantized_input
from dispatch.shapes import output

__all__ = ["OPERATOR", "qconv_transpose2d"]

NAME = "qconv_transpose2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check shapes and quantisation, and give the output's."""
    x, w, bias = specs
    assert x is not None and w is not None
    canonical, shape = conv_transpose2d.transposed_convolution(NAME, x, w, bias, attributes)
    y = output_spec(NAME, attributes, x.dtype, output(NAME, x.dtype, shape))
    products = w.shape[0] // canonical["groups"] * w.shape[2] * w.shape[3]
    check_product(NAME, ("x", x), ("w", w, 1), bias, y, products)
    return Inferred(canonical, (y,))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Convolve in int64, then requantise; the scales are those of every group's channels."""
    x, w = map(quantized_input, arrays[:2])
    real_x, real_w = (centred(t.array, t.quantization) for t in (x, w))
    (sums,) = conv_transpose2d.reference([real_x, real_w, arrays[2]], attributes)
    batch, _, *pixels = sums.shape
    grouped = sums.reshape(batch, attributes["groups"], real_w.shape[1], *pixels)
    return [outputs_of(grouped, x, w, attributes, axis=2).reshape(sums.shape)]


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
    outputs = w[1] * attributes.get("groups", 1)
    inputs = (
        parameters.first(x),
        parameters.second(w, 1, constant),
        Sample((outputs,), -3000.0, 3000.0, "int32", constant) if bias else None,
    )
    return Case(label, inputs, {**attributes, **parameters.output}, epilogue)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases in each combination of dtypes, then random ones."""
    relu = EpilogueStep("relu")
    steps = (relu, EpilogueStep("clip", -1, -0.7, 0.8), EpilogueStep("clip", -1, 0.0, 6.0))
    for first in STORED:
        for second in STORED:
            for result in STORED:
                p = Parameters(first, second, result, sums=32)
                label = f"2x2, stride 2, {first} by {second} to {result}"
                yield _case(label, (1, 32, 6, 7), (32, 24, 2, 2), p, strides=2)
        p = Parameters(first, sums=40)
        wide = Parameters(first, sums=40, per_channel=True)
        odd = Parameters(first, "uint8", sums=40, per_channel=True, zero_points=True)
        yield _case("to one channel", (1, 24, 9, 7), (24, 1, 2, 2), wide, strides=2)
        yield _case("3x3", (1, 16, 8, 8), (16, 8, 3, 3), wide, pads=1)
        yield _case("3x3, stride 2", (1, 16, 7, 6), (16, 33, 3, 3), odd, strides=2, pads=1)
        yield _case("4x4, stride 2", (2, 7, 5, 6), (7, 9, 4, 4), odd, strides=2, pads=1)
        yield _case("5x4, strides 3 and 2", (1, 5, 4, 9), (5, 17, 5, 4), wide, strides=(3, 2))
        yield _case("no bias", (1, 8, 5, 5), (8, 6, 3, 3), p, bias=False)
        yield _case("weight not constant", (2, 5, 6, 6), (5, 7, 3, 3), wide, constant=False)
        yield _case("one by one", (1, 33, 5, 5), (33, 17, 1, 1), odd)
        yield _case("gaps", (1, 9, 5, 5), (9, 5, 1, 1), wide, strides=2)
        yield _case("gaps in rows", (1, 9, 5, 5), (9, 5, 3, 1), odd, strides=(3, 2), pads=(1, 0))
        yield _case("gaps, no bias", (1, 4, 3, 4), (4, 40, 2, 2), p, bias=False, strides=(4, 3))
        yield _case(
            "output padding",
            (1, 6, 5, 5),
            (6, 4, 3, 3),
            wide,
            strides=(2, 3),
            pads=1,
            output_padding=(1, 2),
        )
        yield _case("asymmetric", (1, 6, 6, 7), (6, 5, 3, 4), odd, strides=2, pads=(0, 1, 2, 1))
        yield _case("same", (1, 4, 5, 6), (4, 6, 3, 3), p, strides=2, pads="same")
        yield _case("same, gaps", (1, 4, 5, 6), (4, 6, 1, 2), p, strides=3, pads="same")
        yield _case("dilated", (1, 8, 6, 7), (8, 4, 3, 3), odd, dilations=(2, 3), pads=2)
        for strides, dilations in (((2, 3), (3, 2)), ((2, 4), (2, 6)), ((4, 2), (6, 4))):
            yield _case(
                f"dilated by {dilations}, strides {strides}",
                (1, 8, 6, 5),
                (8, 9, 3, 4),
                wide,
                strides=strides,
                dilations=dilations,
                pads=1,
            )
        yield _case("grouped", (2, 12, 5, 5), (12, 6, 3, 3), odd, groups=3, strides=2)
        yield _case("depthwise", (1, 19, 6, 6), (19, 1, 4, 4), p, groups=19, strides=2, pads=1)
        yield _case("depthwise, two outputs each", (1, 6, 5, 5), (6, 2, 3, 3), wide, groups=6)
        yield _case("one pixel", (1, 1, 1, 1), (1, 1, 1, 1), p)
        yield _case("one pixel becomes many", (1, 5, 1, 1), (5, 3, 7, 7), odd)
        yield _case("everything cut off", (1, 3, 1, 1), (3, 2, 2, 2), p, pads=1)
        yield _case("more cut off than a window", (1, 3, 4, 5), (3, 9, 2, 3), p, pads=(2, 3, 1, 2))
        yield _case("empty batch", (0, 4, 6, 6), (4, 4, 3, 3), p)
        yield _case("no input channels", (1, 0, 5, 5), (0, 4, 3, 3), p)
        yield _case("no output channels", (1, 4, 5, 5), (4, 0, 3, 3), p)
        yield _case("deep", (1, 1030, 2, 3), (1030, 9, 2, 2), Parameters(first, sums=1030))
        for step in steps:
            label = f"{step.name} {step.beta}"
            yield _case(label, (1, 9, 7, 9), (9, 20, 2, 2), wide, strides=2, epilogue=(step,))
        yield _case("relu, clip", (1, 9, 7, 9), (9, 9, 3, 3), odd, epilogue=steps[:2])
        loud = Parameters(first, "uint8", sums=64, loudness=40.0, extremes=True)
        yield _case("saturated", (1, 16, 6, 6), (16, 16, 3, 3), loud, pads=1)
        tied = Parameters(first, ties=True)
        yield _case("ties", (1, 1, 16, 16), (1, 3, 1, 1), tied, bias=False)
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        strides = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        per_group, outputs = int(rng.integers(1, 40)), int(rng.integers(1, 40))
        yield _case(
            "random",
            (
                int(rng.integers(1, 3)),
                per_group * groups,
                int(rng.integers(2, 12)),
                int(rng.integers(2, 12)),
            ),
            (per_group * groups, outputs, *kernel),
            draw_parameters(rng, per_group * kernel[0] * kernel[1]),
            bias=bool(rng.integers(2)),
            constant=bool(rng.integers(2)),
            strides=strides,
            pads=tuple(int(rng.integers(0, (k + 1) // 2 + 1)) for k in kernel * 2),
            dilations=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            output_padding=tuple(int(rng.integers(0, s)) for s in strides),
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
        "output_padding": 0,
    },
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=conv_transpose2d.flops,
    epilogue=("relu", "clip"),
    quantized_output=True,
)


def qconv_transpose2d(
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
    output_padding: int | tuple[int, int] = 0,
    activation: str | tuple[Any, ...] | None = None,
    out: Any = None,
) -> Any:
    """Convolve quantised images transposed, as `conv_transpose2d` does real ones.

    The sums are exact; ``docs/decisions/0012-quantised-tensors.md`` says how they
    are rounded to the result.

    Parameters
    ----------
    x : QuantizedArray, shape (N, C, H, W)
        Images of at least one pixel; uint8 or int8 with one scale.
    w : QuantizedArray, shape (C, O / groups, kernel height, kernel width)
        Filters; uint8 or int8 with one scale, or one for each output channel of a
        group (axis 1), the same in every group. Weights that don't change:
        `dispatch.constant`.
    bias : array of int32, shape (O,), optional
        Added to each output channel, in units of ``x.scale * w.scale``.
    scale, zero_point
        The result's.
    dtype
        The result's, ``"uint8"`` or ``"int8"``; None: as x's.
    strides, dilations, pads, groups, output_padding
        As for `dispatch.conv_transpose2d`.
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
        (scale, zero_point, dtype, strides, pads, dilations, groups, output_padding),
        out,
        epilogue_of(activation, None),
    )
