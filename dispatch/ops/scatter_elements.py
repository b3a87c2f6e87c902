"""A tensor with elements along an axis written, each named by an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.indexing import check_indices_along
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
from dispatch.shapes import check_shape, normalize_axis, output

__all__ = ["OPERATOR", "scatter_elements"]

NAME = "scatter_elements"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that there is an update for each index."""
    x, indices, updates = specs
    assert x is not None and indices is not None and updates is not None
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    reduction = check_updates(NAME, x, updates, attributes["reduction"])
    check_indices_along(NAME, x, indices, axis)
    check_shape(NAME, "updates", updates, indices.shape)
    canonical = {"axis": axis, "reduction": reduction}
    return Inferred(canonical, (output(NAME, x.dtype, x.shape),))


def _elements(arrays: Arrays, axis: int) -> tuple[Array, Array, Array]:
    """Return x's elements, which of them are written, and the updates."""
    x, indices, updates = arrays
    assert x is not None and indices is not None and updates is not None
    where = list(np.indices(indices.shape))
    where[axis] = indices % max(x.shape[axis], 1)
    places = np.ravel_multi_index(tuple(where), x.shape) if x.size else np.zeros(0, np.int64)
    return x.ravel(), places.ravel(), updates.ravel()


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Write the elements in their order."""
    assert arrays[0] is not None
    y = combined(*_elements(arrays, attributes["axis"]), attributes["reduction"])
    return [y.reshape(arrays[0].shape)]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """Return the same of absolute values."""
    assert arrays[0] is not None
    made = combined_magnitude(*_elements(arrays, attributes["axis"]), attributes["reduction"])
    return [made.reshape(arrays[0].shape)]


def _case(
    label: str,
    x: tuple[int, ...],
    shape: tuple[int, ...],
    axis: int,
    reduction: str,
    rng: np.random.Generator,
    dtype: str = "int64",
) -> Case:
    extent = x[axis]
    drawn = rng.integers(-extent, extent, shape) if extent else np.empty(shape)
    samples = (
        Sample(x, -2.0, 2.0),
        Sample(shape, values=tuple(map(float, drawn.ravel())), dtype=dtype),
        Sample(shape, -2.0, 2.0),
    )
    return Case(label, samples, {"axis": axis, "reduction": reduction})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each reduction along the first and last axis, fewer indices than elements; random ones."""
    for reduction in REDUCTIONS:
        yield _case(f"rows, {reduction}", (4, 35), (7, 35), 0, reduction, rng)
        yield _case(f"columns, {reduction}", (3, 5), (3, 8), -1, reduction, rng, "int32")
    for label, x, shape, axis in _SHAPES:
        yield _case(label, x, shape, axis, "none", rng)
    yield _case("for several threads", (3, 50, 900), (3, 10, 900), 1, "add", rng)
    while True:
        x = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        axis = int(rng.integers(len(x)))
        shape = tuple(int(rng.integers(1, n + 1)) for n in x)
        dtype = str(rng.choice(["int64", "int32"]))
        yield _case("random", x, shape, axis, str(rng.choice(REDUCTIONS)), rng, dtype)


_SHAPES: tuple[tuple[str, tuple[int, ...], tuple[int, ...], int], ...] = (
    ("the middle axis", (2, 3, 4), (2, 5, 4), 1),
    ("rows left out", (4, 5, 6), (3, 5, 9), 2),
    ("parts of each axis", (4, 5, 6, 7), (2, 3, 4, 5), 1),
    ("one index", (3, 5), (1, 1), 1),
    ("no indices", (3, 5), (0, 5), 0),
    ("no elements", (3, 0), (2, 0), 0),
    ("nothing along the axis", (0, 3), (0, 3), 0),
)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("indices"), Input("updates")),
    attributes={"axis": 0, "reduction": "none"},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=ERROR,
    flops=scattered_flops,
    bytes_moved=scattered_bytes,
    onnx=("ScatterElements", "Scatter"),
)


def scatter_elements(
    x: Any,
    indices: Any,
    updates: Any,
    axis: int = 0,
    reduction: str = "none",
    *,
    out: Any = None,
) -> Any:
    """Write elements along an axis to a copy of a tensor, as ONNX's ScatterElements.

    For three dimensions and axis 1, ``y[i, indices[i, j, k], k] = updates[i, j, k]``, in
    their order.

    Parameters
    ----------
    x : array
        At least one dimension, any dtype of the project.
    indices : array of int64 or int32
        As many dimensions as `x`; along the axis of any extent, and of at most
        x's along the others. From ``-n`` to ``n - 1`` for an axis of ``n`` elements.
    updates : array, of the indices' shape
        Of x's dtype.
    axis
        Along which; negative: from the end.
    reduction
        What an update does to what is there: ``"none"`` takes its place, also that
        of an earlier update; ``"add"``, ``"mul"``, ``"max"`` or ``"min"`` combine them, for
        numbers.
    out : array, optional
        Where to write the result; `x` itself, where only the elements are to be written.

    Returns
    -------
    array, of x's shape
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have, one without elements, shapes that don't go
        together, another reduction.
    UnsupportedDtype
        Indices or updates of another dtype, a reduction of bool.
    KernelFailed
        An index out of range.
    """
    return call(OPERATOR, (x, indices, updates), (axis, reduction), out)
