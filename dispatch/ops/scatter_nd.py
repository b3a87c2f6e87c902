"""A tensor with slices written, whose first axes tuples of indices name."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.indexing import check_tuples, places_of
from dispatch.movement import ANY_DTYPE
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
from dispatch.scattering import (
    ERROR,
    REDUCTIONS,
    check_updates,
    combined,
    combined_magnitude,
    scattered_bytes,
    scattered_flops,
)
from dispatch.shapes import check_shape, output

__all__ = ["OPERATOR", "scatter_nd"]

NAME = "scatter_nd"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that there is a slice for each tuple."""
    x, indices, updates = specs
    assert x is not None and indices is not None and updates is not None
    reduction = check_updates(NAME, x, updates, attributes["reduction"])
    check_tuples(NAME, x, indices)
    check_shape(NAME, "updates", updates, (*indices.shape[:-1], *x.shape[indices.shape[-1] :]))
    return Inferred({"reduction": reduction}, (output(NAME, x.dtype, x.shape),))


def _slices(arrays: Arrays) -> tuple[Array, Array, Array]:
    """Return slices of x, which of them are written, and the updates."""
    x, indices, updates = arrays
    assert x is not None and indices is not None and updates is not None
    depth = indices.shape[-1]
    places = places_of(indices, x.shape[:depth]).ravel()
    shape = x.shape[depth:]
    return (
        x.reshape(math.prod(x.shape[:depth]), *shape),
        places,
        updates.reshape(places.size, *shape),
    )


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Write the slices in the order of their tuples."""
    y = combined(*_slices(arrays), attributes["reduction"])
    assert arrays[0] is not None
    return [y.reshape(arrays[0].shape)]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """Return the same of absolute values."""
    assert arrays[0] is not None
    made = combined_magnitude(*_slices(arrays), attributes["reduction"])
    return [made.reshape(arrays[0].shape)]


def _case(
    label: str,
    x: tuple[int, ...],
    tuples: tuple[int, ...],
    depth: int,
    reduction: str,
    rng: np.random.Generator,
    dtype: str = "int64",
) -> Case:
    drawn = [rng.integers(-n, n, tuples) if n else np.empty(tuples) for n in x[:depth]]
    values = tuple(map(float, np.stack(drawn, -1).ravel()))
    samples = (
        Sample(x, -2.0, 2.0),
        Sample((*tuples, depth), values=values, dtype=dtype),
        Sample((*tuples, *x[depth:]), -2.0, 2.0),
    )
    return Case(label, samples, {"reduction": reduction})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each reduction of slices and of elements, several updates of one; then random ones."""
    for reduction in REDUCTIONS:
        yield _case(f"rows, {reduction}", (5, 35), (7,), 1, reduction, rng)
        yield _case(f"elements, {reduction}", (3, 5), (17,), 2, reduction, rng, "int32")
    for label, x, tuples, depth in _SHAPES:
        yield _case(label, x, tuples, depth, "none", rng)
    yield _case("for several threads", (16, 9000), (2, 9), 1, "add", rng)
    while True:
        x = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        tuples = tuple(int(n) for n in rng.integers(1, 4, int(rng.integers(0, 3))))
        depth = int(rng.integers(1, len(x) + 1))
        dtype = str(rng.choice(["int64", "int32"]))
        yield _case("random", x, tuples, depth, str(rng.choice(REDUCTIONS)), rng, dtype)


_SHAPES: tuple[tuple[str, tuple[int, ...], tuple[int, ...], int], ...] = (
    ("one slice", (4, 5, 6), (), 2),
    ("a table of slices", (4, 5, 6), (2, 3), 1),
    ("a vector", (9,), (4,), 1),
    ("no updates", (3, 5), (0,), 1),
    ("slices of no elements", (3, 0), (2,), 1),
    ("nothing along the axis", (0, 3), (0,), 1),
)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("indices"), Input("updates")),
    attributes={"reduction": "none"},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=ERROR,
    flops=scattered_flops,
    bytes_moved=scattered_bytes,
    onnx=("ScatterND",),
)


def scatter_nd(
    x: Any, indices: Any, updates: Any, reduction: str = "none", *, out: Any = None
) -> Any:
    """Write slices to a copy of a tensor, as ONNX's ScatterND.

    For each tuple of indices, in their order, ``y[indices[t]] = updates[t]``.

    Parameters
    ----------
    x : array
        At least one dimension, any dtype of the project.
    indices : array of int64 or int32, shape ``(..., depth)``
        Along each of x's first `depth` axes from ``-n`` to ``n - 1`` for ``n`` elements.
    updates : array, shape ``indices.shape[:-1] + x.shape[depth:]``
        Of x's dtype.
    reduction
        What an update does to what is there: ``"none"`` takes its place, also that
        of an earlier update; ``"add"``, ``"mul"``, ``"max"`` or ``"min"`` combine them, for
        numbers.
    out : array, optional
        Where to write the result; `x` itself, where only the slices are to be written.

    Returns
    -------
    array, of x's shape
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        Shapes that don't go together, no indices in a tuple or more than `x` has axes,
        another reduction.
    UnsupportedDtype
        Indices or updates of another dtype, a reduction of bool.
    KernelFailed
        An index out of range.
    """
    return call(OPERATOR, (x, indices, updates), (reduction,), out)
