"""Rectified linear unit with a slope for each element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
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
from dispatch.shapes import broadcast, check_same_dtype, output

__all__ = ["OPERATOR", "prelu"]

NAME = "prelu"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that the slope broadcasts to x."""
    x, slope = specs
    assert x is not None and slope is not None
    check_same_dtype(NAME, "x", x, slope=slope)
    if broadcast(NAME, slope=slope.shape, x=x.shape) != x.shape:
        raise InvalidArgument(
            f"{NAME}: slope: expected a shape that broadcasts to x's {x.shape}, got {slope.shape}"
        )
    return Inferred({}, (output(NAME, x.dtype, x.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Scale what is below 0."""
    x, slope = arrays
    assert x is not None and slope is not None
    with np.errstate(all="ignore"):
        return [np.where(x < 0, slope * x, x)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Slopes of one number, of a channel, of an element."""
    nan, inf = float("nan"), float("inf")
    edges = (nan, inf, -inf, 0.0, -0.0, -1.0, 1.0, -3.0)
    slopes = (1.0, 0.5, 0.5, 2.0, 2.0, 0.0, -1.0, -0.25)
    yield Case("edge values", (Sample((8,), values=edges), Sample((8,), values=slopes)))
    for x, slope in (
        ((2, 16, 5, 7), (16, 1, 1)),
        ((1, 19, 4, 4), (19, 1, 1)),
        ((1, 19, 4, 4), (1, 19, 1, 1)),
        ((2, 3, 5), (1,)),
        ((2, 3, 5), ()),
        ((2, 3, 5), (2, 3, 5)),
        ((4, 33), (33,)),
        ((), ()),
        ((0, 3), (3,)),
        ((1, 3, 100, 101), (3, 1, 1)),
    ):
        yield Case(f"shapes {x} {slope}", (Sample(x, -3.0, 3.0), Sample(slope, -1.0, 1.0)))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 12, int(rng.integers(1, 5))))
        small = tuple(n if rng.integers(2) else 1 for n in shape)[int(rng.integers(len(shape))) :]
        yield Case("random", (Sample(shape, -3.0, 3.0), Sample(small, -1.0, 1.0)))


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("slope")),
    attributes={},
    dtypes=FLOATS + INTEGERS[:4],
    infer=infer,
    reference=reference,
    cases=cases,
    onnx=("PRelu",),
    elementwise=True,
)


def prelu(x: Any, slope: Any, *, out: Any = None) -> Any:
    """Return `x` where it is at least 0, else ``slope * x``, as ONNX's PRelu.

    Parameters
    ----------
    x : array
        Any shape; float32, float64, float16, bfloat16 or signed integers.
    slope : array
        Of x's dtype and a shape that broadcasts to x's: ``(C, 1, 1)`` for one
        slope a channel.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        A slope that doesn't broadcast to `x`.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    return call(OPERATOR, (x, slope), (), out)
