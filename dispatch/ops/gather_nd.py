"""Slices whose first axes tuples of indices name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.indexing import check_tuples, places_of
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
from dispatch.shapes import integer, output

__all__ = ["OPERATOR", "gather_nd"]

NAME = "gather_nd"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Put the axes of slices behind those of tuples."""
    x, indices = specs
    assert x is not None and indices is not None
    batch_dims = integer(NAME, "batch_dims", attributes["batch_dims"], 0)
    check_tuples(NAME, x, indices, batch_dims)
    shape = (*indices.shape[:-1], *x.shape[batch_dims + indices.shape[-1] :])
    return Inferred({"batch_dims": batch_dims}, (output(NAME, x.dtype, shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Take each batch's slices by their places."""
    x, indices = arrays
    assert x is not None and indices is not None
    first = attributes["batch_dims"]
    beyond = first + indices.shape[-1]
    batches = math.prod(x.shape[:first])
    named, slices = x.shape[first:beyond], x.shape[beyond:]
    places = places_of(indices, named).reshape(batches, math.prod(indices.shape[first:-1]))
    rows = x.reshape(batches, math.prod(named), math.prod(slices))
    y = rows[np.arange(batches)[:, None], places]
    return [y.reshape((*indices.shape[:-1], *slices))]


def _case(
    label: str,
    x: tuple[int, ...],
    tuples: tuple[int, ...],
    depth: int,
    batch_dims: int,
    rng: np.random.Generator,
    dtype: str = "int64",
) -> Case:
    named = x[batch_dims : batch_dims + depth]
    drawn = [rng.integers(-n, n, tuples) if n else np.empty(tuples) for n in named]
    values = tuple(map(float, np.stack(drawn, -1).ravel()))
    samples = (Sample(x, -9.0, 9.0), Sample((*tuples, depth), values=values, dtype=dtype))
    return Case(label, samples, {"batch_dims": batch_dims})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Slices, elements and batches of them; then random ones."""
    for dtype in ("int64", "int32"):
        yield _case(f"{dtype}, rows", (5, 35), (7,), 1, 0, rng, dtype)
        yield _case(f"{dtype}, elements", (3, 5), (17,), 2, 0, rng, dtype)
        yield _case(f"{dtype}, batches", (3, 5, 4), (3, 2), 1, 1, rng, dtype)
    for label, x, tuples, depth, batch_dims in _SHAPES:
        yield _case(label, x, tuples, depth, batch_dims, rng)
    while True:
        x = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        batch_dims = int(rng.integers(len(x)))
        beside = tuple(int(n) for n in rng.integers(1, 4, int(rng.integers(0, 3))))
        depth = int(rng.integers(1, len(x) - batch_dims + 1))
        dtype = str(rng.choice(["int64", "int32"]))
        yield _case("random", x, (*x[:batch_dims], *beside), depth, batch_dims, rng, dtype)


_SHAPES: tuple[tuple[str, tuple[int, ...], tuple[int, ...], int, int], ...] = (
    ("one slice", (4, 5, 6), (), 2, 0),
    ("a table of slices", (4, 5, 6), (2, 3), 1, 0),
    ("elements of two axes of batches", (2, 3, 5, 4), (2, 3, 6), 2, 2),
    ("one element of each batch", (4, 9), (4,), 1, 1),
    ("no tuples", (3, 5), (0,), 1, 0),
    ("no batches", (0, 3, 5), (0, 2), 1, 1),
    ("slices of no elements", (3, 0), (2,), 1, 0),
    ("for several threads", (8, 3, 500), (8, 90), 1, 1),
)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("indices")),
    attributes={"batch_dims": 0},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("GatherND",),
)


def gather_nd(x: Any, indices: Any, batch_dims: int = 0, *, out: Any = None) -> Any:
    """Take slices whose first axes tuples of indices name, as ONNX's GatherND.

    Without batches ``y[t] = x[indices[t]]`` for each tuple; with them that for the
    slices of each batch.

    Parameters
    ----------
    x : array
        At least one dimension more than `batch_dims`, any dtype of the project.
    indices : array of int64 or int32, shape ``x.shape[:batch_dims] + (..., depth)``
        Along each of the `depth` axes from `batch_dims` on from ``-n`` to ``n - 1`` for ``n``
        elements.
    batch_dims
        First axes that `x` and `indices` have in common.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape ``indices.shape[:-1] + x.shape[batch_dims + depth:]``
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        Shapes that don't go together, no indices in a tuple or more than `x` has axes.
    UnsupportedDtype
        Indices of another dtype.
    KernelFailed
        An index out of range.
    """
    return call(OPERATOR, (x, indices), (batch_dims,), out)
