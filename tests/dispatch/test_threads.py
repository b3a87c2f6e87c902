"""Calls from many threads at once, and processes forked after use."""

import os
import signal
import threading

import numpy as np
import pytest

import dispatch


def test_many_threads_get_right_answers() -> None:
    rng = np.random.default_rng(1)
    w = dispatch.constant(rng.standard_normal((8, 4, 3, 3), np.float32))
    inputs = [rng.standard_normal((1, 4, 8 + i, 9), np.float32) for i in range(4)]
    expected = [dispatch.conv2d(x, w, pads=1, activation="relu") for x in inputs]
    failures: list[str] = []
    barrier = threading.Barrier(8)

    def work(seed: int) -> None:
        barrier.wait()
        for i in range(60):
            k = (i + seed) % len(inputs)
            with dispatch.using(threads=1 + i % 2):
                y = dispatch.conv2d(inputs[k], w, pads=1, activation="relu")
            # Another number of threads may take another algorithm: the bound of "high", roughly.
            if not np.allclose(y, expected[k], rtol=1e-3, atol=1e-3):
                failures.append(f"thread {seed} call {i}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_calls_work_in_a_forked_child() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((1, 32, 64, 64), np.float32)
    w = dispatch.constant(rng.standard_normal((64, 32, 3, 3), np.float32))
    with dispatch.using(threads=2):
        expected = dispatch.conv2d(x, w, pads=1)
    child = os.fork()
    if child == 0:
        signal.alarm(30)  # a hang must end as a failure
        y = dispatch.conv2d(x, w, pads=1)
        os._exit(0 if np.allclose(y, expected, rtol=1e-4, atol=1e-4) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
