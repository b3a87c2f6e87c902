"""OpenCL kernels without Python: the file that the pack exports, its native side, libreplay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.resources import files
from itertools import islice

import numpy as np
import pytest

import dispatch
import runtime
from bench.standard_models import light_model_path
from dispatch.answer import No, Yes
from dispatch.conformance.execution import Run, execute, prepare
from dispatch.conformance.runner import conformance_cases, questions
from dispatch.contract import ExportingPack
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import InvalidArgument, PackUnavailable
from dispatch.operators import operators
from dispatch.registry import registry
from dispatch.tensor import ANY
from kernels.opencl.library import devices
from runtime.errors import ArtifactError
from tests.packs.opencl_devices import CALLERS, float32, name_of
from tests.packs.opencl_native import PACK, NativeDevice

pytestmark = pytest.mark.filterwarnings("ignore::pyopencl.CompilerWarning")
each_device = pytest.mark.parametrize("caller", CALLERS, ids=name_of)
CASES = 12
"""For each dtype: more of them, of the same kernels, are the conformance kit's."""
REPLAY_RUN = str(files("runtime").joinpath("replay_run"))


def opened() -> ExportingPack:
    pack = next(p.opened for p in registry().packs if p.name == "opencl")
    assert isinstance(pack, ExportingPack)
    return pack


def kernels_of(operator: str, dtype: str):
    ending = f".{SHORT_NAMES[dtype]}"
    return [
        k
        for k in opened().kernels
        if k.name.startswith(f"opencl.{operator}.") and k.name.endswith(ending)
    ]


def first_that_serves(kernels, problem):
    for kernel in kernels:
        answer = kernel.query(problem)
        if isinstance(answer, Yes):
            return kernel, answer
    return None


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


# ---- The file and the native side ----------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(operators()))
def test_every_operator_gives_the_same_bytes_without_python(name, tmp_path):
    operator = operators()[name]
    runs = []
    for dtype in dict.fromkeys((operator.dtypes[0], operator.dtypes[-1])):
        cases = conformance_cases(operator, 1)
        for question in islice(questions(operator, dtype, "opencl", cases), CASES):
            found = first_that_serves(kernels_of(name, dtype), question.problem)
            if found is not None:
                runs.append((found[0], found[1], question))
    assert runs, "no kernel serves any case"
    exported = opened().export([(kernel, q.problem) for kernel, _, q in runs])
    with NativeDevice(exported, tmp_path) as device:
        for kernel, answer, question in runs:
            problem = question.problem
            wanted = execute(prepare(kernel, problem, answer, question.arrays), Run())
            assert not wanted.faults
            native = device.kernel(kernel.name).query(problem)
            assert isinstance(native, Yes)
            assert native.scratch_bytes == answer.scratch_bytes
            assert native.may_overwrite == answer.may_overwrite
            assert native.cost == pytest.approx(answer.cost)
            results = device.run(kernel, problem, question.arrays)
            for result, y in zip(results, wanted.outputs, strict=True):
                assert result.tobytes() == np.ascontiguousarray(y).tobytes(), (
                    f"{kernel.name}: {question.case.label}: {problem}"
                )


def one_kernel(rng, device_id=0):
    """Return a kernel, a problem and its arrays."""
    question = next(
        q
        for q in questions(
            operators()["matmul"],
            "float32",
            "opencl",
            conformance_cases(operators()["matmul"], 1),
            device_id,
        )
    )
    kernel, answer = first_that_serves(kernels_of("matmul", "float32"), question.problem)
    return kernel, answer, question


def test_what_the_file_wasnt_made_for_is_refused(rng, tmp_path):
    kernel, _, question = one_kernel(rng)
    other = question.problem.with_layouts(
        tuple("" if t is None else ANY for t in question.problem.tensors)
    )
    with NativeDevice(opened().export([(kernel, question.problem)]), tmp_path) as device:
        native = device.kernel(kernel.name)
        assert isinstance(native.query(question.problem), Yes)
        refused = native.query(other)
        assert isinstance(refused, No)
        assert refused.limit == "one that the file of kernels was made for"


@each_device
def test_built_programs_are_kept_and_found_again(caller, rng, tmp_path):
    kernel, answer, question = one_kernel(rng, caller.device_id)
    exported = opened().export([(kernel, question.problem)])
    wanted = execute(prepare(kernel, question.problem, answer, question.arrays), Run()).outputs
    cache = tmp_path / "cache"
    cache.mkdir()
    for _ in range(2):
        with NativeDevice(exported, tmp_path, caller.device_id, cache=str(cache)) as device:
            (result,) = device.run(kernel, question.problem, question.arrays)
            np.testing.assert_array_equal(result, wanted[0])
        (kept,) = cache.iterdir()
        stamp = kept.stat().st_mtime_ns
    with NativeDevice(exported, tmp_path, caller.device_id, cache=str(cache)) as device:
        device.run(kernel, question.problem, question.arrays)
    assert kept.stat().st_mtime_ns == stamp  # read, not written again
    kept.write_bytes(b"no program")
    with NativeDevice(exported, tmp_path, caller.device_id, cache=str(cache)) as device:
        (result,) = device.run(kernel, question.problem, question.arrays)
        np.testing.assert_array_equal(result, wanted[0])
    assert kept.stat().st_size > 100  # made anew


