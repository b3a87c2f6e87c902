"""Products of plain integers, and quantisation by the values' own range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_strategies

import dispatch
from dispatch.errors import InvalidArgument, UnsupportedDtype

RNG = np.random.default_rng(5)
A = RNG.integers(0, 256, (4, 30)).astype(np.uint8)
B = RNG.integers(-128, 128, (30, 9)).astype(np.int8)
X = RNG.integers(0, 256, (1, 6, 5, 5)).astype(np.uint8)
W = RNG.integers(-128, 128, (4, 6, 3, 3)).astype(np.int8)
ZERO = np.uint8(3)


def test_a_constant_is_packed_once_whatever_the_zero_points() -> None:
    b = dispatch.constant(B)
    for first, second in ((0, 0), (255, -128), (7, 127)):
        got = dispatch.matmul_integer(A, b, np.uint8(first), np.int8(second))
        np.testing.assert_array_equal(got, (A.astype(int) - first) @ (B.astype(int) - second))


def test_padding_is_the_zero_point() -> None:
    for point in (0, 9, 255):
        x = np.full((1, 6, 5, 5), point, np.uint8)
        got = dispatch.conv_integer(x, W, np.uint8(point), pads=2)
        assert got.shape == (1, 4, 7, 7)
        assert not got.any()


WRONG: dict[str, tuple[Any, tuple[Any, ...], type[Exception], str]] = {
    "a zero point of another dtype": (
        dispatch.matmul_integer, (A, B, np.int8(0)), UnsupportedDtype,
        "a_zero_point: expected dtype uint8",
    ),
    "a row's zero points": (
        dispatch.matmul_integer, (A, B, A[:, 0]), InvalidArgument,
        "a_zero_point: expected one number",
    ),
    "too many zero points": (
        dispatch.matmul_integer, (A, B, ZERO, np.zeros(8, np.int8)), InvalidArgument,
        r"b_zero_point: expected one number or shape \(9,\), got shape \(8,\)",
    ),
    "operands of 32 bits": (
        dispatch.matmul_integer, (A.astype(np.int32), B), UnsupportedDtype, "a: expected dtype"
    ),
    "inner extents": (dispatch.matmul_integer, (A, B[1:]), InvalidArgument, "b: expected 30 rows"),
    "sums that int32 might not hold": (
        dispatch.matmul_integer, (np.zeros((1, 33026), np.uint8), np.zeros((33026, 1), np.int8)),
        InvalidArgument, "a: expected at most 33025 products in a sum, got 33026",
    ),
    "channels": (dispatch.conv_integer, (X[:, 1:], W), InvalidArgument, "w: expected 5 channels"),
    "a channel's zero points": (
        dispatch.conv_integer, (X, W, np.zeros(6, np.uint8)), InvalidArgument,
        "x_zero_point: expected one number",
    ),
    "filters of floats": (
        dispatch.conv_integer, (X, W.astype(np.float32)), UnsupportedDtype, "w: expected dtype"
    ),
    "double precision": (
        dispatch.dynamic_quantize_linear, (np.zeros(3),), UnsupportedDtype, "float64"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(name: str) -> None:
    function, arguments, error, message = WRONG[name]
    with pytest.raises(error, match=message):
        function(*arguments)


@given(
    numpy_strategies.arrays(
        np.float32,
        numpy_strategies.array_shapes(max_dims=3, max_side=40),
        elements=st.floats(-(2.0**100), 2.0**100, width=32),
    )
)
def test_a_dynamic_range_holds_every_value(x: Any) -> None:
    y, scale, point = dispatch.dynamic_quantize_linear(x)
    assert (y.dtype, y.shape) == (np.uint8, x.shape)
    assert (scale.dtype, scale.shape, point.dtype, point.shape) == (np.float32, (), np.uint8, ())
    assert scale > 0
    real = (y.astype(np.float64) - float(point)) * float(scale)
    # Half a step for the value, half for the zero point, and float32's rounding.
    assert np.abs(real - x).max() <= float(scale) * 1.001


@pytest.mark.parametrize("special", [np.nan, np.inf, -np.inf])
def test_what_has_no_meaning_does_no_harm(special: float) -> None:
    x = np.linspace(-1, 1, 40, dtype=np.float32)
    x[17] = special
    y, scale, _ = dispatch.dynamic_quantize_linear(x)
    assert y.shape == (40,)
    assert not scale < 0
