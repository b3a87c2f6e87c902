"""Plans and times for OpenCL devices elsewhere: this machine's own, described."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.resources import files

import numpy as np
import pytest

import runtime
from kernels.opencl.library import devices
from tests.packs.opencl_devices import each_device
from tests.packs.opencl_native import PACK, network, replay_without_python

pytestmark = pytest.mark.filterwarnings("ignore::pyopencl.CompilerWarning")


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


OPENCL_DEVICES = str(files("kernels.opencl").joinpath("opencl_devices"))


def in_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


PLAN = """
import sys
import numpy as np
import dispatch, runtime
rng = np.random.default_rng(1)
w, head = (rng.uniform(-1, 1, shape).astype("float32") for shape in ((8, 3, 3, 3), (5, 8)))
def network(x):
    y = dispatch.global_avg_pool2d(dispatch.conv2d(x, w, activation="relu"))
    return dispatch.softmax(dispatch.linear(dispatch.reshape(y, (-1, 8)), head))
trace = runtime.trace(network, np.ones((1, 3, 16, 16), np.float32))
replay = trace.compile(DEVICE)
trace.save(FOLDER + "/m.safetensors", {"opencl": replay}, kernels=FOLDER + "/m.kernels")
assert WANTED == ("pyopencl" in sys.modules)
"""


@each_device
def test_plans_for_a_described_device_are_those_made_on_it(caller, tmp_path):
    description = tmp_path / "devices.json"
    told = subprocess.run([OPENCL_DEVICES], capture_output=True, text=True, check=True)
    description.write_text(told.stdout)
    written = []
    for name, environment in (
        ("here", {"DISPATCH_CLBLAST_LIBRARY": ""}),
        ("described", {"DISPATCH_OPENCL_DEVICES": str(description)}),
    ):
        folder = tmp_path / name
        folder.mkdir()
        constants = {
            "DEVICE": f"opencl:{caller.device_id}",
            "FOLDER": str(folder),
            "WANTED": name == "here",
        }
        code = "".join(f"{k} = {v!r}\n" for k, v in constants.items()) + PLAN
        done = in_python(code, **environment)
        assert done.returncode == 0, done.stderr
        written.append((folder / "m.kernels").read_bytes())
    assert written[0] == written[1]
    done = replay_without_python(
        tmp_path / "described", [np.ones((1, 3, 16, 16), np.float32)], caller.device_id
    )
    assert done.returncode == 0, done.stderr


OPENCL_TIME = str(files("kernels.opencl").joinpath("opencl_time"))


def runtime_command(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "runtime", *map(str, words)],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_kernels_are_timed_without_python_and_plans_go_by_it(rng, tmp_path):
    told = subprocess.run([OPENCL_DEVICES], capture_output=True, text=True, check=True)
    (tmp_path / "devices.json").write_text(told.stdout)
    network(rng).save(tmp_path / "m.safetensors")
    here = {
        "DISPATCH_OPENCL_DEVICES": str(tmp_path / "devices.json"),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
    }
    tune = ("tune", tmp_path / "m.safetensors", "--device", "opencl", "--json")
    wrote = runtime_command(*tune, "--candidates", tmp_path / "c.kernels", **here)
    assert wrote.returncode == 0, wrote.stderr
    count = json.loads(wrote.stdout)["kernels"]
    timed = subprocess.run(
        [OPENCL_TIME, tmp_path / "c.kernels"], capture_output=True, text=True, check=True
    )
    rows = json.loads(timed.stdout)
    # Two tilings at least for the convolution, with the activation and without.
    assert len(rows) == count >= 4
    assert all(row["seconds"] > 0 for row in rows)
    # As if the first kernel of each problem were the fastest by far.
    best = {}
    for row in rows:
        row["seconds"] = (
            1e-9 if best.setdefault(row["signature"], row["kernel"]) == row["kernel"] else 1.0
        )
    (tmp_path / "times.json").write_text(json.dumps(rows))
    took = runtime_command(*tune, "--times", tmp_path / "times.json", **here)
    assert took.returncode == 0, took.stderr
    assert json.loads(took.stdout) == {"timed": count, "kernels": count}
    code = (
        f"import runtime; t = runtime.load({str(tmp_path / 'm.safetensors')!r})\n"
        "for tuned in (True, False):\n"
        "    print([o.kernel.name for o in t.compile('opencl', tuned=tuned).plan().options])\n"
    )
    planned = in_python(code, **here)
    assert planned.returncode == 0, planned.stderr
    tuned, untuned = planned.stdout.splitlines()
    convolution = next(k for k in best.values() if ".conv2d." in k)
    assert convolution in tuned
    assert convolution not in untuned
    for text in ("[{}]", "no JSON", json.dumps([{**rows[0], "seconds": -1}])):
        (tmp_path / "times.json").write_text(text)
        wrong = runtime_command(*tune, "--times", tmp_path / "times.json", **here)
        assert wrong.returncode == 2
        assert "times: expected what opencl_time prints" in wrong.stderr


GPU = {
    "name": "Imagined GPU",
    "version": "OpenCL 3.0",
    "type": 4,
    "extensions": "cl_khr_fp16 cl_khr_integer_dot_product cl_khr_subgroup_shuffle",
    "native_vector_width_float": 1,
    "max_compute_units": 12,
    "max_work_group_size": 256,
    "local_mem_size": 32768,
    "mem_base_addr_align": 1024,
}


def test_a_described_gpu_is_planned_for_as_a_gpu_and_nothing_runs_on_it(tmp_path):
    description = tmp_path / "gpu.json"
    description.write_text(json.dumps([GPU]))
    code = (
        f"DEVICE, FOLDER, WANTED = 'opencl', {str(tmp_path)!r}, False\n{PLAN}"
        "print([row.kernel for row in replay.explain().rows])\n"
        "print(next(d for d in dispatch.devices() if d.name == 'opencl').names)\n"
        "from dispatch.memory import memory_of_device, to_device\n"
        "memory = memory_of_device('opencl')\n"
        "to_device(np.ones(3), memory, memory.open_queue(0))\n"
    )
    done = in_python(code, DISPATCH_OPENCL_DEVICES=str(description))
    assert "opencl.conv2d.tiled_" in done.stdout
    assert "('Imagined GPU',)" in done.stdout
    assert done.returncode == 1
    assert "DeviceUnavailable: OpenCL device 0 (Imagined GPU), described by" in done.stderr
    # Who has all that it has may run the kernels; others are told what they lack.
    x = np.ones((1, 3, 16, 16), np.float32)
    wanted = runtime.load(tmp_path / "m.safetensors").compile()(x)
    for number, device in enumerate(devices()):
        output = tmp_path / f"y{number}"
        done = replay_without_python(tmp_path, [x], number, "--output", str(output))
        if set(GPU["extensions"].split()) <= set(device.extensions.split()):
            assert done.returncode == 0, done.stderr
            result = np.fromfile(output, np.float32).reshape(wanted.shape)
            np.testing.assert_allclose(result, wanted, atol=1e-6)
        else:
            assert done.returncode == 1
            assert "planned for Imagined GPU, need cl_khr_" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected a device at least"),
        ("no JSON", "expected what opencl_devices prints"),
        (json.dumps([{**GPU, "type": "GPU"}]), "type: expected int, got 'GPU'"),
        (json.dumps([{"name": "x"}]), "version"),
        (None, "No such file"),
    ],
)
def test_a_wrong_description_says_so(text, message, tmp_path):
    description = tmp_path / "gpu.json"
    if text is not None:
        description.write_text(text)
    done = in_python(
        "import dispatch; print(next(d.missing for d in dispatch.devices() if d.name == 'opencl'))",
        DISPATCH_OPENCL_DEVICES=str(description),
    )
    assert done.returncode == 0, done.stderr
    assert message in done.stdout


# ---- The conformance kit, through serve_pack -----------------------------------------------------

SERVE_PACK = str(files("dispatch").joinpath("serve_pack"))


def checked(operator, file, *more, **environment):
    """Export an operator's kernels unless the file is there, and check them through serve_pack."""
    own = {**os.environ, "DISPATCH_CLBLAST_LIBRARY": "", **environment}
    common = ["--operator", operator, "--cases", "2"]
    command = [sys.executable, "-m", "dispatch", "check"]
    if not file.exists():
        done = subprocess.run(
            [*command, "opencl", *common, "--export", str(file), "--json"],
            env=own, capture_output=True, text=True, check=True,
        )  # fmt: skip
        report = json.loads(done.stdout)
        assert report["file"] == str(file)
        assert report["kernels"] > 0
    there = ["--through", SERVE_PACK, "--library", str(PACK.find()), "--device", "opencl"]
    done = subprocess.run(
        [*command, *common, *there, "--option", f"kernels={file}", "--json", *more],
        env=own, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    (summary,) = json.loads(done.stdout)
    return done.returncode, summary


@pytest.mark.parametrize("operator", ["relu", "softmax", "qadd", "gather", "split"])
def test_the_native_side_is_held_to_the_conformance_kit(operator, tmp_path):
    status, summary = checked(operator, tmp_path / "all.kernels")
    faults = [f for kernel in summary["kernels"] for f in kernel["failures"]]
    assert status == 0, faults[:3]
    assert {k["kernel"].split(".")[1] for k in summary["kernels"]} == {operator}
    assert all(kernel["runs"] > 3 for kernel in summary["kernels"])


@pytest.mark.parametrize(
    ("right", "wrong", "fault"),
    [
        (b"return x < 0 ? 0 : x;", b"return x < 1 ? 0 : x;", "bound|expected"),
        (b"if (index >= p.count) return;", b"                             ", "wrote outside of"),
    ],
    ids=["result", "bounds"],
)
def test_the_kit_finds_what_is_wrong_there(right, wrong, fault, tmp_path):
    file = tmp_path / "all.kernels"
    checked("relu", file)
    exported = file.read_bytes()
    assert right in exported
    file.write_bytes(exported.replace(right, wrong))
    status, summary = checked("relu", file)
    assert status == 1
    faults = " ".join(f["what"] for kernel in summary["kernels"] for f in kernel["failures"])
    assert re.search(fault, faults), faults[:500]


def test_exporting_says_what_it_needs(tmp_path):
    for words, message in (
        (("--export", "x"), "export: expected a pack that is here"),
        (("opencl", "--export", "x", "--level", "y"), "no --through, --kernel or --level"),
        (("portable", "--export", "x"), "expected one with a native side"),
        (
            ("--through", "x", "--library", "y", "--device", "opencl", "--option", "z"),
            "option: expected NAME=VALUE, got 'z'",
        ),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "dispatch", "check", *words],
            capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 2
        assert message in done.stderr
    assert not list(tmp_path.iterdir())
