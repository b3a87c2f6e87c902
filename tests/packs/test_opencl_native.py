"""OpenCL kernels without Python: the file that the pack exports, and its native side."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

import dispatch
from dispatch.answer import No, Yes
from dispatch.conformance.execution import Run, execute, prepare
from dispatch.conformance.runner import conformance_cases, questions
from dispatch.contract import ExportingPack
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import PackUnavailable
from dispatch.operators import operators
from dispatch.registry import registry
from dispatch.tensor import ANY
from kernels.opencl.library import devices
from tests.packs.opencl_devices import each_device
from tests.packs.opencl_native import PACK, NativeDevice

pytestmark = pytest.mark.filterwarnings("ignore::pyopencl.CompilerWarning")
CASES = 6
"""For each dtype: more of them, of the same kernels, are the conformance kit's."""


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
