"""What matrix products and convolutions of plain integers have in common: int32 sums."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.errors import InvalidArgument
from dispatch.operator import Array, Sample
from dispatch.quantization import RANGES, STORED
from dispatch.shapes import check_dtype
from dispatch.tensor import TensorSpec

__all__ = [
    "MOST_PRODUCTS",
    "check_integer_product",
    "draw_integers",
    "less_zero_point",
    "zero_point_sample",
]

MOST_PRODUCTS = (2**31 - 1) // 255**2
"""Sums of so many stay in int32, whatever the values and the zero points."""


def check_integer_product(
    operator: str,
    first: tuple[str, TensorSpec, TensorSpec | None],
    second: tuple[str, TensorSpec, TensorSpec | None],
    channels: int,
    products: int,
) -> None:
    """Raise unless the dtypes and zero points go together and no sum can overflow.

    Parameters
    ----------
    first, second
        Name, spec and zero point of an operand; the second may have a zero point
        for each of its `channels`.
    products
        How many products each sum has.

    Raises
    ------
    InvalidArgument
        A zero point of another shape, or sums that int32 may not hold.
    UnsupportedDtype
        Operands that aren't of uint8 or int8, zero points of another dtype.
    """
    for (name, operand, point), most in ((first, 1), (second, channels)):
        check_dtype(operator, name, operand, STORED)
        if point is None:
            continue
        check_dtype(operator, f"{name}_zero_point", point, (operand.dtype,))
        if point.shape not in ((), (1,), (most,)):
            several = "" if most == 1 else f" or shape ({most},)"
            raise InvalidArgument(
                f"{operator}: {name}_zero_point: expected one number{several}, "
                f"got shape {point.shape}"
            )
    if products > MOST_PRODUCTS:
        raise InvalidArgument(
            f"{operator}: {first[0]}: expected at most {MOST_PRODUCTS} products in a sum, "
            f"got {products}: int32 could overflow"
        )


def less_zero_point(values: Array, point: Array | None, shape: tuple[int, ...] = (-1,)) -> Array:
    """Return a reference's operand less its zero points, these in a shape that broadcasts."""
    wide = values.astype(np.int64)
    return wide if point is None else wide - point.astype(np.int64).reshape(shape)


# ---- Conformance cases -------------------------------------------------------------------------


def draw_integers(shape: tuple[int, ...], dtype: str, constant: bool = False) -> Sample:
    """Return a sample of integers from all that the dtype has."""
    low, high = RANGES[dtype]
    return Sample(shape, low - 0.49, high + 0.49, dtype, constant)


def zero_point_sample(dtype: str, count: int | None, constant: bool, extreme: bool = False) -> Any:
    """Return zero points: None, one (0), or a vector of `count`."""
    if count is None:
        return None
    low, high = RANGES[dtype]
    shape = () if count == 0 else (count,)
    values = tuple(
        float((low, high)[i % 2] if extreme else low + (41 + 67 * i) % (high - low + 1))
        for i in range(max(count, 1))
    )
    return Sample(shape, low, high, dtype, constant, values)
