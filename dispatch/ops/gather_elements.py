"""Elements along an axis by their indices, one for each element of the result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.indexing import check_indices_along
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
from dispatch.shapes import normalize_axis, output

__all__ = ["OPERATOR", "gather_elements"]

NAME = "gather_elements"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Give the result the indices' shape."""
    x, indices = specs
    assert x is not None and indices is not None
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    check_indices_along(NAME, x, indices, axis)
    return Inferred({"axis": axis}, (output(NAME, x.dtype, indices.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy, which takes negative indices from the end."""
    x, indices = arrays
    assert x is not None and indices is not None
    axis = attributes["axis"]
    beside = tuple(slice(None if a == axis else n) for a, n in enumerate(indices.shape))
    return [np.take_along_axis(x[beside], indices, axis)]


def _case(
    label: str,
    x: tuple[int, ...],
    shape: tuple[int, ...],
    axis: int,
    rng: np.random.Generator,
    dtype: str = "int64",
) -> Case:
    extent = x[axis]
    drawn = rng.integers(-extent, extent, shape) if extent else np.empty(shape)
    indices = Sample(shape, values=tuple(map(float, drawn.ravel())), dtype=dtype)
    return Case(label, (Sample(x, -9.0, 9.0), indices), {"axis": axis})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each axis, and fewer or more indices than elements; then random ones."""
    for dtype in ("int64", "int32"):
        yield _case(f"{dtype}, a vector", (5,), (9,), 0, rng, dtype)
        yield _case(f"{dtype}, rows", (4, 33), (7, 33), 0, rng, dtype)
        yield _case(f"{dtype}, columns", (5, 3), (5, 17), -1, rng, dtype)
    x: tuple[int, ...]
    shape: tuple[int, ...]
    for label, x, shape, axis in (
        ("the middle axis", (2, 3, 4), (2, 5, 4), 1),
        ("rows left out", (4, 5, 6), (3, 5, 9), 2),
        ("columns left out", (4, 5, 6), (4, 2, 3), 0),
        ("parts of each axis", (4, 5, 6, 7), (2, 3, 4, 5), 1),
        ("axes of one element", (1, 7, 1), (1, 4, 1), 1),
        ("one index", (3, 5), (1, 1), 1),
        ("no indices", (3, 5), (0, 5), 0),
        ("no elements", (3, 0), (2, 0), 0),
        ("nothing along the axis", (0, 3), (0, 3), 0),
        ("for several threads", (3, 50, 40), (3, 700, 40), 1),
    ):
        yield _case(label, x, shape, axis, rng)
    while True:
        x = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        axis = int(rng.integers(len(x)))
        shape = tuple(int(rng.integers(1, (12 if a == axis else n) + 1)) for a, n in enumerate(x))
        yield _case("random", x, shape, axis, rng, str(rng.choice(["int64", "int32"])))


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
    onnx=("GatherElements",),
)


def gather_elements(x: Any, indices: Any, axis: int = 0, *, out: Any = None) -> Any:
    """Take elements along an axis by an index each, as ONNX's GatherElements.

    For three dimensions and axis 1, ``y[i, j, k] = x[i, indices[i, j, k], k]``.

    Parameters
    ----------
    x : array
        At least one dimension, any dtype of the project.
    indices : array of int64 or int32
        As many dimensions as `x`; along the axis of any extent, and of at most
        x's along the others. From ``-n`` to ``n - 1`` for an axis of ``n`` elements.
    axis
        Along which; negative: from the end.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, of the indices' shape
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        An axis that `x` doesn't have, one without elements, or indices of another rank or
        beyond x's extents beside the axis.
    UnsupportedDtype
        Indices of another dtype.
    KernelFailed
        An index out of range.
    """
    return call(OPERATOR, (x, indices), (axis,), out)
