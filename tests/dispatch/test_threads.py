"""Calls from many threads at once, and processes forked after use."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import dispatch
import runtime._native
from dispatch.core import SPIN_COUNT


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


def seen_by_openmp(command: Sequence[str | Path], **variables: str) -> list[str]:
    """Return the turns that libgomp says its threads wait awake, once for each start."""
    unset = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        command,
        env={**kept, "OMP_DISPLAY_ENV": "verbose", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return re.findall(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)


IN_PYTHON = (
    sys.executable,
    "-c",
    "import os; before = dict(os.environ); import dispatch; assert dict(os.environ) == before",
)
WITHOUT_PYTHON = (Path(runtime._native.__file__).with_name("replay_run"), "nothing")


@pytest.mark.parametrize("command", [IN_PYTHON, WITHOUT_PYTHON])
def test_threads_wait_awake_for_a_moment_unless_the_environment_says_how_long(
    command: Sequence[str | Path],
) -> None:
    assert seen_by_openmp(command)[-1] == str(SPIN_COUNT)
    assert seen_by_openmp(command, GOMP_SPINCOUNT="77") == ["77"]
    assert seen_by_openmp(command, OMP_WAIT_POLICY="passive") == ["0"]
