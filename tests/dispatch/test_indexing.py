"""Operators that take indices: what the conformance kit doesn't ask."""

import numpy as np
import pytest

import dispatch
from dispatch.errors import KernelFailed

LIMITS = np.iinfo(np.int64)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("wrong", [7, -8, LIMITS.max, LIMITS.min])
@pytest.mark.parametrize("place", [0, 12345, 99_999])
def test_gather_elements_refuses_an_index_out_of_range(threads, wrong, place):
    indices = np.zeros((1, 100_000), np.int64)
    indices[0, place] = wrong
    x = np.arange(7, dtype=np.float32).reshape(1, 7)
    with dispatch.using(threads=threads), pytest.raises(KernelFailed, match="gather_elements"):
        dispatch.gather_elements(x, indices, 1)


def test_gather_elements_takes_both_ends():
    indices = np.array([[6, -7, 0, -1]], np.int32)
    x = np.arange(7).reshape(1, 7)
    np.testing.assert_array_equal(dispatch.gather_elements(x, indices, 1), [[6, 0, 0, 6]])
