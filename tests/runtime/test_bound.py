"""Replays on the host bound to arrays that stay the same."""

from __future__ import annotations

import numpy as np
import pytest

import dispatch
import runtime
from dispatch.errors import InvalidArgument, UnsupportedDtype

X = np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)


def halves(x):
    return dispatch.relu(x), dispatch.exp(-x)


def agree(results, x):
    first, second = (np.asarray(y) for y in results)
    np.testing.assert_array_equal(first, np.maximum(x, 0))
    np.testing.assert_allclose(second, np.exp(-x.astype(np.float64)), rtol=1e-6)


def zeros(*shape, dtype=np.float32):
    return np.full(shape, 7, dtype)


def test_runs_read_what_the_arrays_hold_then():
    x = X.copy()
    bound = runtime.trace(halves, X).compile().bind(x)
    agree(bound(), X)
    places = [y.ctypes.data for y in bound.outputs]
    x *= 2
    assert bound() is bound.outputs
    agree(bound.outputs, 2 * X)
    assert [y.ctypes.data for y in bound.outputs] == places


def test_runs_write_where_the_caller_says():
    out = (zeros(3, 4), zeros(3, 4))
    bound = runtime.trace(halves, X).compile().bind(x=X.copy(), out=out)
    assert (out[0] == 7).all()
    assert all(a is b for a, b in zip(bound(), out, strict=True))
    agree(out, X)


def test_structures():
    single = runtime.trace(lambda x: dispatch.relu(x), X).compile()
    out = zeros(3, 4)
    assert single.bind(X, out=out)() is out
    named = runtime.trace(lambda x: {"a": dispatch.relu(x), "b": dispatch.exp(-x)}, X).compile()
    given = {"b": zeros(3, 4), "a": zeros(3, 4)}
    results = named.bind(X, out=given)()
    agree((results["a"], results["b"]), X)
    assert results["a"] is given["a"]
    with pytest.raises(InvalidArgument, match="out: expected a dictionary with a, b"):
        named.bind(X, out={"a": out})


def test_kinds_of_arrays_and_quantised_ones():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    x = torch.from_numpy(X.copy())
    bound = runtime.trace(halves, X).compile().bind(x)
    assert all(isinstance(y, torch.Tensor) for y in bound())
    x *= 2
    agree(bound(), 2 * X)


def test_quantised_arrays():
    integers = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20

    def f(x):
        real = dispatch.dequantize_linear(x)
        return dispatch.quantize_linear(dispatch.relu(real), 0.5, 3, dtype="uint8")

    replay = runtime.trace(f, dispatch.quantized(integers, 0.5, 100)).compile()
    given = integers.copy()
    bound = replay.bind(dispatch.quantized(given, 0.5, 100))
    for turn in range(2):
        given += np.uint8(turn)
        result = bound()
        assert (result.scale, result.zero_point) == (0.5, 3)
        wanted = np.clip(np.maximum(given.astype(int) - 100, 0) + 3, 0, 255)
        np.testing.assert_array_equal(result.array, wanted)


def test_other_shapes_are_planned():
    long = np.concatenate([X, X])
    agree(runtime.trace(halves, X).compile().bind(long)(), long)


@pytest.mark.parametrize("make", [lambda: X.T.copy().T, lambda: np.repeat(X, 2, axis=1)[:, ::2]])
def test_inputs_that_would_be_copied(make):
    with pytest.raises(InvalidArgument, match=r"x: expected a dense, aligned array"):
        runtime.trace(halves, X).compile().bind(make())


def test_outputs_that_dont_fit():
    replay = runtime.trace(halves, X).compile()
    x, y = X.copy(), zeros(3, 4)
    frozen = zeros(3, 4)
    frozen.flags.writeable = False
    memory = zeros(20)
    overlapping = memory[:12].reshape(3, 4), memory[8:].reshape(3, 4)
    for out, error, text in (
        (y, InvalidArgument, "out: expected a tuple of 2 arrays"),
        ((y,), InvalidArgument, "out: expected a tuple of 2 arrays"),
        ((y, zeros(4, 3)), InvalidArgument, r"output_1: expected shape \(3, 4\), got \(4, 3\)"),
        ((y, zeros(3, 4, dtype=np.float64)), UnsupportedDtype, "output_1: expected dtype float32"),
        ((y, frozen), InvalidArgument, "output_1: expected a dense, aligned, writeable array"),
        ((y, zeros(4, 3).T), InvalidArgument, "output_1: expected a dense, aligned, writeable"),
        ((y, x), InvalidArgument, "output_1: expected an array apart from"),
        ((y, y), InvalidArgument, "output_1: expected an array apart from"),
        (overlapping, InvalidArgument, "output_1: expected an array apart from"),
        ((y, 3.0), InvalidArgument, "out: output_1: expected an array"),
    ):
        with pytest.raises(error, match=text):
            replay.bind(x, out=out)


def test_numbers_are_checked():
    replay = runtime.trace(lambda x, n: dispatch.add(x, n), np.arange(3), np.int64(2)).compile()
    np.testing.assert_array_equal(replay(np.arange(3), 5), np.arange(3) + 5)
    with pytest.raises(UnsupportedDtype, match=r"n: expected an integer.*got 1\.5"):
        replay(np.arange(3), 1.5)
    with pytest.raises(InvalidArgument, match="n: 9223372036854775808 is out of the range"):
        replay(np.arange(3), 2**63)
