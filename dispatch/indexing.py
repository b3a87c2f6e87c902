"""What the operators that take indices share."""

from __future__ import annotations

import numpy as np

from dispatch.errors import InvalidArgument
from dispatch.operator import Array
from dispatch.shapes import check_dtype, check_rank
from dispatch.tensor import TensorSpec

__all__ = ["INDEX_DTYPES", "check_indices_along", "check_tuples", "places_of"]

INDEX_DTYPES = ("int64", "int32")


def check_indices_along(operator: str, x: TensorSpec, indices: TensorSpec, axis: int) -> None:
    """Raise unless `indices` name elements along an axis of `x`, beside which they lie in it.

    Parameters
    ----------
    axis
        Not negative.
    """
    check_dtype(operator, "indices", indices, INDEX_DTYPES)
    check_rank(operator, "indices", indices, x.rank)
    beside = (own <= extent for own, extent in zip(indices.shape, x.shape, strict=True))
    if not all(fits for a, fits in enumerate(beside) if a != axis):
        raise InvalidArgument(
            f"{operator}: indices: expected at most x's extents {x.shape} but for axis {axis}, "
            f"got {indices.shape}"
        )
    if x.shape[axis] == 0 and indices.size:
        raise InvalidArgument(f"{operator}: x: expected elements along axis {axis}, got {x.shape}")


def check_tuples(operator: str, x: TensorSpec, indices: TensorSpec, batch_dims: int = 0) -> None:
    """Raise unless the last axis of `indices` names places along the first axes of `x`.

    Parameters
    ----------
    batch_dims
        Axes before those, which both have.
    """
    check_dtype(operator, "indices", indices, INDEX_DTYPES)
    most = x.rank - batch_dims
    if most < 1:
        raise InvalidArgument(
            f"{operator}: x: expected at least {batch_dims + 1} dimensions, got {x.shape}"
        )
    if indices.rank <= batch_dims or not 1 <= indices.shape[-1] <= most:
        raise InvalidArgument(
            f"{operator}: indices: expected a last axis of 1 to {most} indices, "
            f"got shape {indices.shape}"
        )
    if indices.shape[:batch_dims] != x.shape[:batch_dims]:
        raise InvalidArgument(
            f"{operator}: indices: expected x's first extents {x.shape[:batch_dims]}, "
            f"got shape {indices.shape}"
        )
    named = x.shape[batch_dims : batch_dims + indices.shape[-1]]
    if 0 in named and indices.size:
        raise InvalidArgument(
            f"{operator}: x: expected elements along the axes that indices name, got {x.shape}"
        )


def places_of(indices: Array, extents: tuple[int, ...]) -> Array:
    """Return the flat place in a tensor of `extents` that each tuple of the last axis names."""
    if not indices.size:
        return np.zeros(indices.shape[:-1], np.int64)
    positive = indices % np.asarray(extents)
    return np.asarray(np.ravel_multi_index(tuple(np.moveaxis(positive, -1, 0)), extents))
