"""Parts of a tensor along an axis."""

from __future__ import annotations

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
from dispatch.shapes import check_count, integer, integers, normalize_axis, output

__all__ = ["OPERATOR", "split"]

NAME = "split"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Make a number of parts their sizes; check that they fill the axis."""
    (x,) = specs
    assert x is not None
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    extent, sizes = x.shape[axis], attributes["sizes"]
    if not hasattr(sizes, "__len__"):
        parts = integer(NAME, "sizes", sizes, 1)
        size = -(-extent // parts)
        sizes = tuple(max(0, min(size, extent - part * size)) for part in range(parts))
    sizes = integers(NAME, "sizes", sizes, minimum=0)
    check_count(NAME, "sizes", len(sizes))
    if not sizes or sum(sizes) != extent:
        raise InvalidArgument(
            f"{NAME}: sizes: expected numbers that add up to {extent}, x's extent along axis "
            f"{axis}, got {sizes}"
        )
    shapes = [(*x.shape[:axis], size, *x.shape[axis + 1 :]) for size in sizes]
    outputs = tuple(output(NAME, x.dtype, shape) for shape in shapes)
    return Inferred({"axis": axis, "sizes": sizes}, outputs)


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    (x,) = arrays
    assert x is not None
    return np.split(x, np.cumsum(attributes["sizes"])[:-1], axis=attributes["axis"])


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """One to many parts, each axis, uneven ones; then random ones."""
    shape: tuple[int, ...]
    attributes: dict[str, Any]
    sizes: int | tuple[int, ...]
    for shape, axis, sizes in (
        ((7,), 0, (7,)), ((7,), 0, (3, 4)), ((2, 6), 1, (1, 2, 3)), ((6, 2), 0, (1, 5)),
        ((1, 48, 5, 5), 1, (16, 32)), ((2, 28, 3, 3), 1, (3, 17, 8)), ((2, 3, 8), -1, (4, 4)),
        ((2, 3), 1, (0, 3)), ((0, 4), 1, (2, 2)), ((2, 0), 1, (0, 0)), ((3, 40), 1, (1,) * 40),
        ((2, 9), 1, 2), ((2, 9), 1, 3), ((2, 7), 1, 3), ((1, 116, 28, 28), 1, (58, 58)),
    ):  # fmt: skip
        attributes = {"axis": axis, "sizes": sizes}
        yield Case(f"{shape} along {axis} into {sizes}", (Sample(shape, -9.0, 9.0),), attributes)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 12, int(rng.integers(1, 5))))
        axis = int(rng.integers(len(shape)))
        cuts = sorted(int(c) for c in rng.integers(0, shape[axis] + 1, int(rng.integers(0, 4))))
        ends = [*cuts, shape[axis]]
        sizes = tuple(end - start for start, end in zip([0, *cuts], ends, strict=True))
        yield Case("random", (Sample(shape, -9.0, 9.0),), {"axis": axis, "sizes": sizes})


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"sizes": REQUIRED, "axis": 0},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Split",),
)


def split(
    x: Any, sizes: int | tuple[int, ...], axis: int = 0, *, out: Any = None
) -> tuple[Any, ...]:
    """Cut a tensor into parts along an axis, as ONNX's Split.

    Parameters
    ----------
    x : array
        At least one dimension, any dtype of the project.
    sizes
        The parts' extents along the axis, or the number of parts: all of them
        of one size but for the last, which may be smaller.
    axis
        Along which; negative: from the end.
    out : tuple of arrays, optional
        Where to write the parts.

    Returns
    -------
    tuple of arrays
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        Sizes that don't add up to the axis's extent, or an axis that `x` doesn't have.
    """
    result = call(OPERATOR, (x,), (sizes, axis), out)
    return result if isinstance(result, tuple) else (result,)
