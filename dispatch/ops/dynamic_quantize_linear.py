"""From real numbers to stored integers of the range that they turn out to have."""

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
from dispatch.shapes import output

__all__ = ["OPERATOR", "dynamic_quantize_linear"]

NAME = "dynamic_quantize_linear"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Give integers of x's shape, and two numbers."""
    (x,) = specs
    assert x is not None
    return Inferred(
        {},
        (
            output(NAME, "uint8", x.shape),
            output(NAME, "float32", ()),
            output(NAME, "uint8", ()),
        ),
    )


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Compute in float32 step by step, as the rule says."""
    (given,) = arrays
    assert given is not None
    x, zero = given.astype(np.float32), np.float32(0)
    with np.errstate(over="ignore"):
        low = np.minimum(x.min(initial=0.0), zero)
        high = np.maximum(x.max(initial=0.0), zero)
        scale = np.float32(high - low) / np.float32(255)
    if scale == 0:
        scale = np.float32(1)
    point = np.clip(np.rint(-low / scale), zero, np.float32(255))
    y = np.clip(np.rint(x / scale) + point, zero, np.float32(255))
    return [y.astype(np.uint8), np.asarray(scale, np.float32), np.asarray(point, np.uint8)]


_SHAPES: tuple[tuple[int, ...], ...] = (
    (7,), (), (0,), (1,), (3, 5), (2, 3, 0, 4), (16,), (31,), (33,), (64,), (1, 3, 17, 19),
    (2, 16, 5, 5), (100003,),
)  # fmt: skip


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Both signs, one sign, nothing, the smallest and largest numbers; then random ones."""
    for shape in _SHAPES:
        yield Case(f"shape {shape}", (Sample(shape, -3.0, 5.0),))
    for low, high in ((0.5, 9.0), (-7.0, -0.25), (0.0, 1.0), (-1.0, 0.0), (-1e-3, 250.0)):
        yield Case(f"from {low} to {high}", (Sample((501,), low, high),))
    edges: tuple[tuple[str, tuple[float, ...]], ...] = (
        ("zeros", (0.0, -0.0, 0.0)),
        ("subnormal numbers", (1e-45, 0.0, -1e-45)),
        ("a subnormal scale", (1e-38, 5e-39, -1e-38, 0.0)),
        ("a range of all numbers", (3e38, -3e38, 1.0, 0.0)),
        ("ties", (*(n / 2.0 for n in range(511)), 0.0)),
        ("ties, both signs", tuple(n / 2.0 for n in range(-255, 256))),
        ("a tie in the zero point", (254.5, -0.5, 1.0)),
    )
    for label, values in edges:
        yield Case(label, (Sample((len(values),), values=values),))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 30, int(rng.integers(1, 5))))
        low = float(rng.choice([-100.0, -1.0, -1e-3, 0.0, 0.1]))
        yield Case("random", (Sample(shape, low, low + float(rng.choice([1e-4, 1.0, 300.0]))),))


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={},
    dtypes=("float32",),
    infer=infer,
    reference=reference,
    cases=cases,
    onnx=("DynamicQuantizeLinear",),
)


def dynamic_quantize_linear(x: Any, *, out: Any = None) -> Any:
    """Quantise by the range that the values have, as ONNX's DynamicQuantizeLinear.

    With low and high the least and largest of x's elements and 0, all in float32:
    ``scale = (high - low) / 255`` (1 where that is 0), ``zero_point =
    rint(-low / scale)``, ``y = saturate(rint(x / scale) + zero_point)``.

    Parameters
    ----------
    x : array of float32
        Any shape. NaN and infinity have no meaning here: they give unspecified values.
    out : tuple of arrays, optional
        Where to write the results.

    Returns
    -------
    y : array of uint8
        Of x's shape; it stands for ``scale * (y - zero_point)``.
    scale : array of float32, shape ()
    zero_point : array of uint8, shape ()

    Raises
    ------
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (), out)
