"""Replays on OpenCL devices: models and errors, against replays on the host."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import dispatch
import runtime
from bench.standard_models import light_model_path
from dispatch.errors import KernelFailed, MemoryMismatch, OutOfMemory
from tests.packs.opencl_devices import CALLERS, each_device, float32, pyopencl

cl = pyopencl
pytestmark = pytest.mark.filterwarnings("ignore::pyopencl.CompilerWarning")


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


def block(rng):
    """Return a network with all that planning does to memory: views, parts, work in place."""
    w1, w2, bias = float32(rng, 6, 3, 3, 3), float32(rng, 6, 1, 3, 3), float32(rng, 6)
    head = float32(rng, 9, 12)

    def network(x):
        y = dispatch.conv2d(x, w1, bias, pads=1, activation="relu")
        z = dispatch.conv2d(y, w2, groups=6, pads=1, residual=y)
        both = dispatch.concat([y, z], axis=1)
        features = dispatch.reshape(dispatch.global_avg_pool2d(both), (-1, 12))
        return dispatch.softmax(dispatch.linear(features, head)), both

    return network


@each_device
def test_a_replay_agrees_with_the_hosts_for_several_shapes(caller, rng):
    trace = runtime.trace(block(rng), float32(rng, 1, 3, 8, 8))
    on_device, on_host = trace.compile("opencl"), trace.compile()
    for shape in ((1, 3, 8, 8), (3, 3, 5, 7), (1, 3, 8, 8)):
        x = float32(rng, *shape)
        results = on_device(caller.to_device(x))
        for result, wanted in zip(results, on_host(x), strict=True):
            assert type(result) is cl.array.Array and result.queue == caller.queue
            np.testing.assert_allclose(result.get(), wanted, atol=2e-5)
    # The example's plan is made for the first device, before any array is there.
    assert on_device.cache_info()[:2] == ((2, 2) if caller.device_id == 0 else (1, 3))
    kernels = {row.kernel.split(".")[0] for row in on_device.explain().rows}
    assert kernels == {"opencl"}


@each_device
def test_a_bound_replay_runs_on_what_the_arrays_hold(caller, rng):
    trace = runtime.trace(block(rng), float32(rng, 1, 3, 8, 8))
    x = caller.to_device(np.zeros((2, 3, 8, 8), np.float32))
    bound = trace.compile("opencl").bind(x)
    on_host = trace.compile()
    for _ in range(3):
        values = float32(rng, 2, 3, 8, 8)
        x.set(values)
        for result, wanted in zip(bound(), on_host(values), strict=True):
            np.testing.assert_allclose(result.get(), wanted, atol=2e-5)


@each_device
def test_two_queues_dont_disturb_each_other(caller, rng):
    trace = runtime.trace(block(rng), float32(rng, 1, 3, 32, 32))
    replay, on_host = trace.compile("opencl"), trace.compile()
    queues = [caller.queue, caller.other_queue()]
    given = [float32(rng, 1, 3, 32, 32) for _ in queues]
    arrays = [caller.to_device(x, queue) for x, queue in zip(given, queues, strict=True)]
    runs = [[replay(x) for x in arrays] for _ in range(5)]
    for results in runs:
        for result, x in zip(results, given, strict=True):
            for y, wanted in zip(result, on_host(x), strict=True):
                np.testing.assert_allclose(y.get(), wanted, atol=2e-5)


@each_device
def test_quantised_traces(caller, rng):
    x, w = float32(rng, 2, 3, 9, 9), float32(rng, 5, 3, 3, 3)
    trace = runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), x)
    quantised = runtime.quantize(trace, [(x,)])
    replay = quantised.compile("opencl")
    assert any(row.operator.startswith("qconv2d") for row in replay.explain().rows)
    on_device, on_host = replay(caller.to_device(x)).get(), quantised.compile()(x)
    np.testing.assert_allclose(on_device, on_host, atol=1e-6)


def test_a_model_agrees_with_the_hosts(rng):
    caller = CALLERS[0]
    trace = runtime.from_onnx(str(light_model_path("squeezenet")))
    x = float32(rng, 1, 3, 224, 224)
    (result,), (wanted,) = trace.compile("opencl")(caller.to_device(x)), trace.compile()(x)
    np.testing.assert_allclose(result.get(), wanted, atol=1e-5 * np.abs(wanted).max())


def test_tuned_plans_use_what_was_measured(rng, tmp_path, monkeypatch):
    caller = CALLERS[0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    trace = runtime.trace(block(rng), float32(rng, 1, 3, 8, 8))
    x = float32(rng, 1, 3, 8, 8)
    replay = trace.compile("opencl", tune=True, tune_seconds=120)
    assert {r.problem.count("opencl") for r in replay.records()} == {1} and replay.records()
    for result, wanted in zip(replay(caller.to_device(x)), trace.compile()(x), strict=True):
        np.testing.assert_allclose(result.get(), wanted, atol=2e-5)


@each_device
def test_a_profile_gives_each_step_the_devices_time(caller, rng):
    trace = runtime.trace(block(rng), float32(rng, 1, 3, 8, 8))
    profile = trace.compile("opencl").profile(caller.to_device(float32(rng, 1, 3, 8, 8)), repeats=2)
    assert profile.rows and all(row.seconds is not None for row in profile.rows)
    assert profile.seconds > 0


@each_device
def test_memory_that_isnt_there(caller, rng, monkeypatch):
    trace = runtime.trace(lambda x: dispatch.exp(dispatch.relu(x)), float32(rng, 2, 2))
    replay = trace.compile("opencl")
    x = caller.to_device(float32(rng, 2, 2))
    replay(x)
    real, full = (
        cl.Buffer,
        cl._cl._ErrorRecord("", cl.status_code.MEM_OBJECT_ALLOCATION_FAILURE, ""),
    )

    def refuse(*args, **kwargs):
        raise cl.MemoryError(full)

    monkeypatch.setattr(cl, "Buffer", refuse)
    with pytest.raises(OutOfMemory, match=r"OpenCL: no memory for float32 \(2, 2\)"):
        replay(x)
    monkeypatch.setattr(cl, "Buffer", real)
    np.testing.assert_allclose(replay(x).get(), np.exp(np.maximum(x.get(), 0)), rtol=1e-6)


@each_device
def test_a_kernel_that_isnt_built_leaves_the_replay_usable(caller, rng, monkeypatch):
    from kernels.opencl import enqueue

    trace = runtime.trace(lambda x: dispatch.exp(dispatch.relu(x)), float32(rng, 2, 2))
    replay = trace.compile("opencl")
    x = caller.to_device(float32(rng, 2, 2))
    text = enqueue.program_text
    enqueue._programs.clear()
    monkeypatch.setattr(enqueue, "program_text", lambda *given: text(*given) + "\nno C\n")
    with pytest.raises(KernelFailed, match=r"map\.h wasn't built for OpenCL device"):
        replay(x)
    monkeypatch.setattr(enqueue, "program_text", text)
    np.testing.assert_allclose(replay(x).get(), np.exp(np.maximum(x.get(), 0)), rtol=1e-6)


@pytest.mark.skipif(len(CALLERS) < 2, reason="there is one OpenCL device only")
def test_devices_are_told_apart(rng):
    trace = runtime.trace(lambda x: dispatch.relu(x), float32(rng, 2, 2))
    second = trace.compile("opencl:1")
    x = float32(rng, 2, 2)
    np.testing.assert_array_equal(second(CALLERS[1].to_device(x)).get(), np.maximum(x, 0))
    with pytest.raises(MemoryMismatch, match="'opencl:1', got Array in OpenCL device 0"):
        second(CALLERS[0].to_device(x))
    both = trace.compile("opencl")
    for caller in CALLERS:
        np.testing.assert_array_equal(both(caller.to_device(x)).get(), np.maximum(x, 0))


def test_a_process_that_replayed_ends_in_order(tmp_path):
    program = (
        "import numpy as np, dispatch, runtime, pyopencl as cl, pyopencl.array as arrays\n"
        "from kernels.opencl.library import devices\n"
        "context = cl.Context([devices()[0]]); queue = cl.CommandQueue(context)\n"
        "x = np.eye(64, dtype=np.float32)\n"
        "replay = runtime.trace(lambda x: dispatch.matmul(x, x), x).compile('opencl')\n"
        "bound = replay.bind(arrays.to_device(queue, x)); bound(); print(bound().get().sum())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=os.environ
    )
    assert (done.returncode, done.stdout) == (0, "64.0\n"), done.stderr[-2000:]


def figures(*options):
    """Return the measurements of ``bench run``."""
    program = [sys.executable, "-m", "bench", "run", "--seconds", "0.05", "--rounds", "2"]
    done = subprocess.run(
        [*program, *options, "--json", "-"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout), done.stderr


@each_device
def test_bench_times_models_and_operators_on_the_device(caller):
    device = f"opencl:{caller.device_id}"
    given = ["--op", "relu", "--shapes", "tiny", "--device", device]
    for options, caches in (([], "warm caches"), (["--cold"], "cold caches")):
        found, text = figures(*given, *options)
        assert caches in text
        (measured,) = found["benchmarks"]
        assert measured["stats"]["median"] > 0
        problem = measured["extra_info"]["problem"]
        assert (problem["device_type"], problem["device_id"]) == (4, caller.device_id)


def test_bench_times_a_replay_on_the_device():
    found, text = figures("--model", "squeezenet", "--device", "opencl")
    (measured,) = found["benchmarks"]
    assert measured["stats"]["median"] > 0
    assert "compared with a replay on the CPU's first" in text
    assert 0 < measured["extra_info"]["difference"] < 2e-4


def command(*arguments):
    """Return what a command prints."""
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_command_lines_take_devices(rng, tmp_path):
    x, w = float32(rng, 2, 3, 6, 6), float32(rng, 4, 3, 3, 3)
    trace = runtime.trace(lambda x: dispatch.conv2d(x, w, activation="relu"), x)
    file, given, out = (tmp_path / name for name in ("t.safetensors", "x.npy", "out.npz"))
    trace.save(file)
    np.save(given, x)
    listed = json.loads(command("dispatch", "devices", "--json"))
    names = next(d["names"] for d in listed if d["name"] == "opencl")
    assert len(names) == len(CALLERS)
    for number, name in enumerate(names):
        assert f"opencl:{number}" in command("dispatch", "devices") and name
        device = f"opencl:{number}"
        run = ("runtime", "run", file, "--input", f"x={given}", "-o", out, "--device", device)
        assert ".conv2d." in command(*run, "--profile", "--repeats", 2)
        np.testing.assert_allclose(np.load(out)["output"], trace.compile()(x), atol=1e-5)
    shown = command("runtime", "inspect", file, "--kernels", "--device", "opencl")
    assert "opencl.conv2d." in shown
