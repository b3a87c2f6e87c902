"""NumPy's functions and operators on traced arrays give what they give on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import runtime

RNG = np.random.default_rng(5)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
Y = (RNG.random((3, 4)) + 0.5).astype(np.float32)
I = np.array([[7, -7, 5], [-5, 3, -3]], np.int32)  # noqa: E741
B = np.array([True, False, True])

FLOATS: dict[str, Callable[[Any, Any], Any]] = {
    "arithmetic": lambda x, y: (x + y) * 2 - 1 / y,
    "reflected": lambda x, y: 1 - (2 + (3 * x)) / (4 / y),
    "power": lambda x, y: y**2 + y**x + 2.0**y,
    "floor divide": lambda x, y: x // y,
    "remainder": lambda x, y: np.remainder(x, y),
    "matmul": lambda x, y: x @ y.T,
    "matmul of vectors": lambda x, y: x[0, 0] @ y[0],
    "unary": lambda x, y: -x + abs(x) + (+x),
    "functions": lambda x, y: np.exp(x) + np.log(y) + np.sqrt(y) + np.tanh(x),
    "angles": lambda x, y: np.sin(x) + np.cos(y) * np.arctan(x),
    "fmod": lambda x, y: np.fmod(x, y),
    "rounding": lambda x, y: np.floor(x) + np.ceil(x) + np.rint(x) + np.trunc(x) + x.round(),
    "signs": lambda x, y: np.sign(x) + np.reciprocal(y) + np.square(x) + np.fabs(x),
    "limits": lambda x, y: np.maximum(x, y) + np.minimum(x, 0.5),
    "clip": lambda x, y: np.clip(x, -0.5, 0.5) + x.clip(0) + np.clip(x, None, y),
    "comparisons": lambda x, y: (x < y, x <= y, x > y, x >= y, x == y, x != y),
    "logic": lambda x, y: np.logical_and(x > 0, y > 1) | ~(x < 0) ^ (y < 1),
    "truth": lambda x, y: (np.logical_not(x), np.logical_or(x, y), np.isnan(x / (x - x))),
    "where": lambda x, y: np.where(x > 0, x, y),
    "where a number": lambda x, y: np.where(x > 0, x, 0.0),
    "sums": lambda x, y: (x.sum(), x.sum(axis=1), np.sum(x, (0, 2), keepdims=True)),
    "means": lambda x, y: (x.mean(), np.mean(x, -1), x.mean(axis=(1, 2), keepdims=True)),
    "extremes": lambda x, y: (x.max(), np.amax(x, 0), x.min(1), np.min(x, -1, keepdims=True)),
    "products": lambda x, y: np.prod(y, axis=1),
    "spread": lambda x, y: (x.var(), np.std(x, axis=-1), np.var(x, 0, keepdims=True)),
    "argmax": lambda x, y: (x.argmax(), np.argmax(x, axis=1), x.argmax(-1, keepdims=True)),
    "running sums": lambda x, y: (x.cumsum(), np.cumsum(x > 0, axis=1), np.cumsum(y, -1)),
    "ufunc reduce": lambda x, y: (np.add.reduce(x), np.maximum.reduce(x, axis=1)),
    "transpose": lambda x, y: (x.T, np.transpose(x, (1, 0, 2)), x.transpose(2, 1, 0), x.mT),
    "axes": lambda x, y: (
        np.swapaxes(x, 0, 2),
        np.moveaxis(x, 0, -1),
        np.moveaxis(x, (0, 1), (2, 0)),
    ),
    "reshape": lambda x, y: (x.reshape(6, 4), np.reshape(x, (-1,)), x.ravel(), x.flatten()),
    "axes of one": lambda x, y: (
        x[None],
        np.expand_dims(x, (0, 2)),
        np.squeeze(x[:1], 0),
        x[:1].squeeze(),
    ),
    "concatenate": lambda x, y: (np.concatenate([x, x * 2], axis=1), np.concatenate([x, y[None]])),
    "stack": lambda x, y: (np.stack([y, y * 2]), np.stack([y, X[0]], axis=-1)),
    "split": lambda x, y: (*np.split(x, 2, axis=2), *np.split(x, [1, 2], axis=1)),
    "pad": lambda x, y: (
        np.pad(x, 1),
        np.pad(y, ((0, 1), (2, 0)), constant_values=3),
        np.pad(y, 1, "edge"),
        np.pad(y, ((1, 1), (2, 2)), mode="reflect"),
    ),
    "basic indexing": lambda x, y: (
        x[0],
        x[-1, 1],
        x[:, 1:3],
        x[..., ::-1],
        x[:, None, ::2],
        x[1:, -2:, 1],
    ),
    "slices from behind": lambda x, y: (x[:, ::-2], x[..., -1:0:-1], x[..., 3:3], x[:, -100:100]),
    "arrays of indices": lambda x, y: (
        x[:, [2, 0, 0]],
        x[np.array([[1, 0], [0, 1]])],
        np.take(x, [1, 3], axis=2),
        x.take([5, 7]),
    ),
    "broadcast": lambda x, y: np.broadcast_to(y, (2, 3, 4)) + x,
    "flips": lambda x, y: (
        np.flip(x),
        np.flip(x, 1),
        np.roll(x, 1, axis=2),
        np.roll(x, -2, axis=1),
    ),
    "like": lambda x, y: (np.zeros_like(x), np.ones_like(y), np.full_like(x, 7, dtype=np.int32)),
    "kinds": lambda x, y: (
        x.astype(np.float64) / 3,
        x.astype(np.int32),
        (x > 0).astype(np.float32),
    ),
    "promotion": lambda x, y: x + np.ones(4, np.float64),
    "dot": lambda x, y: (np.dot(y, y.T), np.dot(y, 2.0)),
    "iteration": lambda x, y: sum(part for part in x),
    "length": lambda x, y: x * len(x) + x.size + np.shape(y)[0] + np.size(x, 1) + np.ndim(x),
    "copy": lambda x, y: x.copy() + np.copy(y),
}

INTEGERS: dict[str, Callable[[Any, Any], Any]] = {
    "arithmetic": lambda i, b: i * 3 - 2 + i,
    "true division": lambda i, b: i / 4,
    "floor division": lambda i, b: (i // 2, i // -2, i % 3, i % -3),
    "sums widen": lambda i, b: (i.sum(), i.prod(axis=0), i.max(), i.mean()),
    "floats": lambda i, b: i * 0.5 + np.sqrt(abs(i)),
    "rounding": lambda i, b: np.floor(i) + np.rint(i),
    "bool": lambda i, b: (b & (i > 0), b | (i > 0), b ^ True, ~b, b + b, b * b),
    "masks": lambda i, b: np.where(b, i, 0),
}


def check(function: Callable[..., Any], *inputs: Any) -> None:
    """Compare a replay with the function itself: values, dtypes and shapes."""
    expected = function(*inputs)
    replay = runtime.trace(lambda a, b: function(a, b), *inputs).compile()
    results = replay(*inputs)
    single = not isinstance(expected, tuple)
    for wanted, got in zip(
        (expected,) if single else expected, (results,) if single else results, strict=True
    ):
        wanted = np.asarray(wanted)
        assert got.shape == wanted.shape
        assert got.dtype == wanted.dtype
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", FLOATS)
def test_floats(name: str) -> None:
    with np.errstate(all="ignore"):
        check(FLOATS[name], X, Y)


@pytest.mark.parametrize("name", INTEGERS)
def test_integers_and_bool(name: str) -> None:
    check(INTEGERS[name], I, B)


def test_indices_that_are_traced() -> None:
    indices = np.array([2, 0, 1], np.int64)
    replay = runtime.trace(lambda x, i: x[i] + np.take(x, i, axis=0), Y, indices).compile()
    np.testing.assert_array_equal(replay(Y, indices[::-1]), 2 * Y[indices[::-1]])


@pytest.mark.parametrize("index", [(0, 0, 0, 0), (9,), (..., 4), (-3,)])
def test_indices_out_of_range(index: Any) -> None:
    with pytest.raises(IndexError):
        runtime.trace(lambda x: x[index], X)


def test_dynamic_axes_of_one() -> None:
    replay = runtime.trace(lambda x: np.expand_dims(x, (1, 3)) * 2, X).compile()
    for shape in [(2, 3, 4), (4, 1, 5)]:
        x = np.ones(shape, np.float32)
        assert replay(x).shape == np.expand_dims(x, (1, 3)).shape


def test_dynamic_likes() -> None:
    replay = runtime.trace(lambda x: np.full_like(x, 3) + np.zeros_like(x[0]), X).compile()
    for shape in [(2, 3, 4), (4, 1, 5)]:
        np.testing.assert_array_equal(replay(np.ones(shape, np.float32)), np.full(shape, 3.0))
