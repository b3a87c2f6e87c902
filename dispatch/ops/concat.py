"""Concatenation along an axis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from dispatch.shapes import check_count, check_rank, check_same_dtype, normalize_axis, output

__all__ = ["OPERATOR", "concat"]

NAME = "concat"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that all extents but the axis's agree."""
    tensors = [spec for spec in specs if spec is not None]
    if not tensors or len(tensors) != len(specs):
        raise InvalidArgument(f"{NAME}: xs: expected one or more arrays, got {len(tensors)}")
    check_count(NAME, "xs", len(tensors))
    first = tensors[0]
    axis = normalize_axis(NAME, "axis", attributes["axis"], first.rank)
    for index, tensor in enumerate(tensors):
        name = f"xs[{index}]"
        check_same_dtype(NAME, "xs[0]", first, **{name: tensor})
        check_rank(NAME, name, tensor, first.rank)
        if _without(tensor.shape, axis) != _without(first.shape, axis):
            raise InvalidArgument(
                f"{NAME}: {name}: expected xs[0]'s shape {first.shape} but for axis {axis}, "
                f"got {tensor.shape}"
            )
    extent = sum(tensor.shape[axis] for tensor in tensors)
    shape = (*first.shape[:axis], extent, *first.shape[axis + 1 :])
    return Inferred({"axis": axis}, (output(NAME, first.dtype, shape),))


def _without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return shape[:axis] + shape[axis + 1 :]


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    return [np.concatenate([a for a in arrays if a is not None], axis=attributes["axis"])]


def _case(label: str, shapes: Sequence[tuple[int, ...]], axis: int) -> Case:
    return Case(label, tuple(Sample(shape, -9.0, 9.0) for shape in shapes), {"axis": axis})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """One to many, each axis, channels around a block's; then random ones."""
    yield _case("one", [(2, 3)], 0)
    yield _case("vectors", [(3,), (4,), (1,)], 0)
    yield _case("rows", [(2, 5), (3, 5)], 0)
    yield _case("columns", [(2, 5), (2, 1), (2, 7)], -1)
    yield _case("channels", [(1, 16, 5, 5), (1, 32, 5, 5)], 1)
    yield _case("odd channels", [(2, 3, 5, 7), (2, 17, 5, 7), (2, 8, 5, 7)], 1)
    yield _case("channels, one pixel", [(1, 24, 1, 1), (1, 8, 1, 1)], 1)
    yield _case("heights", [(1, 16, 2, 5), (1, 16, 3, 5)], 2)
    yield _case("batches", [(1, 9, 4, 4), (2, 9, 4, 4)], 0)
    yield _case("an empty one", [(2, 0), (2, 3)], 1)
    yield _case("all empty", [(0, 3), (0, 3)], 0)
    yield _case("many", [(2, n % 3 + 1, 3) for n in range(40)], 1)
    yield _case("six dimensions", [(1, 2, 1, 2, 3, 2), (1, 2, 1, 2, 1, 2)], 4)
    yield _case("large", [(1, 64, 40, 40), (1, 96, 40, 40)], 1)
    while True:
        shape = [int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5)))]
        axis = int(rng.integers(len(shape)))
        shapes = []
        for _ in range(int(rng.integers(1, 5))):
            shape[axis] = int(rng.integers(0, 9))
            shapes.append(tuple(shape))
        yield _case("random", shapes, axis)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("xs", variadic=True),),
    attributes={"axis": REQUIRED},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Concat",),
)


def concat(xs: Sequence[Any], axis: int, *, out: Any = None) -> Any:
    """Join tensors along an axis, as ONNX's Concat.

    Parameters
    ----------
    xs : sequence of arrays
        One or more of one dtype, any of the project, and of shapes that agree
        but for `axis`.
    axis
        Along which; negative: from the end.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of the arrays' kind and dtype.

    Raises
    ------
    InvalidArgument
        No array, shapes that don't agree, or an axis that they don't have.
    UnsupportedDtype
        Dtypes that differ.
    """
    return call(OPERATOR, tuple(xs), (axis,), out)
