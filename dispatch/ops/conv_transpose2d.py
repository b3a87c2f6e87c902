"""Two-dimensional transposed convolution."""

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
)
from dispatch.problem import STEPS, EpilogueStep, Problem
from dispatch.shapes import check_rank, check_same_dtype, integer, integers, output, window_pads
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "conv_transpose2d", "transposed_convolution"]

NAME = "conv_transpose2d"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check shapes and give the output's."""
    x, w, bias = specs
    assert x is not None and w is not None
    canonical, shape = transposed_convolution(NAME, x, w, bias, attributes)
    check_same_dtype(NAME, "x", x, w=w)
    if bias is not None:
        check_same_dtype(NAME, "x", x, bias=bias)
    return Inferred(canonical, (output(NAME, x.dtype, shape),))


def transposed_convolution(
    name: str, x: TensorSpec, w: TensorSpec, bias: TensorSpec | None, attributes: Attributes
) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Return canonical attributes and the output's shape, whatever the dtypes."""
    check_rank(name, "x", x, 4)
    check_rank(name, "w", w, 4)
    groups = integer(name, "groups", attributes["groups"], 1)
    strides = integers(name, "strides", attributes["strides"], 2, 1)
    dilations = integers(name, "dilations", attributes["dilations"], 2, 1)
    extra = integers(name, "output_padding", attributes["output_padding"], 2, 0)
    channels, outputs, kernel = x.shape[1], w.shape[1] * groups, w.shape[2:]
    if min(kernel) < 1:
        raise InvalidArgument(f"{name}: w: expected a kernel of at least 1x1, got {kernel}")
    if min(x.shape[2:]) < 1:
        raise InvalidArgument(f"{name}: x: expected pixels, got shape {x.shape}")
    if channels % groups:
        raise InvalidArgument(
            f"{name}: groups: expected a divisor of x's {channels} channels, got {groups}"
        )
    if w.shape[0] != channels:
        raise InvalidArgument(f"{name}: w: expected {channels} channels as x has, got {w.shape[0]}")
    if bias is not None and bias.shape != (outputs,):
        raise InvalidArgument(f"{name}: bias: expected shape ({outputs},), got {bias.shape}")
    full = [
        (extent - 1) * stride + (size - 1) * dilation + 1
        for extent, size, stride, dilation in zip(
            x.shape[2:], kernel, strides, dilations, strict=True
        )
    ]
    pads, extra = _padding(name, attributes["pads"], full, x.shape[2:], strides, extra)
    for axis in range(2):
        if extra[axis] >= max(strides[axis], dilations[axis]):
            raise InvalidArgument(
                f"{name}: output_padding: expected less than the stride or the dilation, "
                f"got {extra}"
            )
    shape = [full[i] + extra[i] - pads[i] - pads[i + 2] for i in range(2)]
    if min(shape) < 0:
        raise InvalidArgument(
            f"{name}: pads: expected at most the {full[0]}x{full[1]} pixels before padding, "
            f"got {pads}"
        )
    canonical = {
        "strides": strides,
        "pads": pads,
        "dilations": dilations,
        "groups": groups,
        "output_padding": extra,
    }
    return canonical, (x.shape[0], outputs, *shape)


