"""Operators that take indices: what the conformance kit doesn't ask."""

import numpy as np
import pytest

import dispatch
from dispatch.errors import KernelFailed

LIMITS = np.iinfo(np.int64)
MANY = 100_000


def _gather_elements(indices):
    return dispatch.gather_elements(np.zeros(7, np.float32), indices)


def _gather_nd(indices):
    return dispatch.gather_nd(np.zeros((5, 7), np.float32), np.stack([indices * 0, indices], 1))


def _scatter_elements(indices):
    x, updates = np.zeros(7, np.float32), np.zeros(len(indices), np.float32)
    return dispatch.scatter_elements(x, indices, updates)


def _scatter_nd(indices):
    x, updates = np.zeros((7, 2), np.float32), np.zeros((len(indices), 2), np.float32)
    return dispatch.scatter_nd(x, indices[:, None], updates, "add")


@pytest.mark.parametrize("call", [_gather_elements, _gather_nd, _scatter_elements, _scatter_nd])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("wrong", [7, -8, LIMITS.max, LIMITS.min])
@pytest.mark.parametrize("place", [0, 12345, MANY - 1])
def test_an_index_out_of_range_is_refused(call, threads, wrong, place):
    indices = np.zeros(MANY, np.int64)
    with dispatch.using(threads=threads, packs="portable"):
        indices[place] = -7
        call(indices)
        indices[place] = wrong
        with pytest.raises(KernelFailed, match=call.__name__.strip("_")):
            call(indices)


@pytest.mark.parametrize("dtype", ["int8", "int64", "float16", "float32", "bool"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_last_update_of_an_element_is_left(dtype, threads):
    """Of many for each, by threads that share the work."""
    rng = np.random.default_rng(0)
    x = np.zeros((5, 20_000), dtype)
    rows = rng.integers(0, 5, 40)
    updates = rng.integers(0, 100, (40, 20_000)).astype(dtype)
    last = {int(row): update for row, update in zip(rows, updates, strict=True)}
    with dispatch.using(threads=threads, packs="portable"):
        by_rows = dispatch.scatter_nd(x, rows[:, None], updates)
        by_elements = dispatch.scatter_elements(x, np.repeat(rows[:, None], 20_000, 1), updates)
    for row in range(5):
        np.testing.assert_array_equal(by_rows[row], last.get(row, x[row]))
        np.testing.assert_array_equal(by_elements[row], last.get(row, x[row]))


@pytest.mark.parametrize("dtype", ["float16", "float32", "int64"])
@pytest.mark.parametrize("reduction", ["none", "add", "max"])
def test_updates_are_written_in_place(dtype, reduction):
    """`out` may be `x`: a cache keeps its memory."""
    x = np.arange(12).reshape(4, 3).astype(dtype)
    indices, updates = np.array([[2], [-4]]), np.full((2, 3), 4, dtype)
    want = dispatch.scatter_nd(x, indices, updates, reduction)
    kept = x.copy()
    got = dispatch.scatter_nd(x, indices, updates, reduction, out=x)
    assert got is x
    np.testing.assert_array_equal(x, want)
    np.testing.assert_array_equal(x[[1, 3]], kept[[1, 3]])


@pytest.mark.parametrize("reduction", ["add", "mul", "max", "min"])
@pytest.mark.parametrize("operator", ["scatter_nd", "scatter_elements"])
def test_halves_are_combined_in_float32(operator, reduction):
    """Rounded once: 2048 + 1 isn't a float16, 2048 + 1 + 1 is."""
    x, ones = np.array([2048], np.float16), np.ones(2, np.float16)
    indices = np.zeros((2, 1) if operator == "scatter_nd" else (2,), np.int64)
    got = getattr(dispatch, operator)(x, indices, ones, reduction=reduction)
    assert got[0] == {"add": 2050, "mul": 2048, "max": 2048, "min": 1}[reduction]


@pytest.mark.parametrize("reduction", ["max", "min"])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_stays(dtype, reduction):
    x = np.array([np.nan, 1, 2], dtype)
    updates = np.array([5, np.nan, 5, 6], dtype)
    got = dispatch.scatter_elements(x, np.array([0, 1, 1, 2]), updates, reduction=reduction)
    np.testing.assert_array_equal(got, [np.nan, np.nan, 6 if reduction == "max" else 2])
