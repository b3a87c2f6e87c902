"""Slices along an axis by their indices."""

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
from dispatch.shapes import check_dtype, normalize_axis, output

__all__ = ["OPERATOR", "gather"]

NAME = "gather"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Put the indices' shape in the axis's place."""
    x, indices = specs
    assert x is not None and indices is not None
    check_dtype(NAME, "indices", indices, ("int64", "int32"))
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    if x.shape[axis] == 0 and indices.size:
        raise InvalidArgument(f"{NAME}: x: expected elements along axis {axis}, got {x.shape}")
    shape = x.shape[:axis] + indices.shape + x.shape[axis + 1 :]
    return Inferred({"axis": axis}, (output(NAME, x.dtype, shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy, which takes negative indices from the end."""
    x, indices = arrays
    assert x is not None and indices is not None
    return [np.take(x, indices, axis=attributes["axis"])]


def _case(label: str, x: tuple[int, ...], indices: Sample, axis: int) -> Case:
    return Case(label, (Sample(x, -9.0, 9.0), indices), {"axis": axis})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Indices of each rank and sign, each axis; then random ones."""
    for dtype in ("int64", "int32"):
        some = Sample((4,), values=(0.0, 2.0, -1.0, -3.0), dtype=dtype)
        yield _case(f"{dtype}, rows", (3, 5), some, 0)
        yield _case(f"{dtype}, columns", (5, 3), some, 1)
        yield _case(f"{dtype}, vector", (3,), some, 0)
    one = Sample((), values=(1.0,), dtype="int64")
    yield _case("one index", (3, 5), one, 0)
    yield _case("one index of the last axis", (2, 3, 4), one, -1)
    table = Sample((2, 3), values=(0.0, 1.0, 5.0, -6.0, 3.0, 3.0), dtype="int64")
    yield _case("a table of indices", (2, 6, 4), table, 1)
    yield _case("rows of a vector's width", (6, 16), table, 0)
    yield _case("long rows", (6, 1000), table, 0)
    yield _case("no indices", (3, 5), Sample((0,), values=(), dtype="int64"), 0)
    yield _case("no elements", (3, 0), Sample((2,), values=(0.0, 2.0), dtype="int64"), 0)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        axis = int(rng.integers(len(shape)))
        wanted = tuple(int(n) for n in rng.integers(1, 5, int(rng.integers(0, 3))))
        extent = shape[axis]
        drawn = rng.integers(-extent, extent, int(np.prod(wanted, dtype=int)))
        dtype = str(rng.choice(["int64", "int32"]))
        indices = Sample(wanted, values=tuple(map(float, drawn)), dtype=dtype)
        yield _case("random", shape, indices, axis)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("indices")),
    attributes={"axis": 0},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Gather",),
)


def gather(x: Any, indices: Any, axis: int = 0, *, out: Any = None) -> Any:
    """Take slices along an axis by their indices, as ONNX's Gather.

    Parameters
    ----------
    x : array
        At least one dimension, any dtype of the project.
    indices : array of int64 or int32
        From ``-n`` to ``n - 1`` for an axis of ``n`` elements.
    axis
        Along which; negative: from the end.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape ``x.shape[:axis] + indices.shape + x.shape[axis + 1:]``
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have, or one without elements.
    UnsupportedDtype
        Indices of another dtype.
    KernelFailed
        An index out of range.
    """
    return call(OPERATOR, (x, indices), (axis,), out)
