"""Explanations as data, as text, and from the command line."""

import json
import subprocess
import sys

import numpy as np
import pytest

import dispatch
from dispatch import remembered
from dispatch.errors import InvalidArgument
from dispatch.tensor import Quantization, TensorSpec
from dispatch.text import parse_attribute, parse_tensor

X = np.ones((1, 8, 9, 9), np.float32)
W = np.ones((16, 8, 3, 3), np.float32)


def test_explaining_does_not_run_the_call() -> None:
    remembered.clear()
    explanation = dispatch.explain(dispatch.conv2d, X, W, pads=1, activation="relu")
    assert not remembered.entries
    decision = explanation.decision
    assert decision.problem.epilogue == (dispatch.EpilogueStep("relu"),)
    assert decision.kernel in [c.kernel for c in decision.candidates]


def test_what_is_explained_is_what_runs() -> None:
    w = dispatch.constant(W)
    explanation = dispatch.explain(dispatch.conv2d, X, w, pads=1)
    remembered.clear()
    dispatch.conv2d(X, w, pads=1)
    (entry,) = remembered.entries.values()
    assert entry.decision.kernel is explanation.decision.kernel
    assert entry.decision.problem == explanation.decision.problem


def test_the_text_has_every_candidate_and_a_line_for_bench() -> None:
    explanation = dispatch.explain(dispatch.conv2d, X, W)
    text = str(explanation)
    for candidate in explanation.decision.candidates:
        assert candidate.kernel.name in text
    last = text.splitlines()[-1]
    assert last.startswith("bench run --problem '")
    problem = dispatch.Problem.from_json(last.removeprefix("bench run --problem '")[:-1])
    assert problem == explanation.decision.problem


def test_the_data_is_json() -> None:
    data = dispatch.explain(dispatch.conv2d, X, W).to_dict()
    assert json.loads(json.dumps(data))["kernel"] == data["kernel"]
    refused = [c for c in data["candidates"] if c["answer"] == "no"]
    assert all(c["code"] and c["reason"] for c in refused)


def test_only_operators_can_be_explained() -> None:
    with pytest.raises(InvalidArgument, match="expected an operator's function"):
        dispatch.explain(np.sum, X)


@pytest.mark.parametrize(
    "spec",
    [
        TensorSpec("float32", (1, 3, 8, 8)),
        TensorSpec("bfloat16", (), constant=True),
        TensorSpec("int64", (0, 4)),
        TensorSpec("float32", (1, 16, 2, 2), "nChw16c"),
        TensorSpec("float16", (1, 16, 2, 2), "nhwc", constant=True),
        TensorSpec("uint8", (2, 3), quantization=Quantization((float(np.float32(0.1)),), (128,))),
        TensorSpec(
            "int8",
            (1, 16, 2, 2),
            "nhwc",
            constant=True,
            quantization=Quantization((float(np.float32(1e-30 / 3)),), (-7,)),
        ),
    ],
)
def test_tensors_read_as_they_print(spec) -> None:
    assert parse_tensor(str(spec)) == spec


@pytest.mark.parametrize(
    "text",
    [
        "",
        "f32",
        "f33[1]",
        "f32[1,x]",
        "f32[1]:nwhc",
        "f32[-1]",
        "f32[1]?",
        "u8[1]{1}",
    ],
)
def test_bad_tensors_are_refused(text) -> None:
    with pytest.raises(InvalidArgument, match="tensor: expected"):
        parse_tensor(text)


@pytest.mark.parametrize("text", ["u8[1]{0,0}", "u8[1]{x,0}", "u8[1]{1,300}", "f32[1]{1,0}"])
def test_bad_quantisation_is_refused(text) -> None:
    with pytest.raises(InvalidArgument, match=r"scale|zero_point|expected values of uint8"):
        parse_tensor(text)


def test_attributes_are_numbers_or_words() -> None:
    values = [parse_attribute(t) for t in ("1", "1,2", "0.5", "same", "True")]
    assert values == [1, (1, 2), 0.5, "same", True]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dispatch", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", ["packs", "devices", "operators"])
def test_tables_and_their_json(command) -> None:
    table, data = run(command), run(command, "--json")
    assert table.returncode == data.returncode == 0, table.stderr + data.stderr
    assert "\x1b" not in table.stdout, "no colours where there is no terminal"
    rows = json.loads(data.stdout)
    assert rows
    for row in rows:
        assert (row.get("name") or row["operator"]) in table.stdout


def test_explain_on_the_command_line() -> None:
    arguments = ("explain", "conv2d", "x=f32[1,64,56,56]", "w=f32[64,64,3,3]!", "pads=1")
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "portable.conv2d" in done.stdout
    data = json.loads(run(*arguments, "--json").stdout)
    assert data["problem"]["attributes"]["pads"] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("explain", "conv3d", "x=f32[1]"), "operator: expected one of"),
        (("explain", "relu", "x"), "expected name=value"),
        (("explain", "relu", "x=f32[1]", "alpha=1"), "relu has inputs x"),
        (("explain", "relu", "x=f32[2]", "--device", "tpu"), "device: expected one of"),
        (("explain", "conv2d", "x=f32[1,2,3]", "w=f32[1,2,3,3]"), "x: expected 4 dimensions"),
    ],
)
def test_errors_on_the_command_line_are_one_line_and_exit_with_2(arguments, message) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
