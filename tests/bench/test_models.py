import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import platformdirs
import pytest

import runtime
from bench.errors import CaseError, WrongResult
from bench.models import ModelRequest, compare_outputs, feeds_of, find_model, memory_findings
from bench.overhead import LONG, SHORT, per_operator
from bench.quantized_models import FORMS, TOLERANCE, quantized_model_path, split_form
from bench.results import Measurement
from bench.standard_models import light_model_path

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    weights = numpy_helper.from_array(rng.standard_normal((8, 3, 3, 3), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("MaxPool", ["r"], ["y"], kernel_shape=[2, 2], strides=[2, 2]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w_"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "tiny", [x], [y], [weights])
    path = tmp_path / "tiny.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return path


def test_a_model_is_timed_against_a_peer_and_its_memory_told(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    command = [sys.executable, "-m", "bench", "run", "--model", str(model), "--shape"]
    command += ["x=1,3,16,20", "--peers", "onnxruntime", "--seconds", "0.05", "--rounds", "2"]
    command += ["--memory", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert "outputs compared first" in done.stdout
    data = json.loads(out.read_text())
    ours, theirs = data["benchmarks"]
    assert (ours["param"], theirs["param"]) == ("replay", "onnxruntime")
    assert ours["extra_info"]["difference"] < 1e-5
    assert ours["extra_info"]["label"] == "tiny 1x3x16x20"
    assert ours["extra_info"]["peak_bytes"] > ours["extra_info"]["peak_bytes_before"] > 0
    ratios = [f for f in data["bench"]["settings"]["findings"] if f["unit"] == "ratio"]
    assert len(ratios) == 1


def test_inputs_take_the_shapes_asked_for(model: Path) -> None:
    found = find_model(str(model), {"x": (2, 3, 8, 8)})
    assert found.inputs == (("x", "float32", (2, 3, 8, 8)),)
    with pytest.raises(CaseError, match="has no input z"):
        find_model(str(model), {"z": (1,)})


def test_requests_are_read_back() -> None:
    request = ModelRequest("m.onnx", (("x", "float32", (1, 2)),), "cpu", "medium", ("portable",))
    assert ModelRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


def test_feeds_are_the_same_everywhere() -> None:
    inputs = (("x", "float32", (3, 4)), ("i", "int64", (5,)), ("b", "bool", (6,)))
    first, again = feeds_of(inputs), feeds_of(inputs)
    for name, dtype, shape in inputs:
        assert first[name].dtype == dtype
        assert first[name].shape == shape
        np.testing.assert_array_equal(first[name], again[name])
    assert first["x"].min() < 0 < first["x"].max()


def test_readers_are_given_pictures() -> None:
    pytest.importorskip("PIL")
    inputs = (("x", "float32", (2, 3, 700, 96)),)
    (name, first), *rest = feeds_of(inputs, "ppocr_det").items()
    assert (name, first.shape, first.dtype, rest) == ("x", (2, 3, 700, 96), np.float32, [])
    np.testing.assert_array_equal(first, feeds_of(inputs, "ppocr_det")["x"])
    assert not np.array_equal(first[0], first[1])
    # Paper, not noise: most neighbours are alike.
    assert (np.diff(first, axis=3) == 0).mean() > 0.5


def test_outputs_that_differ_are_wrong() -> None:
    y = np.linspace(-4, 4, 20, dtype=np.float32).reshape(4, 5)
    near = y + np.float32(1e-5)
    assert compare_outputs("m", "a", [near], "b", [y], 1e-4) == pytest.approx(2.5e-6, rel=0.1)
    for wrong in (y + np.float32(1e-2), y * np.float32(np.nan), y[:2]):
        with pytest.raises(WrongResult, match="m: "):
            compare_outputs("m", "a", [wrong], "b", [y], 1e-4)


def test_memory_is_told_as_a_ratio() -> None:
    peaks = {"replay": 300, "onnxruntime": 200}
    findings = memory_findings(
        [Measurement("m t1", e, (1.0,), 1, {"peak_bytes": p}) for e, p in peaks.items()]
    )
    assert [f["value"] for f in findings if f["unit"] == "ratio"] == [1.5]


def test_a_replays_cost_is_what_its_kernels_leave_over() -> None:
    fixed, kernel, beyond = 5e-6, 2e-7, 1e-7
    short, long = (fixed + n * (kernel + beyond) for n in (SHORT, LONG))
    assert per_operator([kernel] * 3, [short] * 3, [long] * 3) == pytest.approx(beyond)


def test_names_of_quantised_models() -> None:
    assert split_form("ppocr-det-qdq") == ("ppocr-det", "qdq")
    assert split_form("resnet50-qoperator") == ("resnet50", "qoperator")
    assert split_form("resnet50-small") == ("resnet50-small", "")
    assert split_form("qdq") == ("qdq", "")


@pytest.mark.parametrize("form", FORMS)
def test_quantised_models_are_made_once_and_agree(form, tmp_path, monkeypatch) -> None:
    pytest.importorskip("onnxruntime.quantization")
    source = light_model_path("squeezenet")
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    inputs = (("data_0", "float32", (1, 3, 224, 224)),)
    path = quantized_model_path("squeezenet", source, form, inputs)
    made = path.stat().st_mtime_ns
    assert quantized_model_path("squeezenet", source, form, inputs).stat().st_mtime_ns == made
    trace = runtime.from_onnx(path)
    operators = {node.operator for node in trace.graph.nodes}
    assert ("conv_integer" if form == "dynamic" else "qconv2d") in operators
    feeds = feeds_of(inputs)
    session = onnxruntime.InferenceSession(str(path))
    want = session.run(None, feeds)
    got = trace.compile()(**feeds)
    compare_outputs("squeezenet", "replay", got, "onnxruntime", want, TOLERANCE)
