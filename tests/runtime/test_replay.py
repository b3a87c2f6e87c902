"""Replays: inputs and outputs, caches, threads, forks, reports."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import dispatch
import runtime


def array(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


W = array(8, 3, 3, 3, seed=1)
X = array(1, 3, 10, 12)


def network(x: Any) -> Any:
    y = dispatch.relu(dispatch.conv2d(x, W, pads=1))
    return dispatch.max_pool2d(y + 1.0, 2, strides=2)


@pytest.fixture(scope="module")
def replay() -> runtime.Replay:
    return runtime.trace(network, X).compile()


def test_inputs_by_position_and_by_name(replay: runtime.Replay) -> None:
    np.testing.assert_allclose(replay(X), network(X), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(replay(x=X), replay(X))


def test_inputs_of_every_kind(replay: runtime.Replay) -> None:
    expected = replay(X)
    strange = np.asfortranarray(X)
    np.testing.assert_array_equal(replay(strange), expected)
    backwards = X[:, :, ::-1].copy()[:, :, ::-1]
    np.testing.assert_array_equal(replay(backwards), expected)
    misaligned = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32)
    np.testing.assert_array_equal(replay(misaligned.reshape(X.shape)), expected)
    frozen = X.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(replay(frozen), expected)
    np.testing.assert_array_equal(replay(dispatch.constant(X)), expected)


def test_inputs_stay_as_they_are() -> None:
    f = runtime.trace(lambda x: dispatch.exp(dispatch.abs(x)) * 2.0, X).compile()
    before = X.copy()
    f(X)
    np.testing.assert_array_equal(X, before)


def test_tensors_of_another_library(replay: runtime.Replay) -> None:
    torch = pytest.importorskip("torch")
    result = replay(torch.from_numpy(X))
    assert isinstance(result, torch.Tensor)
    np.testing.assert_array_equal(result.numpy(), replay(X))


def test_numbers_are_inputs_of_no_dimensions() -> None:
    scale = runtime.trace(lambda x, s: x * s, X, np.float32(2)).compile()
    np.testing.assert_array_equal(scale(X, 3.0), X * 3)


def test_wrong_inputs(replay: runtime.Replay) -> None:
    for args, named, text in (
        ((), {}, "x is missing"),
        ((X, X), {}, "2 by position"),
        ((X,), {"x": X}, "got x by position too"),
        ((), {"y": X}, "x is missing; got y"),
    ):
        with pytest.raises(dispatch.InvalidArgument, match=text):
            replay(*args, **named)
    with pytest.raises(dispatch.UnsupportedDtype, match="x: expected dtype float32, got float64"):
        replay(X.astype(np.float64))
    with pytest.raises(dispatch.UnsupportedDtype, match="x"):
        replay(X.astype(">f4"))
    with pytest.raises(dispatch.InvalidArgument, match="x: expected an array"):
        replay([1.0])
    with pytest.raises(runtime.PlanError, match="x: expected 4 dimensions"):
        replay(X[0])
    with pytest.raises(runtime.PlanError, match=r"channels.*test_replay\.py"):
        replay(array(1, 4, 10, 12))
    np.testing.assert_allclose(replay(X), network(X), rtol=1e-4, atol=1e-5)


def test_empty_arrays() -> None:
    f = runtime.trace(lambda x: (dispatch.relu(x) + 1.0, x.sum(axis=0)), array(4, 5)).compile()
    y, s = f(np.zeros((0, 5), np.float32))
    assert y.shape == (0, 5)
    np.testing.assert_array_equal(s, np.zeros(5))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64])
def test_other_dtypes(dtype: Any) -> None:
    x, w = array(1, 3, 8, 8).astype(dtype), array(4, 3, 3, 3).astype(dtype)
    f = runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), x).compile()
    result = f(x)
    assert result.dtype == dtype
    expected = dispatch.relu(dispatch.conv2d(x, w)).astype(np.float64)
    np.testing.assert_allclose(result.astype(np.float64), expected, rtol=0.02, atol=0.02)


def test_plans_are_counted_and_bounded() -> None:
    replay = runtime.trace(network, X).compile(cache_size=2)
    assert replay.cache_info() == (0, 1, 0, 1, 2)
    replay(X)
    assert replay.cache_info() == (1, 1, 0, 1, 2)
    for height in (12, 14, 12):
        replay(array(1, 3, height, 12))
    assert replay.cache_info() == (2, 3, 1, 2, 2)
    replay(X)  # was the longest without use
    assert replay.cache_info() == (2, 4, 2, 2, 2)
    replay(array(1, 3, 12, 12))
    assert replay.cache_info() == (3, 4, 2, 2, 2)
    with pytest.raises(runtime.PlanError):
        replay(array(1, 5, 12, 12))
    assert replay.cache_info() == (3, 4, 2, 2, 2)
    with pytest.raises(dispatch.InvalidArgument, match="cache_size"):
        runtime.trace(network, X).compile(cache_size=0)


def test_settings_are_those_of_the_compilation() -> None:
    with dispatch.using(packs="portable"):
        portable = runtime.trace(network, X).compile()
    assert {r.kernel.split(".")[0] for r in portable.explain(x=(2, 3, 9, 9)).rows} == {"portable"}
    with pytest.raises(dispatch.InvalidArgument, match="precision"):
        runtime.trace(network, X).compile(precision="lowest")  # type: ignore[arg-type]
    with pytest.raises(dispatch.InvalidArgument, match="device"):
        runtime.trace(network, X).compile("abacus")
    with pytest.raises(dispatch.DeviceUnavailable):
        runtime.trace(network, X).compile("nvidia")
    one = runtime.trace(network, X).compile(threads=1, deterministic=True)
    assert all(o.problem.threads == 1 and o.problem.deterministic for o in one.plan().options)


def test_explanations(replay: runtime.Replay) -> None:
    explanation = replay.explain()
    data = explanation.to_dict()
    assert data["steps"][0]["operator"].startswith("conv2d")
    assert all(s["others"] is not None and s["seconds"] is None for s in data["steps"])
    assert "test_replay.py" in data["steps"][0]["node"]
    assert data["memory"]["packed_bytes"] >= 0
    text = str(explanation)
    for row in explanation.rows:
        assert row.kernel in text
    with pytest.raises(dispatch.InvalidArgument, match="shapes"):
        replay.explain(z=(1,))


def test_profiles(replay: runtime.Replay) -> None:
    profile = replay.profile(X, repeats=3)
    assert profile.seconds > 0
    assert all(row.seconds is not None and row.seconds >= 0 for row in profile.rows)
    with pytest.raises(dispatch.InvalidArgument, match="repeats"):
        replay.profile(X, repeats=0)
    with pytest.raises(dispatch.UnsupportedDtype):
        replay.profile(X.astype(np.float64))


def test_results_are_arrays_of_their_own(replay: runtime.Replay) -> None:
    first = replay(X)
    kept = first.copy()
    replay(X * 2)
    np.testing.assert_array_equal(first, kept)


def test_many_threads(replay: runtime.Replay) -> None:
    inputs = [array(1, 3, 8 + 2 * i, 12, seed=i) for i in range(4)]
    expected = [network(x) for x in inputs]
    replay = runtime.trace(network, X).compile(cache_size=3)
    failures: list[Any] = []
    barrier = threading.Barrier(8)

    def work(seed: int) -> None:
        barrier.wait()
        for i in range(40):
            k = (i * seed) % 4
            got = replay(inputs[k])
            if not np.allclose(got, expected[k], rtol=1e-4, atol=1e-5):
                failures.append((seed, i))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    info = replay.cache_info()
    assert info.hits + info.misses == 8 * 40 + 1
    assert info.size <= 3


def in_child(work: Any) -> int:
    """Run `work` in a forked child; return its exit status."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_a_fork_after_use(threads: int) -> None:
    replay = runtime.trace(network, X).compile(threads=threads)
    expected = replay(X)

    def work() -> int:
        try:
            return 0 if np.array_equal(replay(X), expected) else 2
        except dispatch.ForkedProcessError:
            return 3

    status = in_child(work)
    assert status == 0 if threads == 1 else status in (0, 3)
    np.testing.assert_array_equal(replay(X), expected)


def test_replays_are_freed() -> None:
    import weakref

    replay = runtime.trace(network, X).compile()
    watch = weakref.ref(replay)
    del replay
    gc.collect()
    assert watch() is None


def test_a_dropped_replay_goes_at_once() -> None:
    replay = runtime.trace(network, X).compile()
    replay(X)
    gone = weakref.ref(replay._planned(replay._example))
    gc.collect()
    gc.disable()  # no cycle keeps its memory
    try:
        del replay
        assert gone() is None
    finally:
        gc.enable()
