"""Another shape for the same elements."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.errors import InvalidArgument
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
from dispatch.shapes import flag, integers, output

__all__ = ["OPERATOR", "reshape"]

NAME = "reshape"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Resolve 0 and -1; the canonical shape is explicit, its zeros are extents."""
    (x,) = specs
    assert x is not None
    allow_zero = flag(NAME, "allow_zero", attributes["allow_zero"])
    wanted = integers(NAME, "shape", attributes["shape"], minimum=-1)
    shape, rest = list(wanted), list(x.shape)
    for axis, extent in enumerate(wanted):
        if extent == 0 and not allow_zero:
            if axis >= x.rank:
                raise InvalidArgument(
                    f"{NAME}: shape: expected no 0 beyond x's {x.rank} dimensions, got {wanted}"
                )
            shape[axis] = x.shape[axis]
            rest[axis] = 1
    if shape.count(-1) > 1:
        raise InvalidArgument(f"{NAME}: shape: expected -1 at most once, got {wanted}")
    if -1 in shape:
        # Extents that are taken over drop out on both sides, so that they may be 0.
        others = math.prod(e for e in wanted if e > 0 or (e == 0 and allow_zero))
        remaining = math.prod(rest)
        if others == 0 or remaining % others:
            raise InvalidArgument(
                f"{NAME}: shape: expected extents that divide x's {x.shape}, got {wanted}"
            )
        shape[shape.index(-1)] = remaining // others
    if math.prod(shape) != x.size:
        raise InvalidArgument(
            f"{NAME}: shape: expected {x.size} elements as x {x.shape} has, got {wanted}"
        )
    canonical = {"shape": tuple(shape), "allow_zero": 1}
    return Inferred(canonical, (output(NAME, x.dtype, shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    (x,) = arrays
    assert x is not None
    return [x.reshape(attributes["shape"])]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Zeros and -1; then random ones."""
    shape: tuple[int, ...]
    for x, shape, allow_zero in (
        ((6,), (2, 3), False), ((2, 3), (6,), False), ((2, 3, 4), (0, -1), False),
        ((2, 3, 4), (-1,), False), ((2, 3, 4), (4, 3, 2), False), ((1,), (), False),
        ((), (1, 1), False), ((0, 3), (3, 0), True), ((0, 3), (0, -1), False),
        ((2, 17, 3, 5), (2, 17, 15), False), ((2, 17, 1, 1), (2, 17), False),
        ((4, 5), (4, 5), False),
    ):  # fmt: skip
        attributes = {"shape": shape, "allow_zero": allow_zero}
        yield Case(f"{x} to {shape}", (Sample(x, -9.0, 9.0),), attributes)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        target = tuple(shape[i] for i in rng.permutation(len(shape)))
        yield Case("random", (Sample(shape, -9.0, 9.0),), {"shape": target})


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"shape": REQUIRED, "allow_zero": False},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Reshape", "Flatten", "Squeeze", "Unsqueeze"),
    view=True,
)


def reshape(x: Any, shape: tuple[int, ...], *, allow_zero: bool = False, out: Any = None) -> Any:
    """Give the same elements another shape, as ONNX's Reshape.

    Parameters
    ----------
    x : array
        Any shape, any dtype of the project.
    shape
        The new extents; one may be -1: what remains. 0 stands for x's extent
        of the same axis.
    allow_zero
        0 is an extent of no elements.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind and dtype, in memory of its own.

    Raises
    ------
    InvalidArgument
        A shape of another number of elements.
    """
    return call(OPERATOR, (x,), (shape, allow_zero), out)
