import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.alternation import Worker, start
from bench.case import cases_of
from bench.check import check, expect
from bench.errors import CaseError, WorkerFailed
from bench.protocol import receive, send
from bench.worker import serve
from dispatch.problem import Problem
from dispatch.tuning.database import Database
from dispatch.tuning.values import arrays_of


def test_messages_carry_arrays() -> None:
    stream = io.BytesIO()
    arrays = [
        np.arange(6, dtype=np.int64).reshape(2, 3),
        np.zeros((0, 3), np.float32),
        np.array(2.5, np.float64),
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.array([True, False]),
    ]
    send(stream, {"do": "something", "text": "µ\n"}, arrays)
    send(stream, {"do": "more"})
    stream.seek(0)
    message, got = receive(stream)
    assert message == {"do": "something", "text": "µ\n"}
    for a, b in zip(arrays, got, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert receive(stream) == ({"do": "more"}, [])


@pytest.mark.parametrize("missing", [1, 5, 20, 60])
def test_a_message_cut_short_is_an_end(missing: int) -> None:
    stream = io.BytesIO()
    send(stream, {"do": "something"}, [np.zeros(5)])
    whole = stream.getvalue()
    with pytest.raises(EOFError):
        receive(io.BytesIO(whole[:-missing]))


def test_serving_answers_errors_and_goes_on() -> None:
    asked, answered = io.BytesIO(), io.BytesIO()
    send(asked, {"do": "run", "iterations": 1})
    send(asked, {"do": "open", "engine": "no_such_pack", "threads": 1})
    send(asked, {"do": "memory"})
    asked.seek(0)
    serve(asked, answered)
    answered.seek(0)
    first, second, third = (receive(answered)[0] for _ in range(3))
    assert first["error"] == second["error"] == "CaseError"
    assert "no_such_pack" in second["message"]
    assert third["peak_bytes"] > 2**20


@pytest.mark.parametrize("engine", ["portable", "portable:eager", "dispatch"])
@pytest.mark.parametrize("operator", ["relu", "conv2d"])
def test_a_process_prepares_and_times(engine: str, operator: str) -> None:
    problem = cases_of(operator, "tiny")[0].problem
    with start(engine, 1, {}) as worker:
        assert worker.ask({"do": "open", "engine": engine, "threads": 1})[0]["version"]
        for seed in (1, 2):
            message = {"do": "prepare", "problem": problem.to_dict(), "seed": seed}
            reply, outputs = worker.ask(message)
            check(engine, problem, outputs, expect(problem, arrays_of(problem, seed)))
            if engine == "portable":
                assert reply["information"]["kernel"].startswith(f"portable.{operator}.")
        turn = worker.ask({"do": "run", "iterations": 10, "warm": 1})[0]
        assert turn["seconds"] > 0


def test_the_tuned_engine_takes_the_kernel_that_was_the_fastest(tmp_path: Path) -> None:
    problem = cases_of("conv2d", "tiny")[0].problem
    engine = "dispatch:tuned"
    with start(engine, 1, {"XDG_CACHE_HOME": str(tmp_path)}) as worker:
        worker.ask({"do": "open", "engine": engine, "threads": 1})
        message = {"do": "prepare", "problem": problem.to_dict(), "seed": 1}
        reply, outputs = worker.ask(message)
    check(engine, problem, outputs, expect(problem, arrays_of(problem, 1)))
    (path,) = tmp_path.rglob("tuned-*.sqlite3")
    times = sorted(Database(path).read(), key=lambda r: r.seconds)
    assert len({r.kernel for r in times}) > 1, "every kernel that says yes was measured"
    assert times[0].kernel == reply["information"]["kernel"]
    chosen = Problem.from_json(times[0].problem)
    assert [None if t is None else t.layout for t in chosen.tensors] == reply["information"][
        "layouts"
    ]


@pytest.mark.skipif(
    not Path("/proc/self/schedstat").exists(), reason="this system doesn't tell what threads waited"
)
def test_waiting_for_a_cpu_is_told() -> None:
    problem = cases_of("conv2d", "tiny")[0].problem
    (cpu, *_) = sorted(os.sched_getaffinity(0))
    spin = f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nprint(flush=True)\nwhile 1: pass"
    with start("portable", 1, {}) as worker:
        worker.ask({"do": "open", "engine": "portable", "threads": 1})
        worker.ask({"do": "prepare", "problem": problem.to_dict(), "seed": 1})
        os.sched_setaffinity(worker.process_id, {cpu})
        with subprocess.Popen((sys.executable, "-c", spin), stdout=subprocess.PIPE) as neighbour:
            try:
                assert neighbour.stdout is not None
                neighbour.stdout.readline()
                iterations, turn = 1000, {"seconds": 0.0}
                while turn["seconds"] < 0.2:
                    turn = worker.ask({"do": "run", "iterations": iterations, "warm": 0})[0]
                    iterations *= 4
            finally:
                neighbour.kill()
    assert turn["waited_seconds"] > 0.2 * turn["seconds"]


def test_errors_come_back_under_their_class() -> None:
    with start("portable", 1, {}) as worker:
        with pytest.raises(CaseError, match="portable: prepare: expected an engine first"):
            worker.ask({"do": "prepare", "problem": {}, "seed": 0})
        worker.ask({"do": "memory"})


def test_a_process_tells_its_own_memory_not_its_parents() -> None:
    held = np.ones(100 * 2**20, np.uint8)  # this process's, which starts the other
    with start("portable", 1, {}) as worker:
        before = worker.ask({"do": "memory"})[0]["peak_bytes"]
    assert 2**20 < before < held.nbytes


def test_a_process_that_dies_is_told() -> None:
    with (
        Worker("gone", (sys.executable, "-c", "import sys; sys.exit(5)"), {}) as worker,
        pytest.raises(WorkerFailed, match="gone: its process ended with status 5"),
    ):
        worker.ask({"do": "open"})
