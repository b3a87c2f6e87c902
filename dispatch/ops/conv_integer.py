"""Two-dimensional convolution of plain integers into int32."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.integer_products import (
    check_integer_product,
    draw_integers,
    less_zero_point,
    zero_point_sample,
)
from dispatch.operator import Array, Arrays, Attributes, Case, Inferred, Input, Operator, Specs
from dispatch.ops import conv2d
from dispatch.quantization import STORED
from dispatch.shapes import output

__all__ = ["OPERATOR", "conv_integer"]

NAME = "conv_integer"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check shapes and zero points, and give the output's."""
    x, w, x_point, w_point = specs
    assert x is not None and w is not None
    canonical, shape = conv2d.convolution(NAME, x, w, None, attributes)
    products = math.prod(w.shape[1:])
    check_integer_product(NAME, ("x", x, x_point), ("w", w, w_point), w.shape[0], products)
    return Inferred(canonical, (output(NAME, "int32", shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Convolve in int64; padding is the zero point."""
    x, w, x_point, w_point = arrays
    assert x is not None and w is not None
    real = less_zero_point(x, x_point), less_zero_point(w, w_point, (-1, 1, 1, 1))
    return conv2d.reference([*real, None], attributes)


def _case(
    label: str,
    x: tuple[int, int, int, int],
    w: tuple[int, int, int, int],
    dtypes: tuple[str, str],
    points: tuple[int | None, int | None] = (0, 0),
    constant: bool = True,
    constant_point: bool = True,
    extreme: bool = False,
    **attributes: Any,
) -> Case:
    return Case(
        label,
        (
            draw_integers(x, dtypes[0]),
            draw_integers(w, dtypes[1], constant),
            zero_point_sample(dtypes[0], points[0], False, extreme),
            zero_point_sample(dtypes[1], points[1], constant_point, extreme),
        ),
        attributes,
    )


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases in each combination of dtypes, then random ones."""
    for first in STORED:
        for second in STORED:
            both = (first, second)
            label = f"3x3, {first} by {second}"
            image, filters = (1, 16, 9, 11), (35, 16, 3, 3)
            yield _case(label, image, filters, both, pads=1)
            yield _case(f"{label}, no zero points", image, filters, both, (None, None), pads=1)
            yield _case(f"{label}, per channel", image, filters, both, (1, 35), pads=1)
            yield _case(f"{label}, extremes", image, filters, both, (0, 35), extreme=True, pads=1)
            yield _case(f"{label}, w not constant", image, filters, both, (0, 35), False, pads=1)
            yield _case(
                f"{label}, zero point not constant",
                image,
                filters,
                both,
                (0, 35),
                constant_point=False,
                pads=1,
            )
        both = (first, "int8")
        yield _case("one by one", (2, 33, 13, 11), (17, 33, 1, 1), both)
        yield _case("one by one, whole lanes", (1, 64, 6, 5), (48, 64, 1, 1), both, (0, 48))
        yield _case("stem", (1, 3, 37, 41), (24, 3, 7, 7), both, strides=2, pads=3)
        yield _case("asymmetric padding", (1, 6, 9, 10), (9, 6, 3, 4), both, pads=(0, 1, 2, 3))
        yield _case("same", (1, 4, 10, 11), (6, 4, 4, 3), both, strides=(2, 3), pads="same")
        yield _case("dilated", (1, 8, 15, 17), (8, 8, 3, 3), both, dilations=(2, 3), pads=2)
        yield _case("grouped", (2, 12, 8, 8), (18, 4, 3, 3), both, (0, 18), groups=3, pads=1)
        yield _case("depthwise", (1, 19, 8, 9), (19, 1, 3, 3), both, (0, 19), groups=19, pads=1)
        yield _case("one pixel", (1, 1, 1, 1), (1, 1, 1, 1), both)
        yield _case("window of the whole image", (2, 5, 6, 7), (3, 5, 6, 7), both)
        yield _case("padding wider than the window", (1, 3, 4, 4), (5, 3, 2, 2), both, pads=3)
        yield _case("stride wider than the window", (1, 7, 11, 11), (5, 7, 2, 2), both, strides=3)
        yield _case("empty batch", (0, 4, 6, 6), (4, 4, 3, 3), both)
        yield _case("no input channels", (1, 0, 5, 5), (4, 0, 3, 3), both)
        yield _case("no output channels", (1, 4, 5, 5), (0, 4, 3, 3), both)
    while True:
        groups = int(rng.choice([1, 1, 1, 2, 3]))
        kernel = (int(rng.integers(1, 6)), int(rng.integers(1, 6)))
        per_group, outputs = int(rng.integers(1, 40)), int(rng.integers(1, 40))
        height, width = (int(rng.integers(k, k + 24)) for k in kernel)
        first, second = (str(d) for d in rng.choice(STORED, 2))
        yield _case(
            "random",
            (int(rng.integers(1, 3)), per_group * groups, height, width),
            (outputs * groups, per_group, *kernel),
            (first, second),
            ((None, 0, 1)[rng.integers(3)], (None, 0, 1, outputs * groups)[rng.integers(4)]),
            bool(rng.integers(2)),
            bool(rng.integers(2)),
            strides=(int(rng.integers(1, 4)), int(rng.integers(1, 4))),
            pads=tuple(int(p) for p in rng.integers(0, 4, 4)),
            groups=groups,
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(
        Input("x"),
        Input("w"),
        Input("x_zero_point", optional=True),
        Input("w_zero_point", optional=True),
    ),
    attributes={"strides": 1, "pads": 0, "dilations": 1, "groups": 1},
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=conv2d.flops,
    onnx=("ConvInteger",),
)


def conv_integer(
    x: Any,
    w: Any,
    x_zero_point: Any = None,
    w_zero_point: Any = None,
    *,
    strides: int | tuple[int, int] = 1,
    pads: int | tuple[int, ...] | str = 0,
    dilations: int | tuple[int, int] = 1,
    groups: int = 1,
    out: Any = None,
) -> Any:
    """Convolve images of 8-bit integers less their zero points, as ONNX's ConvInteger.

    For images whose scale is known only when their values are
    (`dynamic_quantize_linear`); where it is known before, `qconv2d` is faster.

    Parameters
    ----------
    x : array of uint8 or int8, shape (N, C, H, W)
        Images. Padding has the value of their zero point.
    w : array of uint8 or int8, shape (O, C / groups, kernel height, kernel width)
        Filters. Those that don't change: `dispatch.constant`.
    x_zero_point : array of x's dtype, shape () or (1,), optional
        Subtracted from each element of x.
    w_zero_point : array of w's dtype, shape (), (1,) or (O,), optional
        Subtracted from each element of w, or of its filter. Constant like w, w is
        packed once.
    strides, dilations
        One number or (vertical, horizontal).
    pads
        One number, (vertical, horizontal), (top, left, bottom, right), or ``"same"``.
    groups
        Channels and filters are split into so many groups, each convolved on its own.
    out : array of int32, optional
        Where to write the result.

    Returns
    -------
    array of int32, shape (N, O, output height, output width)
        Exact.

    Raises
    ------
    InvalidArgument
        A shape or attribute that doesn't fit, or sums that int32 might not hold (more
        than 33025 products); the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(
        OPERATOR,
        (x, w, x_zero_point, w_zero_point),
        (strides, pads, dilations, groups),
        out,
    )
