"""Traces replayed on OpenCL devices by libreplay, and what is saved for it."""

from __future__ import annotations

import json
import os
import subprocess

import numpy as np
import pytest

import runtime
from bench.standard_models import light_model_path
from dispatch.conformance.runner import conformance_cases, questions
from dispatch.contract import ExportingPack
from dispatch.errors import InvalidArgument
from dispatch.operators import operators
from dispatch.registry import registry
from runtime.errors import ArtifactError
from tests.packs.opencl_devices import each_device, float32
from tests.packs.opencl_native import REPLAY_RUN, network, replay_without_python

pytestmark = pytest.mark.filterwarnings("ignore::pyopencl.CompilerWarning")


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


@each_device
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_a_model_replays_without_python(caller, dtype, rng, tmp_path):
    trace = runtime.from_onnx(light_model_path("squeezenet"))
    device = f"opencl:{caller.device_id}"
    (i,) = trace.graph.inputs
    x = rng.random(i.example).astype(np.float32)
    if dtype == "uint8":
        trace = runtime.quantize(trace, [x])
    replay = trace.compile(device)
    trace.save(tmp_path / "m.safetensors", {"opencl": replay}, kernels=tmp_path / "m.kernels")
    (wanted,) = replay(caller.to_device(x))
    output = tmp_path / "y"
    done = replay_without_python(
        tmp_path, [x], caller.device_id, "--steps", "--output", str(output)
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(replay.plan().options)} steps" in done.stdout
    assert done.stdout.count(" us  opencl.") == len(replay.plan().options)
    result = np.fromfile(output, np.float32).reshape(wanted.shape)
    np.testing.assert_array_equal(result, wanted.get())
    assert list(runtime.load(tmp_path / "m.safetensors").graph.inputs) == [i]


def test_a_file_with_plans_for_host_and_device_takes_what_is_there(rng, tmp_path):
    trace = network(rng)
    plans = {"cpu": trace.compile(threads=1), "opencl": trace.compile("opencl")}
    trace.save(tmp_path / "m.safetensors", plans, kernels=tmp_path / "m.kernels")
    done = replay_without_python(tmp_path, [float32(rng, 1, 3, 6, 6)], 0, "--steps")
    assert done.returncode == 0, done.stderr
    assert " us  opencl." in done.stdout
    without = subprocess.run(
        [REPLAY_RUN, str(tmp_path / "m.safetensors"), "--plan", "opencl"],
        env={k: v for k, v in os.environ.items() if k != "DISPATCH_OPENCL_KERNELS"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert without.returncode == 1
    assert "pack opencl isn't open" in without.stderr
    found = subprocess.run(
        [REPLAY_RUN, str(tmp_path / "m.safetensors"), "--plan", "opencl", "--steps"],
        env={**os.environ, "DISPATCH_OPENCL_KERNELS": str(tmp_path / "m.kernels")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert " us  opencl." in found.stdout
    assert "no file of kernels" in without.stderr


def test_saving_needs_a_place_for_kernels(rng, tmp_path):
    trace = network(rng)
    file = tmp_path / "m.safetensors"
    with pytest.raises(ArtifactError, match="kernels: expected a file"):
        trace.save(file, {"opencl": trace.compile("opencl")})
    with pytest.raises(ArtifactError, match="kernels: expected none"):
        trace.save(file, {"cpu": trace.compile()}, kernels=tmp_path / "m.kernels")
    assert not list(tmp_path.iterdir())


def test_kernels_of_a_library_arent_exported():
    pack = next(p.opened for p in registry().packs if p.name == "opencl")
    assert isinstance(pack, ExportingPack)
    clblast = next(k for k in pack.kernels if ".clblast." in k.name)
    question = next(
        questions(
            operators()["matmul"], "float32", "opencl", conformance_cases(operators()["matmul"], 1)
        )
    )
    with pytest.raises(InvalidArgument, match="can't run without Python"):
        pack.export([(clblast, question.problem)])


def test_the_command_line_writes_both_files(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from runtime.__main__ import app

    model = light_model_path("squeezenet")
    output = tmp_path / "m.safetensors"
    done = CliRunner().invoke(
        app, ["import", str(model), "-o", str(output), "--plan", "--device", "opencl", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["file"] == str(output)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.kernels", "m.safetensors"]
    done = replay_without_python(tmp_path, [], 0)
    assert done.returncode == 0, done.stderr
