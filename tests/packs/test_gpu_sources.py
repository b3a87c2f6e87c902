"""The one source of OpenCL and CUDA kernels: that it is CUDA C too, and what plans make of it."""

from __future__ import annotations

import ctypes
import itertools
from functools import cache
from importlib import metadata

import pytest

from dispatch.conformance.runner import conformance_cases, questions
from dispatch.operators import operators
from kernels.gpu.catalogue import CATALOGUE
from kernels.gpu.plan import Plan
from kernels.gpu.sources import program_text
from kernels.gpu.traits import Traits

GPU = Traits("a GPU", False, True, 1024, 48 << 10, 16)
SMALL = Traits("a small GPU", False, False, 64, 16 << 10, 16)
ARCHITECTURES = ("sm_75", "sm_80", "sm_90", "sm_100")
CASES = 2


@cache
def compiler():
    """Return NVIDIA's runtime compiler, which needs no GPU, or skip."""
    try:
        files = metadata.files("nvidia-cuda-nvrtc") or []
    except metadata.PackageNotFoundError:
        pytest.skip("nvidia-cuda-nvrtc is not installed (make test-opencl installs it)")
    found = next(f for f in files if f.name.startswith("libnvrtc.so"))
    return ctypes.CDLL(str(found.locate()))


def compiled(text, architecture):
    """Compile CUDA C; return the log, "" if it compiles."""
    nvrtc, program = compiler(), ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"k.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={architecture}".encode())
    status = nvrtc.nvrtcCompileProgram(program, 1, options)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() if status else ""


def programs(algorithm, traits):
    """Return the programs of an algorithm's first problems in each dtype."""
    found = {}
    operator = operators()[algorithm.operator]
    for dtype in algorithm.dtypes:
        cases = itertools.islice(conformance_cases(operator, 0), CASES)
        for question in questions(operator, dtype, "opencl", cases):
            plan = algorithm.plan(question.problem, traits)
            for launch in plan.launches if isinstance(plan, Plan) else ():
                found[launch.source, launch.defines] = launch
    return list(found)


@pytest.mark.parametrize("algorithm", CATALOGUE, ids=lambda a: f"{a.operator}.{a.name}")
def test_sources_compile_as_cuda_c(algorithm):
    if algorithm.name == "blocked":
        pytest.skip("it is for CPUs, by OpenCL's vector types")
    architectures = itertools.cycle(ARCHITECTURES)
    for (source, defines), architecture in zip(
        programs(algorithm, GPU), architectures, strict=False
    ):
        log = compiled(program_text(source, (("HAS_F64", "1"), *defines)), architecture)
        assert not log, f"{source} with {defines}: {log}"


@pytest.mark.parametrize("traits", [GPU, SMALL], ids=lambda t: t.name)
@pytest.mark.parametrize("algorithm", CATALOGUE, ids=lambda a: f"{a.operator}.{a.name}")
def test_plans_keep_to_the_devices_limits(algorithm, traits):
    operator = operators()[algorithm.operator]
    dtype = algorithm.dtypes[0]
    cases = itertools.islice(conformance_cases(operator, 0), 30)
    for question in questions(operator, dtype, "opencl", cases):
        plan = algorithm.plan(question.problem, traits)
        if not isinstance(plan, Plan):
            continue
        tensors = len(question.problem.tensors)
        for launch in plan.launches:
            items = 1
            for count in launch.items:
                items *= count
            assert 0 < items <= traits.max_items
            assert all(0 < groups < 2**31 for groups in launch.groups)
            assert len(launch.parameters) <= 1024 - 8 * len(launch.arguments)
            assert all(-2 - len(plan.tables) < a < tensors for a in launch.arguments)


def test_programs_differ_by_dtypes_and_not_by_shapes():
    (matmul,) = (a for a in CATALOGUE if (a.operator, a.name) == ("matmul", "tiled"))
    cases = itertools.islice(conformance_cases(operators()["matmul"], 0), 15)
    found = set()
    for question in questions(operators()["matmul"], "float32", "opencl", cases):
        plan = matmul.plan(question.problem, GPU)
        found |= {(launch.source, launch.defines) for launch in plan.launches}
    assert len(found) == 1
