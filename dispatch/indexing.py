"""What the operators that take indices share."""

from __future__ import annotations

from dispatch.errors import InvalidArgument
from dispatch.shapes import check_dtype, check_rank
from dispatch.tensor import TensorSpec

__all__ = ["INDEX_DTYPES", "check_indices_along"]

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