def test_a_damaged_file_is_refused(rng, tmp_path):
    kernel, _, question = one_kernel(rng)
    exported = opened().export([(kernel, question.problem)])
    file = tmp_path / "damaged.kernels"
    for size in (0, 7, 12, 40, len(exported) // 2, len(exported) - 1):
        file.write_bytes(exported[:size])
        with pytest.raises(dispatch.DispatchError, match=r"damaged|no file of OpenCL kernels"):
            PACK.open({"kernels": str(file)})
    file.write_bytes(exported + b"\0")
    with pytest.raises(dispatch.DispatchError, match="damaged"):
        PACK.open({"kernels": str(file)})
    file.write_bytes(exported[:8] + b"\x63\0\0\0" + exported[12:])
    with pytest.raises(PackUnavailable, match="version 99, version 1 is read here"):
        PACK.open({"kernels": str(file)})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernels": "/nowhere"}, PackUnavailable, "/nowhere: No such file"),
        ({"device": "99"}, dispatch.DispatchError, "expected one of .* devices, got 99"),
        ({"device": "first"}, dispatch.DispatchError, 'expected a number, got "first"'),
        ({"library": "/nowhere.so"}, PackUnavailable, "no OpenCL loader: /nowhere.so"),
    ],
)
def test_wrong_options_say_so(options, error, message, rng, tmp_path):
    kernel, _, question = one_kernel(rng)
    file = tmp_path / "good.kernels"
    file.write_bytes(opened().export([(kernel, question.problem)]))
    with pytest.raises(error, match=message):
        PACK.open({"kernels": str(file), **options})


def test_the_file_can_be_named_by_the_environment(rng, tmp_path, monkeypatch):
    kernel, _, question = one_kernel(rng)
    monkeypatch.delenv("DISPATCH_OPENCL_KERNELS", raising=False)
    with pytest.raises(PackUnavailable, match="DISPATCH_OPENCL_KERNELS"):
        PACK.open()
    file = tmp_path / "good.kernels"
    file.write_bytes(opened().export([(kernel, question.problem)]))
    monkeypatch.setenv("DISPATCH_OPENCL_KERNELS", str(file))
    assert [k.name for k in PACK.open().kernels] == [kernel.name]


def test_a_program_that_doesnt_build_gives_the_compilers_log(rng, tmp_path):
    kernel, _, question = one_kernel(rng)
    exported = opened().export([(kernel, question.problem)])
    broken = exported.replace(b"return ", b"retunr ")
    assert broken != exported
    with (
        NativeDevice(broken, tmp_path) as device,
        pytest.raises(dispatch.KernelFailed, match=r"(?s)program \d+ wasn't built for .*retunr"),
    ):
        device.run(kernel, question.problem, question.arrays)


def test_a_device_that_lacks_what_kernels_need_is_refused(rng, tmp_path):
    kernel, _, question = one_kernel(rng)
    exported = bytearray(opened().export([(kernel, question.problem)]))
    file = tmp_path / "hungry.kernels"
    extensions = devices()[0].extensions
    lacking = [
        (12, bit, f"need {name}")
        for bit, name in ((2, "cl_khr_integer_dot_product"), (4, "cl_khr_subgroup_shuffle"))
        if name not in extensions
    ]
    for place, value, message in (
        *lacking,
        (16, 1 << 20, "groups of 1048576 work-items"),
        (20, 1, "at multiples of 1 bytes"),
    ):
        changed = bytearray(exported)
        changed[place : place + 4] = value.to_bytes(4, "little")
        file.write_bytes(changed)
        with pytest.raises(PackUnavailable, match=message):
            PACK.open({"kernels": str(file)})


# ---- Whole models --------------------------------------------------------------------------------


def replay_without_python(tmp_path, arrays, device, *more):
    command = [
        *(REPLAY_RUN, str(tmp_path / "m.safetensors"), "--runs", "2"),
        *("--pack", str(PACK.find()), "--option", f"kernels={tmp_path / 'm.kernels'}"),
        *("--option", f"device={device}", *more),
    ]
    for index, array in enumerate(arrays):
        array.tofile(tmp_path / f"x{index}")
        command += ["--input", str(tmp_path / f"x{index}")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


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


def network(rng):
    w = float32(rng, 4, 3, 3, 3)
    return runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), float32(rng, 1, 3, 6, 6))


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
    pack = opened()
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


# ---- Devices that aren't here --------------------------------------------------------------------

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
