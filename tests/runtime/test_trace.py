"""Tracing: what is recorded, and the traps that must not be fallen into."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from runtime.tracer import Tracer


def array(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


X = array(2, 3, 4)


@pytest.mark.parametrize(
    "read",
    [
        bool,
        float,
        int,
        complex,
        np.asarray,
        lambda x: x.item(),
        lambda x: x.tolist(),
        lambda x: [1, 2, 3][x],
        lambda x: 1.0 in x,
        lambda x: x if x > 0 else -x,
        lambda x: pickle.dumps(x),
        lambda x: x.__setitem__(0, 1),
        lambda x: np.from_dlpack(x),
        lambda x: x[x > 0],
        lambda x: x.data,
        lambda x: np.float32(x),
    ],
)
def test_reading_elements_is_an_error_with_the_line(read: Any) -> None:
    with pytest.raises(runtime.TraceError, match=r"test_trace\.py:\d+"):
        runtime.trace(lambda x: read(x), X[0, 0, :1])


@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.add(x, 1, out=np.empty_like(X)),
        lambda x: np.add(np.ones_like(X), 1, out=x),
        lambda x: np.sum(x, out=np.empty(())),
        lambda x: np.copyto(np.empty_like(X), x),
        lambda x: dispatch.relu(x, out=x),
        lambda x: x.__iadd__(1),
        lambda x: x.sort(),
        lambda x: np.linalg.norm(x),
        lambda x: np.einsum("ijk->i", x),
        lambda x: np.cbrt(x),
        lambda x: np.fft.fft(x),
        lambda x: np.add.at(x, 0, 1),
        lambda x: np.add.accumulate(x),
        lambda x: np.sort(x),
        lambda x: np.unique(x),
        lambda x: np.nonzero(x),
        lambda x: np.where(x > 0),
        lambda x: x & 1,
    ],
)
def test_what_no_operator_stands_for_is_an_error(change: Any) -> None:
    with pytest.raises((runtime.TraceError, AttributeError), match=r"test_trace\.py:\d+"):
        runtime.trace(change, X)


def test_in_place_operators_are_errors() -> None:
    def add(x: Any) -> Any:
        x += 1
        return x

    with pytest.raises(runtime.TraceError, match="x = x \\+ y"):
        runtime.trace(add, X)


def test_names_come_from_the_signature() -> None:
    def f(first: Any, *rest: Any, named: Any) -> Any:
        return first + rest[0] * rest[1] + named

    t = runtime.trace(f, X, X, X, named=X)
    assert [i.name for i in t.graph.inputs] == ["first", "rest_0", "rest_1", "named"]
    np.testing.assert_allclose(t.compile()(X, X, X, named=X), X + X * X + X, rtol=1e-6)


def test_structures_of_outputs() -> None:
    single = runtime.trace(lambda x: dispatch.relu(x), X).compile()
    assert isinstance(single(X), np.ndarray)
    pair = runtime.trace(lambda x: (x + 1, x * 2), X).compile()(X)
    assert isinstance(pair, tuple)
    assert len(pair) == 2
    named = runtime.trace(lambda x: {"a": x + 1, "b": x * 2}, X).compile()(X)
    np.testing.assert_array_equal(named["b"], X * 2)


@pytest.mark.parametrize("result", [None, "text", (), {}, (None,), object()])
def test_results_that_are_no_arrays(result: Any) -> None:
    with pytest.raises(runtime.TraceError, match="result"):
        runtime.trace(lambda x: result, X)


def test_an_output_that_is_an_input_is_a_copy() -> None:
    replay = runtime.trace(lambda x: (x, dispatch.reshape(x, (-1,)), x), X).compile()
    first, flat, again = replay(X)
    np.testing.assert_array_equal(first, X)
    np.testing.assert_array_equal(flat, X.ravel())
    assert not np.shares_memory(first, X)
    assert not np.shares_memory(first, again)
    assert not np.shares_memory(first, flat)


def test_an_output_that_is_a_constant() -> None:
    c = array(3)
    number, values, y = runtime.trace(lambda x: (2.0, c, x + 1), X).compile()(X)
    assert number == 2.0
    np.testing.assert_array_equal(values, c)
    assert not np.shares_memory(values, c)
    np.testing.assert_array_equal(y, X + 1)


def test_a_function_that_ignores_its_input() -> None:
    replay = runtime.trace(lambda x, unused: x * 2, X, X).compile()
    np.testing.assert_array_equal(replay(X, np.zeros((7, 1, 2), np.float32)), X * 2)


def test_constants_are_copied_when_they_are_used() -> None:
    c = np.ones(4, np.float32)

    def f(x: Any) -> Any:
        y = x + c
        c[:] = 5
        return y + c

    t = runtime.trace(f, X)
    c[:] = 100
    np.testing.assert_allclose(t.compile()(X), X + 6, rtol=1e-6)


def test_the_same_array_twice_is_two_inputs() -> None:
    replay = runtime.trace(lambda a, b: a - b, X, X).compile()
    np.testing.assert_array_equal(replay(X, X * 3), X - X * 3)


def test_a_tracer_that_outlives_its_trace() -> None:
    kept: list[Any] = []
    runtime.trace(lambda x: kept.append(x) or x + 1, X)
    with pytest.raises(runtime.TraceError, match="another trace"):
        runtime.trace(lambda x: x + kept[0], X)


def test_a_trace_inside_of_a_trace() -> None:
    def outer(x: Any) -> Any:
        inner = runtime.trace(lambda y: y * 2, X).compile()
        return x + inner(X)

    np.testing.assert_allclose(runtime.trace(outer, X).compile()(X), X * 3, rtol=1e-6)
    with pytest.raises(runtime.TraceError, match="traced one"):
        runtime.trace(lambda x: runtime.trace(lambda y: y, x), X)


def test_an_exception_leaves_nothing_behind() -> None:
    def bad(x: Any) -> Any:
        dispatch.relu(x)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        runtime.trace(bad, X)
    np.testing.assert_array_equal(dispatch.relu(X), np.maximum(X, 0))
    assert len(runtime.trace(dispatch.relu, X).graph.nodes) == 1


def test_errors_of_shapes_name_the_line() -> None:
    with pytest.raises(dispatch.InvalidArgument, match=r"broadcast.*test_trace\.py"):
        runtime.trace(lambda x: x + np.ones(7, np.float32), X)


def test_copies_of_tracers_are_themselves() -> None:
    t = runtime.trace(lambda x: copy.deepcopy(x) + copy.copy(x), X)
    np.testing.assert_array_equal(t.compile()(X), X + X)


def test_asking_for_kinds_is_allowed() -> None:
    def f(x: Any) -> Any:
        assert isinstance(x, Tracer)
        assert x.ndim == 3
        assert x.dtype == np.float32
        assert x.itemsize == 4
        assert not hasattr(x, "nothing_like_it")
        assert "float32" in repr(x.dtype)
        assert "traced" in repr(x)
        return x

    assert runtime.trace(f, X).graph.inputs[0].fixed == ""


def test_reading_a_shape_fixes_it() -> None:
    t = runtime.trace(lambda x, y: x.reshape(x.shape[0], -1) + y, X, array(2, 12))
    x, y = t.graph.inputs
    assert x.shape == (2, 3, 4)
    assert "test_trace.py" in x.fixed
    assert y.fixed == ""
    with pytest.raises(runtime.PlanError, match=r"x: expected shape \(2, 3, 4\).*shape_of"):
        t.compile()(array(3, 3, 4), array(3, 12))


def test_shapes_stay_dynamic_otherwise() -> None:
    t = runtime.trace(lambda x: dispatch.reshape(x, (0, -1)).sum(axis=-1, keepdims=True), X)
    replay = t.compile()
    for shape in [(2, 3, 4), (5, 1, 7), (1, 9, 2)]:
        x = array(*shape)
        np.testing.assert_allclose(replay(x)[:, 0], x.reshape(shape[0], -1).sum(-1), rtol=1e-4)
    with pytest.raises(runtime.PlanError, match="3 dimensions"):
        replay(array(3, 3))


def test_shape_of_stays_dynamic() -> None:
    def f(x: Any) -> Any:
        s = runtime.shape_of(x)
        return dispatch.reshape(x, np.stack([s[0] * s[1], s[2]])) * 2, s

    replay = runtime.trace(f, X).compile()
    for shape in [(2, 3, 4), (5, 1, 7)]:
        x = array(*shape)
        y, s = replay(x)
        np.testing.assert_array_equal(y, x.reshape(-1, shape[2]) * 2)
        np.testing.assert_array_equal(s, shape)


def test_shape_of_outside_of_a_trace() -> None:
    np.testing.assert_array_equal(runtime.shape_of(X), X.shape)


def test_elements_as_attributes_are_an_error() -> None:
    def f(x: Any, n: Any) -> Any:
        return dispatch.reshape(x, n)

    with pytest.raises(runtime.TraceError, match="elements"):
        runtime.trace(f, X, np.array([6, 4]))


def test_a_trace_prints_and_counts() -> None:
    t = runtime.trace(lambda x: dispatch.relu(x) + 1, X)
    assert "1 relu" in str(t)
    assert t.to_dict()["operators"] == {"relu": 1, "add": 1}
    assert "2 calls" in repr(t)
