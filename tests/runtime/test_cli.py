"""The runtime's command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime

X = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)


def call(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", **environment},
    )


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "trace.safetensors"
    runtime.trace(lambda x: dispatch.relu(x) + 1.0, X).save(path)
    return path


def test_inspect(saved: Path) -> None:
    result = call("inspect", saved)
    assert result.returncode == 0, result.stderr
    assert "1 relu" in result.stdout
    data = json.loads(call("inspect", saved, "--json").stdout)
    assert data["operators"] == {"relu": 1, "add": 1}
    steps = json.loads(call("inspect", saved, "--kernels", "--json").stdout)["steps"]
    assert [s["operator"] for s in steps] == ["relu", "add"]
    assert ".relu." in call("inspect", saved, "--kernels").stdout


def test_operators() -> None:
    pytest.importorskip("onnx")
    result = call("operators")
    assert result.returncode == 0, result.stderr
    assert "followed, where its condition or length is known" in result.stdout
    listed = {
        (e["domain"], e["operator"]): e for e in json.loads(call("operators", "--json").stdout)
    }
    assert listed["", "Conv"]["imported"]
    assert listed["com.microsoft", "FusedConv"]["imported"]
    missing = json.loads(call("operators", "--missing", "--json").stdout)
    assert missing == [e for e in listed.values() if not e["imported"]] != []


def test_tune(saved: Path, tmp_path: Path) -> None:
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    result = call("tune", saved, "--threads", "1", "--seconds", "20", "--json", **cache)
    assert result.returncode == 0, result.stderr
    tuned = json.loads(result.stdout)
    assert tuned["measured"] == len(tuned["problems"]) >= 2
    again = json.loads(call("tune", saved, "--threads", "1", "--json", **cache).stdout)
    assert again["measured"] == 0
    for option in ("--candidates", "--times"):
        path = tmp_path / "times.json"
        path.write_text("[]")
        result = call("tune", saved, option, path)
        assert result.returncode == 2
        assert "work in the host's memory" in result.stderr or "of one pack" in result.stderr
    result = call("tune", saved, "--candidates", "a", "--times", "b")
    assert result.returncode == 2
    assert "expected one of them, got both" in result.stderr


def test_run(saved: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    out = tmp_path / "out.npz"
    result = call("run", saved, "--input", f"x={tmp_path / 'x.npy'}", "-o", out, "--profile")
    assert result.returncode == 0, result.stderr
    assert "ms (median of 10)" in result.stdout
    np.testing.assert_allclose(np.load(out)["output"], np.maximum(X, 0) + 1, rtol=1e-6)
    data = json.loads(call("run", saved, "--json", "--repeats", 3, "--threads", 1).stdout)
    assert len(data["seconds"]) == 3
    assert data["outputs"]["output"]["shape"] == [1, 3, 8, 8]


def test_run_with_quantised_values(tmp_path: Path) -> None:
    def f(x: Any) -> Any:
        real = dispatch.relu(dispatch.dequantize_linear(x))
        return dispatch.quantize_linear(real, 0.5, 3, dtype="uint8")

    integers = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    file, given, out = (tmp_path / name for name in ("q.safetensors", "x.npy", "out.npz"))
    runtime.trace(f, dispatch.quantized(integers, 0.5, 100)).save(file)
    np.save(given, integers)
    result = call("run", file, "--input", f"x={given}", "-o", out, "--repeats", 1)
    assert result.returncode == 0, result.stderr
    wanted = np.maximum(integers.astype(int) - 100, 0) + 3
    np.testing.assert_array_equal(np.load(out)["output"], wanted)
    assert call("run", file, "--repeats", 1).returncode == 0, "random integers"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["inspect", "nowhere"], "nowhere"),
        (["run", "{saved}", "--device", "abacus"], "device: expected one of"),
        (["inspect", "{saved}", "--kernels", "--device", "cpu:3"], "got 'cpu:3'"),
        (["inspect", __file__], "header"),
        (["run", "{saved}", "--input", "x"], "NAME=FILE"),
        (["run", "{saved}", "--input", "z=f.npy"], "names of x, got z"),
        (["run", "{saved}", "--input", f"x={__file__}"], "--input"),
    ],
)
def test_errors_are_one_line(saved: Path, arguments: list[str], text: str) -> None:
    result = call(*(a.format(saved=saved) if a == "{saved}" else a for a in arguments))
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert text in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_has_examples() -> None:
    for command in ("import", "inspect", "run"):
        result = call(command, "--help")
        assert result.returncode == 0
        assert "Example: python -m runtime" in result.stdout


def test_import(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    out = tmp_path / "m.safetensors"
    result = call("import", tmp_path / "m.onnx", "-o", out, "--plan")
    assert result.returncode == 0, result.stderr
    assert runtime.load(out).graph.inputs[0].name == "x"
    data = json.loads(call("import", tmp_path / "m.onnx", "-o", out, "--json").stdout)
    assert data["operators"] == {"relu": 1}
