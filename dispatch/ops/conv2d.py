"""Two-dimensional convolution."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.arguments import epilogue_of
from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.errors import InvalidArgument
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
    with_specials,
)
from dispatch.problem import STEPS, EpilogueStep, Problem
from dispatch.shapes import (
    check_rank,
    check_same_dtype,
    integer,
    integers,
    output,
    window_output,
    window_pads,
)
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "conv2d", "convolution"]

NAME = "conv2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check shapes and give the output's."""
    x, w, bias = specs
    assert x is not None and w is not None
    canonical, shape = convolution(NAME, x, w, bias, attributes)
    check_same_dtype(NAME, "x", x, w=w)
    if bias is not None:
        check_same_dtype(NAME, "x", x, bias=bias)
    return Inferred(canonical, (output(NAME, x.dtype, shape),))


def convolution(
    name: str, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None, attributes: Attributes
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return a convolution's canonical attributes and its output's shape, whatever the dtypes."""
    check_rank(name, "x", x, 4)
    check_rank(name, "w", w, 4)
    groups = integer(name, "groups", attributes["groups"], 1)
    strides = integers(name, "strides", attributes["strides"], 2, 1)
    dilations = integers(name, "dilations", attributes["dilations"], 2, 1)
    channels, outputs, kernel = x.shape[1], w.shape[0], w.shape[2:]
    if min(kernel) < 1:
        raise InvalidArgument(f"{name}: w: expected a kernel of at least 1x1, got {kernel}")
    if channels % groups:
        raise InvalidArgument(
            f"{name}: groups: expected a divisor of x's {channels} channels, got {groups}"
        )
    if outputs % groups:
        raise InvalidArgument(
            f"{name}: groups: expected a divisor of w's {outputs} outputs, got {groups}"
        )
    if w.shape[1] != channels // groups:
        raise InvalidArgument(
            f"{name}: w: expected {channels // groups} channels "
            f"(x's {channels} / groups {groups}), got {w.shape[1]}"
        )
    if bias is not None and bias.shape != (outputs,):
        raise InvalidArgument(f"{name}: bias: expected shape ({outputs},), got {bias.shape}")
    pads = window_pads(name, attributes["pads"], x.shape[2:], kernel, strides, dilations)
    height, width = window_output(name, x.shape[2:], kernel, strides, pads, dilations)
    canonical = {"strides": strides, "pads": pads, "dilations": dilations, "groups": groups}
    return canonical, (x.shape[0], outputs, height, width)


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Sum over the window's offsets, one matrix product each."""
    x, w, bias = arrays
    assert x is not None and w is not None
    top, left, bottom, right = attributes["pads"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attributes["strides"], attributes["dilations"]
    groups = attributes["groups"]
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    n, _, height, width = padded.shape
    outputs, per_group, kernel_h, kernel_w = w.shape
    out_h = (height - (kernel_h - 1) * dilation_h - 1) // stride_h + 1
    out_w = (width - (kernel_w - 1) * dilation_w - 1) // stride_w + 1
    y = np.zeros((n, groups, outputs // groups, out_h, out_w), padded.dtype)
    grouped_x = padded.reshape(n, groups, per_group, height, width)
    grouped_w = w.reshape(groups, outputs // groups, per_group, kernel_h, kernel_w)
    for i in range(kernel_h):
        for j in range(kernel_w):
            rows = slice(i * dilation_h, i * dilation_h + (out_h - 1) * stride_h + 1, stride_h)
            columns = slice(j * dilation_w, j * dilation_w + (out_w - 1) * stride_w + 1, stride_w)
            window = grouped_x[:, :, :, rows, columns]
            y += np.einsum("ngchw,goc->ngohw", window, grouped_w[..., i, j], optimize=True)
    y = y.reshape(n, outputs, out_h, out_w)
    return [y if bias is None else y + bias.reshape(1, -1, 1, 1)]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The convolution of absolute values."""
    return reference([None if a is None else np.abs(a) for a in arrays], attributes)


def flops(problem: Problem) -> float:
    """Two for each product and its sum."""
    w = problem.inputs[1]
    assert w is not None
    return 2.0 * problem.outputs[0].size * w.shape[1] * w.shape[2] * w.shape[3]


def _case(
    label: str,
    x: tuple[int, int, int, int],
    w: tuple[int, int, int, int],
    bias: bool = True,
    constant: bool = True,
    epilogue: tuple[EpilogueStep, ...] = (),
    operands: tuple[Sample, ...] = (),
    values: tuple[float, ...] | None = None,
    **attributes: Any,
) -> Case:
    inputs = (
        Sample(x, values=values),
        Sample(w, constant=constant),
        Sample((w[0],), constant=constant) if bias else None,
    )
    return Case(label, inputs + operands, attributes, epilogue)


_STEPS = (
    EpilogueStep("clip", -1, 0.0, 0.75),
    EpilogueStep("hard_swish"),
    EpilogueStep("hard_sigmoid", -1, 0.2, 0.5),
    EpilogueStep("sigmoid"),
    EpilogueStep("tanh"),
    EpilogueStep("silu"),
    EpilogueStep("leaky_relu", -1, 0.1),
    EpilogueStep("elu", -1, 1.0),
    EpilogueStep("gelu", -1, 0.0),
    EpilogueStep("gelu", -1, 1.0),
    EpilogueStep("linear", -1, 0.5, -0.25),
)


def _depthwise_case(rng: np.random.Generator) -> Case:
    """Return one with a square window in the middle of its padding, as most models have it."""
    size, channels = int(rng.choice([3, 3, 5, 7])), int(rng.integers(1, 20))
    steps = ((), (EpilogueStep("relu"),), (EpilogueStep("hard_swish"),))
    return _case(
        "random depthwise",
        (int(rng.integers(1, 3)), channels, int(rng.integers(1, 24)), int(rng.integers(1, 80))),
        (channels, 1, size, size),
        bias=bool(rng.integers(2)),
        constant=bool(rng.integers(2)),
        strides=(int(rng.integers(1, 3)), int(rng.integers(1, 3))),
        pads=size // 2,
        groups=channels,
        epilogue=steps[rng.integers(3)],
    )


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases, then random ones."""
    relu = (EpilogueStep("relu"),)
    yield _case("3x3", (1, 16, 14, 14), (32, 16, 3, 3), pads=1)
    yield _case("no bias", (1, 8, 7, 7), (8, 8, 3, 3), bias=False)
    yield _case("weight not constant", (2, 5, 9, 9), (7, 5, 3, 3), constant=False, pads=1)
    yield _case("one by one", (2, 33, 13, 11), (17, 33, 1, 1))
    yield _case("one by one, strided", (1, 64, 14, 14), (32, 64, 1, 1), strides=2)
    yield _case("stem", (1, 3, 37, 41), (24, 3, 7, 7), strides=2, pads=3)
    yield _case("asymmetric padding", (1, 6, 9, 10), (9, 6, 3, 4), pads=(0, 1, 2, 3))
    yield _case("same", (1, 4, 10, 11), (6, 4, 4, 3), strides=(2, 3), pads="same")
    yield _case("same_lower", (1, 4, 10, 11), (6, 4, 4, 3), strides=(2, 1), pads="same_lower")
    yield _case("dilated", (1, 8, 15, 17), (8, 8, 3, 3), dilations=(2, 3), pads=2)
    yield _case("grouped", (2, 12, 8, 8), (18, 4, 3, 3), groups=3, pads=1)
    yield _case("depthwise 3x3", (1, 40, 15, 13), (40, 1, 3, 3), groups=40, pads=1)
    yield _case(
        "depthwise 5x5, stride 2", (1, 19, 16, 18), (19, 1, 5, 5), groups=19, strides=2, pads=2
    )
    yield _case("depthwise 3x3, stride 2", (1, 5, 9, 43), (5, 1, 3, 3), groups=5, strides=2, pads=1)
    for width in (5, 9, 17, 41):
        yield _case("depthwise 5x5", (2, 3, 7, width), (3, 1, 5, 5), groups=3, pads=2)
    yield _case("depthwise, same", (1, 4, 12, 20), (4, 1, 3, 3), groups=4, strides=2, pads="same")
    yield _case("depthwise, one row", (1, 8, 1, 70), (8, 1, 3, 3), groups=8, pads=1, epilogue=relu)
    yield _case("depthwise, two outputs each", (1, 6, 8, 8), (12, 1, 3, 3), groups=6, pads=1)
    yield _case("one pixel", (1, 1, 1, 1), (1, 1, 1, 1))
    yield _case("window of the whole image", (2, 5, 6, 7), (3, 5, 6, 7))
    yield _case("padding wider than the window", (1, 3, 4, 4), (5, 3, 2, 2), pads=3)
    yield _case("stride wider than the window", (1, 7, 11, 11), (5, 7, 2, 2), strides=3)
    yield _case("empty batch", (0, 4, 6, 6), (4, 4, 3, 3))
    yield _case("no input channels", (1, 0, 5, 5), (4, 0, 3, 3))
    yield _case("no output channels", (1, 4, 5, 5), (0, 4, 3, 3))
    yield _case("one row", (1, 16, 1, 130), (16, 16, 1, 3), pads=(0, 1, 0, 1))
    yield _case("one channel, a wide stride", (2, 1, 1, 832), (66, 1, 1, 256), strides=(1, 128))
    yield _case("relu", (1, 16, 9, 9), (16, 16, 3, 3), pads=1, epilogue=relu)
    for step in _STEPS:
        yield _case(step.name, (1, 9, 7, 9), (20, 9, 3, 3), epilogue=(step,))
    for w, groups in (((20, 9, 3, 3), 1), ((20, 9, 1, 1), 1), ((9, 1, 3, 3), 9)):
        for steps in ((), relu, *((step,) for step in _STEPS)):
            yield _case(
                "NaN and infinity",
                (1, 9, 7, 9),
                w,
                epilogue=steps,
                values=with_specials(9 * 7 * 9),
                groups=groups,
            )
    yield _case(
        "residual and relu",
        (1, 24, 10, 10),
        (40, 24, 1, 1),
        epilogue=(EpilogueStep("add", 3), *relu),
        operands=(Sample((1, 40, 10, 10)),),
    )
    yield _case(
        "silu, residual, scale",
        (1, 24, 10, 10),
        (16, 24, 3, 3),
        pads=1,
        epilogue=(EpilogueStep("silu"), EpilogueStep("add", 3), EpilogueStep("mul", 4)),
        operands=(Sample((1, 16, 10, 10)), Sample((1, 16, 10, 10))),
    )
    while True:
        if rng.integers(4) == 0:
            yield _depthwise_case(rng)
            continue
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
            bias=bool(rng.integers(2)),
            constant=bool(rng.integers(2)),
            strides=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            pads=tuple(int(p) for p in rng.integers(0, 4, 4)),
            dilations=dilations,
            groups=groups,
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("w"), Input("bias", optional=True)),
    attributes={"strides": 1, "pads": 0, "dilations": 1, "groups": 1},
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=flops,
    onnx=("Conv",),
    epilogue=STEPS,
)


def conv2d(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    strides: int | tuple[int, int] = 1,
    pads: int | tuple[int, ...] | str = 0,
    dilations: int | tuple[int, int] = 1,
    groups: int = 1,
    activation: str | tuple[Any, ...] | None = None,
    residual: Any = None,
    out: Any = None,
) -> Any:
    """Convolve images with filters, as ONNX's Conv: ``activation(x * w + bias + residual)``.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images; float32, float64, float16 or bfloat16.
    w : array, shape (O, C / groups, kernel height, kernel width)
        Filters, of x's dtype. Weights that don't change: `dispatch.constant`.
    bias : array, shape (O,), optional
        Added to each output channel.
    strides, dilations
        One number or (vertical, horizontal), at least 1.
    pads
        Zeros around x: one number, (vertical, horizontal), (top, left, bottom,
        right), ``"same"`` (the odd one below and right), ``"same_lower"`` or
        ``"valid"``.
    groups
        Divides both C and O; C gives a depthwise convolution.
    activation
        A name (``"relu"``, ``"silu"`` …) or a name with its numbers, as
        ``("clip", 0.0, 6.0)``: `dispatch.arguments.ACTIVATIONS`.
    residual : array of the result's shape, optional
        Added before the activation.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (N, O, H', W')
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        A shape or attribute that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    return call(
        OPERATOR,
        (x, w, bias),
        (strides, pads, dilations, groups),
        out,
        epilogue_of(activation, residual),
    )
