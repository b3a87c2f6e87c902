"""Dimensions in another order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.errors import InvalidArgument
from dispatch.movement import ANY_DTYPE, no_flops, output_bytes
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
from dispatch.shapes import integers, output

__all__ = ["OPERATOR", "transpose"]

NAME = "transpose"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the permutation; None reverses."""
    (x,) = specs
    assert x is not None
    given = attributes["permutation"]
    if given is None:
        given = tuple(reversed(range(x.rank)))
    permutation = integers(NAME, "permutation", given)
    if sorted(axis + x.rank if axis < 0 else axis for axis in permutation) != list(range(x.rank)):
        raise InvalidArgument(
            f"{NAME}: permutation: expected each of x's {x.rank} axes once, got {permutation}"
        )
    permutation = tuple(axis % x.rank for axis in permutation)
    shape = [x.shape[axis] for axis in permutation]
    return Inferred({"permutation": permutation}, (output(NAME, x.dtype, shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    (x,) = arrays
    assert x is not None
    return [np.transpose(x, attributes["permutation"])]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Matrices around a vector's width, images to and from NHWC; then random ones."""
    shape: tuple[int, ...]
    attributes: dict[str, Any]
    for shape, permutation in (
        ((5,), (0,)), ((), ()), ((3, 5), (1, 0)), ((3, 5), (0, 1)), ((8, 8), (1, 0)),
        ((16, 16), (1, 0)), ((17, 33), (1, 0)), ((2, 3, 4), (2, 0, 1)), ((2, 3, 4), (1, 0, 2)),
        ((2, 3, 4), (0, 2, 1)), ((1, 16, 5, 7), (0, 2, 3, 1)), ((2, 5, 7, 17), (0, 3, 1, 2)),
        ((2, 8, 40, 15), (0, 2, 1, 3)), ((2, 2, 58, 9, 9), (0, 2, 1, 3, 4)), ((0, 3), (1, 0)),
        ((1, 120, 1, 40), (0, 3, 1, 2)), ((2, 1, 3, 1, 2, 3), (5, 3, 1, 4, 2, 0)),
        ((130, 257), (1, 0)),
    ):  # fmt: skip
        attributes = {"permutation": permutation}
        yield Case(f"{shape} by {permutation}", (Sample(shape, -9.0, 9.0),), attributes)
    yield Case("reversed", (Sample((2, 3, 4), -9.0, 9.0),))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 12, int(rng.integers(1, 6))))
        attributes = {"permutation": tuple(int(i) for i in rng.permutation(len(shape)))}
        yield Case("random", (Sample(shape, -9.0, 9.0),), attributes)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"permutation": None},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Transpose",),
)


def transpose(x: Any, permutation: tuple[int, ...] | None = None, *, out: Any = None) -> Any:
    """Put the dimensions in another order, as ONNX's Transpose.

    Parameters
    ----------
    x : array
        Any shape, any dtype of the project.
    permutation
        For each axis of the result, the axis of `x`; None: reversed.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind and dtype, dense.

    Raises
    ------
    InvalidArgument
        What isn't a permutation of x's axes.
    """
    return call(OPERATOR, (x,), (permutation,), out)
