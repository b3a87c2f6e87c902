"""The largest elements: what the conformance kit doesn't ask."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dispatch


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ml_dtypes.bfloat16])
@pytest.mark.parametrize("largest", [True, False])
def test_elements_are_moved_bit_by_bit(dtype: Any, largest: bool) -> None:
    bits = np.dtype(f"u{np.dtype(dtype).itemsize}")
    x = np.array([-0.0, 0.0, np.nan, -np.inf, np.inf, -0.0, 1.0], dtype)
    raw = x.view(bits)
    raw[2] |= 3  # a NaN with something in it
    values, indices = dispatch.top_k(x, 7, largest=largest)
    assert indices.tolist() == ([2, 4, 6, 0, 1, 5, 3] if largest else [3, 0, 1, 5, 6, 4, 2])
    np.testing.assert_array_equal(values.view(bits), raw[indices])


def test_nan_of_either_sign_is_the_largest() -> None:
    x = np.array([1.0, np.nan, np.inf, np.nan], np.float32)
    x.view(np.uint32)[3] |= 1 << 31
    assert dispatch.top_k(x, 4)[1].tolist() == [1, 3, 2, 0]
    assert dispatch.top_k(x, 4, largest=False)[1].tolist() == [0, 2, 1, 3]


@given(
    st.lists(st.integers(-3, 3), min_size=1, max_size=300),
    st.integers(0, 300),
    st.booleans(),
    st.sampled_from(["float32", "float64", "float16", "int64", "int8", "uint16"]),
)
def test_order_is_that_of_a_stable_sort(
    drawn: list[int], k: int, largest: bool, dtype: str
) -> None:
    x = np.array(drawn).astype(dtype)
    k = min(k, x.size)
    keys = [-v for v in x.tolist()] if largest else x.tolist()
    order = sorted(range(x.size), key=lambda i: keys[i])[:k]
    values, indices = dispatch.top_k(x, k, largest=largest)
    assert indices.tolist() == order
    assert values.tolist() == x[order].tolist()


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("n", [63, 64, 65, 129, 4000])
def test_lines_that_rise_or_fall(n: int, step: int) -> None:
    x = np.arange(n, dtype=np.int32)[::step].copy()
    for k in {1, 2, n // 2, n - 1, n}:
        values, indices = dispatch.top_k(x, k)
        assert values.tolist() == list(range(n - 1, n - 1 - k, -1))
        np.testing.assert_array_equal(x[indices], values)


def test_64_bits_are_told_apart() -> None:
    x = np.array([2**63 - 1, 2**63 - 2, -(2**63), -(2**63) + 1], np.int64)
    assert dispatch.top_k(x, 4)[1].tolist() == [0, 1, 3, 2]
    assert dispatch.top_k(x.view(np.uint64), 4)[1].tolist() == [3, 2, 0, 1]


def test_results_go_where_they_are_wanted() -> None:
    x = np.random.default_rng(0).random((3, 50), np.float32)
    values, indices = np.full((3, 4), 9, np.float32), np.full((3, 4), 9)
    dispatch.top_k(x, 4, out=(values, indices))
    np.testing.assert_array_equal(indices, np.argsort(-x, kind="stable")[:, :4])
    np.testing.assert_array_equal(values, np.take_along_axis(x, indices, 1))
