"""What quantised convolutions and matrix products have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatch.errors import InvalidArgument
from dispatch.operator import Array, Attributes, Sample
from dispatch.quantization import (
    RANGES,
    STORED,
    check_multipliers,
    check_quantized,
    make_quantization,
    multipliers,
    requantize,
)
from dispatch.shapes import check_dtype
from dispatch.tensor import Quantization, TensorSpec

__all__ = ["Parameters", "check_product", "draw_parameters", "outputs_of"]


def check_product(
    operator: str,
    first: tuple[str, TensorSpec],
    second: tuple[str, TensorSpec, int],
    bias: TensorSpec | None,
    y: TensorSpec,
    products: int,
) -> None:
    """Raise unless the operands' quantisation goes together with the result's.

    Parameters
    ----------
    first
        Name and spec of the operand with one scale.
    second
        Name and spec of the other, and the axis of its scales.
    products
        How many products each sum has: int32 must hold the largest.
    """
    q_first = check_quantized(operator, *first)
    q_second = check_quantized(operator, *second)
    if bias is not None:
        if bias.quantization is not None:
            raise InvalidArgument(
                f"{operator}: bias: expected plain int32 in units of both scales' product, "
                f"got a quantised array"
            )
        check_dtype(operator, "bias", bias, ("int32",))
    assert y.quantization is not None
    check_multipliers(operator, q_first, q_second, y.quantization)
    largest = _largest(q_first, first[1].dtype) * _largest(q_second, second[1].dtype)
    if products * largest > LARGEST_SUM:
        raise InvalidArgument(
            f"{operator}: {first[0]}: expected at most {LARGEST_SUM // largest} products in a sum, "
            f"got {products}: with these dtypes and zero points int32 could overflow"
        )


LARGEST_SUM = 2**31 - 1


def _largest(q: Quantization, dtype: str) -> int:
    """Return how far a stored value may lie from its zero point."""
    low, high = RANGES[dtype]
    return max(max(high - point, point - low) for point in q.zero_points or (low,))


def outputs_of(sums: Array, first: Any, second: Any, attributes: Attributes, axis: int) -> Array:
    """Return the stored result of exact sums; `axis` is that of the second operand's scales."""
    dtype = attributes["dtype"]
    y = make_quantization(
        "", attributes["scale"], attributes["zero_point"], None, dtype, sums.shape
    )
    m = multipliers(first.quantization, second.quantization, y)
    shape = [1] * sums.ndim
    if second.axis is not None:
        shape[axis] = -1
    return requantize(sums, m.reshape(shape), y, dtype)


# ---- Conformance cases -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parameters:
    """Dtypes and parameters of a case.

    Parameters
    ----------
    dtype, second_dtype, result
        Of the operands and the result; None: as the first operand's.
    sums
        How many products are added up: the result's scale follows from it.
    per_channel
        The second operand has scales along its axis.
    zero_points
        Its zero points differ from 0.
    loudness
        By how much a typical result is too large for its dtype.
    extremes
        Stored values are the dtypes' smallest and largest only.
    ties
        Multiplier 1/2 and small sums: half of the results lie halfway between two integers.
    """

    dtype: str
    second_dtype: str = "int8"
    result: str | None = None
    sums: int = 1
    per_channel: bool = False
    zero_points: bool = False
    loudness: float = 0.5
    extremes: bool = False
    ties: bool = False

    def first(self, shape: tuple[int, ...]) -> Sample:
        """Return the first operand's sample."""
        low, high = RANGES[self.dtype]
        zero = 0 if self.ties else low + (high - low) * 3 // 5
        q = Quantization((0.5 if self.ties else _float32(0.043),), (zero,))
        return self._sample(shape, self.dtype, q, constant=False)

    def second(self, shape: tuple[int, ...], axis: int, constant: bool) -> Sample:
        """Return the second operand's sample; `axis` may have scales of its own."""
        low, high = RANGES[self.second_dtype]
        count = shape[axis] if self.per_channel else 1
        scales = tuple(
            1.0 if self.ties else _float32(0.011 * (1.0 + index * 29 % 17 / 9.0))
            for index in range(count)
        )
        middle = 0 if self.second_dtype == "int8" or self.ties else 128
        points = tuple(
            min(high, max(low, middle + (index * 37 % 61 - 30 if self.zero_points else 0)))
            for index in range(count)
        )
        q = Quantization(scales, points, axis if self.per_channel else -1)
        return self._sample(shape, self.second_dtype, q, constant)

    def _sample(
        self, shape: tuple[int, ...], dtype: str, q: Quantization, constant: bool
    ) -> Sample:
        low, high = map(float, RANGES[dtype])
        values = None
        if self.extremes:
            count = int(np.prod(shape))
            values = tuple(high if index * 7 % 5 < 3 else low for index in range(count))
        if self.ties:
            low, high = max(low, -9.0), 9.0
        return Sample(shape, low - 0.5, high + 0.5, dtype, constant, values, q)

    @property
    def output(self) -> dict[str, Any]:
        """The keywords of the result."""
        dtype = self.result or self.dtype
        low, _ = RANGES[dtype]
        if self.ties:
            return {"scale": 1.0, "zero_point": low + 100, "dtype": dtype}
        # Operands drawn uniformly deviate by 74; the sums by the root of their number more.
        typical = 0.043 * 0.011 * 1.9 * 74.0**2 * max(self.sums, 1) ** 0.5
        scale = typical * 3.0 / 127.0 / (2.0 * self.loudness)
        return {"scale": _float32(scale), "zero_point": low + 117, "dtype": dtype}


def _float32(value: float) -> float:
    return float(np.float32(value))


def draw_parameters(rng: np.random.Generator, sums: int) -> Parameters:
    """Return random parameters."""
    first, second, result = (str(d) for d in rng.choice(STORED, 3))
    per_channel, zero_points = bool(rng.integers(2)), bool(rng.integers(2))
    return Parameters(first, second, result, sums, per_channel, zero_points)
