"""The benches for GPUs, as far as they go without one."""

from __future__ import annotations

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest

import dispatch
import runtime
from bench.gpu import __main__ as command
from bench.gpu import operators, resnet50
from bench.gpu.parts import PARTS, Outcome, Part, attempt, run_part, within
from tests.packs.nvidia_checks import LIMITS

GPU = next(d for d in dispatch.devices() if d.name == "nvidia")
PART = Part("operators", 20, "a part")


def script(text):
    return [sys.executable, "-c", text]


def test_rows_are_read_and_other_lines_arent():
    outcome = run_part(PART, "", script('print(\'{"case": "a"}\\nnoise\\n{"case": "b"}\')'))
    assert outcome.state == "complete" and outcome.is_complete
    assert [row["case"] for row in outcome.rows] == ["a", "b"]


def test_what_was_measured_before_the_limit_is_kept():
    text = 'import time; print(\'{"case": "a"}\', flush=True); time.sleep(60)'
    outcome = run_part(Part("operators", 3, "a part"), "", script(text))
    assert outcome.state == "stopped after 3 s" and not outcome.is_complete
    assert [row["case"] for row in outcome.rows] == ["a"]


def test_a_part_that_fails_says_so_and_keeps_its_rows():
    outcome = run_part(
        PART, "", script('print(\'{"case": "a"}\', flush=True); raise SystemExit(3)')
    )
    assert outcome.state == "failed with 3" and len(outcome.rows) == 1


def test_rows_are_kept_as_they_come():
    kept = []
    text = 'print(\'{"case": "a"}\\n{"case": "b"}\')'
    run_part(PART, "", script(text), lambda outcome: kept.append([*outcome.rows]))
    assert [len(rows) for rows in kept] == [1, 2]


def test_what_a_part_started_ends_with_it():
    child = "import time; time.sleep(60)"  # holds the pipe open
    text = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]).wait()"
    outcome = run_part(Part("operators", 2, "a part"), "", script(text))
    assert outcome.state == "stopped after 2 s" and outcome.seconds < 30


def test_a_case_that_fails_leaves_the_others(capsys):
    rows = []
    attempt(rows.append, "a", lambda: 1 / 0)
    attempt(rows.append, "b", lambda: {"case": "b"})
    assert rows == [{"case": "a", "error": "ZeroDivisionError: division by zero"}, {"case": "b"}]
    assert "Traceback" in capsys.readouterr().err
    outcome = Outcome(PART, "complete", 1.0, rows)
    assert outcome.errors == 1 and not outcome.is_complete


def test_a_part_takes_no_longer_than_is_left():
    assert within(PART, 1000) == PART
    assert within(PART, 7.5).seconds == 7.5 and within(PART, -1).seconds == 0


def test_operators_are_measured_in_each_precision_by_turns():
    turns = list(operators._in_turns("cpu"))
    assert all(case.problem.precision == precision for _, precision, case in turns)
    ways = [way for way, _, _ in operators.WAYS]
    assert [way for way, _, _ in turns] == ways * (len(turns) // len(ways))
    for start in range(0, len(turns), len(ways)):
        alike = {case.label for _, _, case in turns[start : start + len(ways)]}
        assert len(alike) == 1
    assert {case.problem.operator for _, _, case in turns} == {"conv2d", "linear", "matmul"}


def test_all_parts_fit_fifteen_minutes_with_the_tests():
    assert sum(part.seconds for part in PARTS) + sum(LIMITS.values()) < 900


@pytest.mark.skipif(GPU.available, reason="there is a GPU")
def test_without_a_gpu_every_part_is_skipped_and_says_why(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = run.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [part.name for part in PARTS]
    assert all("SKIPPED" in line and "pack cudnn: " in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_an_unknown_part_is_refused():
    run = subprocess.run(
        [sys.executable, "-m", "bench.gpu", "--parts", "resnet50,none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 2 and "no part none" in run.stderr


def row(way, ours, **peers):
    return {"way": way, "seconds": {"dispatch": ours, **peers}}


def test_bounds_are_held_against_the_best_of_pytorchs():
    last = "torch, channels last"
    parts = {
        "operators": {
            "rows": [
                row("bf16", 2.0, torch=4.0, **{last: 2.0}),
                row("bf16", 1.0, torch=2.0, **{last: 3.0, "torch, fused": 1.0}),
                {"case": "conv2d", "error": "WrongResult"},
                row("TF32", 3.0, torch=1.0),
            ]
        },
        "resnet50": {
            "rows": [
                {"case": "batch 1", "ratio_to": {"torch, eager": 0.5}},
                {"case": "batch 1, one at a time", "beyond": 16e-6},
            ]
        },
        "compiled": {
            "rows": [
                {"case": "batch 1, compiled", "ratio_to": {"torch.compile": 0.9}},
                {"case": "batch 64, compiled", "error": "no memory"},
            ]
        },
    }
    bf16, tf32, beyond, whole = command.bounds(parts)
    assert bf16.startswith("bf16: 2 ") and "mean 1.000" in bf16 and bf16.endswith("met")
    assert "mean 3.000" in tf32 and tf32.endswith("missed")
    assert "0.900 (bound 1.0)" in whole and whole.endswith("met")
    assert "16.0 µs" in beyond and beyond.endswith("missed")
    assert command.bounds({}) == []


def test_results_are_written_with_what_they_depend_on(tmp_path):
    about = command.information("cpu")
    assert {"date", "device", "packs", "packages", "python", "machine"} == set(about)
    assert about["packs"]["portable"]["libraries"]
    outcome = Outcome(PARTS[1], "complete", 1.5, [row("bf16", 1.0, torch=1.0)])
    path = tmp_path / "deep" / "results.json"
    command.write(path, about, [outcome])
    data = json.loads(path.read_text())
    assert data["parts"]["operators"]["state"] == "complete"
    assert len(data["bounds"]) == 1


def test_resnet50_is_traced_as_it_is_called():
    own = resnet50.parameters(ml_dtypes.bfloat16)
    assert len(own) == 54
    assert sum(w.size for w, _ in own) == 25_502_912

    def function(x):
        return resnet50.forward(x, resnet50.DispatchWords(iter(own)))

    x = np.random.default_rng(1).standard_normal((1, 3, 32, 32)).astype(ml_dtypes.bfloat16)
    trace = runtime.trace(function, x)
    assert sum(node.operator == "conv2d" for node in trace.graph.nodes) == 53
    y, eager = trace.compile()(x), function(x)
    assert y.shape == (1, 1000)
    scale = np.abs(eager.astype(np.float32)).max()
    np.testing.assert_allclose(
        y.astype(np.float32), eager.astype(np.float32), rtol=0, atol=0.05 * scale
    )


def test_pytorchs_module_computes_the_same_and_reads_its_parameters_where_they_lie():
    torch = pytest.importorskip("torch")
    torch.set_grad_enabled(False)
    own = resnet50.parameters(np.float32)
    module = resnet50.module_of(torch, own, "cpu")
    x = np.random.default_rng(1).standard_normal((1, 3, 32, 32), np.float32)
    wanted = resnet50.forward(x, resnet50.DispatchWords(iter(own)))
    given = torch.from_numpy(x)
    np.testing.assert_allclose(module(given), wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    seen = []

    def backend(graph, inputs):
        seen.append([isinstance(each, torch.nn.Parameter) for each in inputs])
        return graph

    torch.compile(module, fullgraph=True, dynamic=False, backend=backend)(given)
    ((*parameters,),) = seen
    assert sum(parameters) == len(parameters) - 1 == 2 * len(own), "all but the images"