def _padding(
    name: str,
    pads: Any,
    full: list[int],
    extents: tuple[int, ...],
    strides: tuple[int, ...],
    extra: tuple[int, ...],
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return explicit padding; ``"same"`` gives ``extent * stride`` pixels."""
    if pads not in ("same", "same_lower"):
        return window_pads(name, pads, extents, (1, 1), strides, (1, 1)), extra
    begin, end, more = [], [], []
    for axis in range(2):
        total = full[axis] + extra[axis] - extents[axis] * strides[axis]
        more.append(extra[axis] + max(0, -total))
        total = max(0, total)
        begin.append(total // 2 if pads == "same" else total - total // 2)
        end.append(total - begin[-1])
    return (*begin, *end), tuple(more)


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Add each offset's matrix product to where it lands, then cut the padding off."""
    x, w, bias = arrays
    assert x is not None and w is not None
    top, left, bottom, right = attributes["pads"]
    (stride_h, stride_w), (dilation_h, dilation_w) = attributes["strides"], attributes["dilations"]
    groups, (extra_h, extra_w) = attributes["groups"], attributes["output_padding"]
    n, channels, height, width = x.shape
    per_group, kernel_h, kernel_w = w.shape[1:]
    full_h = (height - 1) * stride_h + (kernel_h - 1) * dilation_h + 1 + extra_h
    full_w = (width - 1) * stride_w + (kernel_w - 1) * dilation_w + 1 + extra_w
    y = np.zeros((n, groups, per_group, full_h, full_w), x.dtype)
    grouped_x = x.reshape(n, groups, channels // groups, height, width)
    grouped_w = w.reshape(groups, channels // groups, per_group, kernel_h, kernel_w)
    for i in range(kernel_h):
        for j in range(kernel_w):
            rows = slice(i * dilation_h, i * dilation_h + (height - 1) * stride_h + 1, stride_h)
            columns = slice(j * dilation_w, j * dilation_w + (width - 1) * stride_w + 1, stride_w)
            part = np.einsum("ngchw,gco->ngohw", grouped_x, grouped_w[..., i, j], optimize=True)
            y[:, :, :, rows, columns] += part
    y = y.reshape(n, groups * per_group, full_h, full_w)
    y = y[:, :, top : full_h - bottom, left : full_w - right]
    return [y if bias is None else y + bias.reshape(1, -1, 1, 1)]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The same of absolute values."""
    return reference([None if a is None else np.abs(a) for a in arrays], attributes)


def flops(problem: Problem) -> float:
    """Two for each product and its sum."""
    x, w = problem.inputs[0], problem.inputs[1]
    assert x is not None and w is not None
    return 2.0 * x.size * w.shape[1] * w.shape[2] * w.shape[3]


def _case(
    label: str,
    x: tuple[int, ...],
    w: tuple[int, ...],
    bias: bool = True,
    constant: bool = True,
    epilogue: tuple[EpilogueStep, ...] = (),
    operands: tuple[Sample, ...] = (),
    **attributes: Any,
) -> Case:
    outputs = w[1] * attributes.get("groups", 1)
    inputs = (
        Sample(x),
        Sample(w, constant=constant),
        Sample((outputs,), constant=constant) if bias else None,
    )
    return Case(label, inputs + operands, attributes, epilogue)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases, then random ones."""
    yield _case("2x2, stride 2", (1, 24, 10, 12), (24, 24, 2, 2), strides=2)
    yield _case("to one channel", (1, 24, 9, 7), (24, 1, 2, 2), strides=2)
    yield _case("3x3", (1, 16, 8, 8), (16, 8, 3, 3), pads=1)
    yield _case("4x4, stride 2, padded", (2, 7, 5, 6), (7, 9, 4, 4), strides=2, pads=1)
    yield _case("no bias", (1, 8, 5, 5), (8, 6, 3, 3), bias=False)
    yield _case("weight not constant", (2, 5, 6, 6), (5, 7, 3, 3), constant=False, strides=2)
    yield _case("one by one", (1, 33, 5, 5), (33, 17, 1, 1))
    yield _case("one by one, stride 2", (1, 9, 5, 5), (9, 5, 1, 1), strides=2)
    yield _case(
        "output padding", (1, 6, 5, 5), (6, 4, 3, 3), strides=(2, 3), pads=1, output_padding=(1, 2)
    )
    yield _case("asymmetric", (1, 6, 6, 7), (6, 5, 3, 4), strides=2, pads=(0, 1, 2, 1))
    yield _case("same", (1, 4, 5, 6), (4, 6, 3, 3), strides=2, pads="same")
    yield _case("same_lower", (1, 4, 5, 6), (4, 6, 4, 3), strides=(2, 1), pads="same_lower")
    yield _case("same, gaps", (1, 4, 5, 6), (4, 6, 1, 2), strides=3, pads="same")
    yield _case("dilated", (1, 8, 6, 7), (8, 4, 3, 3), dilations=(2, 3), pads=2)
    yield _case("grouped", (2, 12, 5, 5), (12, 4, 3, 3), groups=3, strides=2)
    yield _case("depthwise", (1, 19, 6, 6), (19, 1, 4, 4), groups=19, strides=2, pads=1)
    yield _case("depthwise, two outputs each", (1, 6, 5, 5), (6, 2, 3, 3), groups=6)
    yield _case("one pixel", (1, 1, 1, 1), (1, 1, 1, 1))
    yield _case("one pixel becomes many", (1, 5, 1, 1), (5, 3, 7, 7))
    yield _case("everything cut off", (1, 3, 1, 1), (3, 2, 2, 2), pads=1)
    yield _case("empty batch", (0, 4, 6, 6), (4, 4, 3, 3))
    yield _case("no input channels", (1, 0, 5, 5), (0, 4, 3, 3))
    yield _case("no output channels", (1, 4, 5, 5), (4, 0, 3, 3))
    relu = EpilogueStep("relu")
    for step in (relu, EpilogueStep("sigmoid"), EpilogueStep("hard_swish")):
        yield _case(step.name, (1, 9, 7, 9), (9, 20, 2, 2), strides=2, epilogue=(step,))
    yield _case(
        "residual and relu",
        (1, 24, 5, 5),
        (24, 10, 2, 2),
        strides=2,
        epilogue=(EpilogueStep("add", 3), relu),
        operands=(Sample((1, 10, 10, 10)),),
    )
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        strides = (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
        per_group, outputs = int(rng.integers(1, 24)), int(rng.integers(1, 24))
        yield _case(
            "random",
            (
                int(rng.integers(1, 3)),
                per_group * groups,
                *(int(e) for e in rng.integers(2, 12, 2)),
            ),
            (per_group * groups, outputs, *kernel),
            bias=bool(rng.integers(2)),
            constant=bool(rng.integers(2)),
            strides=strides,
            pads=tuple(int(rng.integers(0, (k + 1) // 2 + 1)) for k in kernel * 2),
            output_padding=tuple(int(rng.integers(0, s)) for s in strides),
            groups=groups,
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("w"), Input("bias", optional=True)),
    attributes={"strides": 1, "pads": 0, "dilations": 1, "groups": 1, "output_padding": 0},
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=flops,
    onnx=("ConvTranspose",),
    epilogue=STEPS,
)


def conv_transpose2d(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    strides: int | tuple[int, int] = 1,
    pads: int | tuple[int, ...] | str = 0,
    dilations: int | tuple[int, int] = 1,
    groups: int = 1,
    output_padding: int | tuple[int, int] = 0,
    activation: str | tuple[Any, ...] | None = None,
    residual: Any = None,
    out: Any = None,
) -> Any:
    """Convolve images transposed, as ONNX's ConvTranspose: the gradient of `conv2d` by its input.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        Images of at least one pixel; float32, float64, float16 or bfloat16.
    w : array, shape (C, O / groups, kernel height, kernel width)
        Filters, of x's dtype. Weights that don't change: `dispatch.constant`.
    bias : array, shape (O,), optional
        Added to each output channel.
    strides, dilations
        One number or (vertical, horizontal), at least 1.
    pads
        Pixels cut off the result: one number, (vertical, horizontal), (top,
        left, bottom, right), ``"same"`` (the result has the extents of `x`
        times the strides; the odd pixel is cut below and right),
        ``"same_lower"`` or ``"valid"``.
    groups
        Divides both C and O.
    output_padding
        Rows and columns added below and right, less than the stride or the dilation.
    activation
        A name or a name with its numbers: `dispatch.arguments.ACTIVATIONS`.
    residual : array of the result's shape, optional
        Added before the activation.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (N, O, H', W')
        ``H' = (H - 1) * stride + (kernel - 1) * dilation + 1 + output padding - pads``;
        of x's kind and dtype.

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
        (strides, pads, dilations, groups, output_padding),
        out,
        epilogue_of(activation, residual),
    )
