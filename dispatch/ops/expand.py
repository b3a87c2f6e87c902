"""Broadcasting to a shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.movement import ANY_DTYPE, no_flops, output_bytes
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
from dispatch.shapes import broadcast, integers, output

__all__ = ["OPERATOR", "expand"]

NAME = "expand"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Broadcast both ways: the canonical shape is the result's."""
    (x,) = specs
    assert x is not None
    wanted = integers(NAME, "shape", attributes["shape"], minimum=0)
    shape = broadcast(NAME, shape=wanted, x=x.shape)
    return Inferred({"shape": shape}, (output(NAME, x.dtype, shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    (x,) = arrays
    assert x is not None
    return [np.broadcast_to(x, attributes["shape"]).copy()]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """New axes, extents of 1 repeated, both ways; then random ones."""
    x: tuple[int, ...]
    for x, shape in (
        ((), (3, 4)), ((1,), (5,)), ((5,), (5,)), ((3, 1), (3, 4)), ((1, 4), (3, 4)),
        ((3, 1), (2, 1, 6)), ((3, 4), (1,)), ((2, 3, 1, 1), (2, 3, 5, 7)), ((1, 17), (9, 17)),
        ((1,), (0,)), ((0, 3), (2, 1, 1)), ((1, 1, 33), (4, 8, 33)),
        ((2, 1, 3, 1, 2), (2, 2, 3, 2, 2)),
    ):  # fmt: skip
        yield Case(f"{x} to {shape}", (Sample(x, -9.0, 9.0),), {"shape": shape})
    while True:
        full = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        x = tuple(n if rng.integers(2) else 1 for n in full)[int(rng.integers(len(full))) :]
        yield Case("random", (Sample(x, -9.0, 9.0),), {"shape": full})


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"shape": REQUIRED},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Expand",),
)


def expand(x: Any, shape: tuple[int, ...], *, out: Any = None) -> Any:
    """Repeat extents of 1 until x broadcasts with a shape, as ONNX's Expand.

    Parameters
    ----------
    x : array
        Any dtype of the project.
    shape
        Extents that broadcast with x's as NumPy's do; where one is 1 the
        result has x's.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind and dtype, dense.

    Raises
    ------
    InvalidArgument
        A shape that doesn't broadcast with x's.
    """
    return call(OPERATOR, (x,), (shape,), out)
