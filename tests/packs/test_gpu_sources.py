"""The one source of OpenCL and CUDA kernels: that it is CUDA C too, and what plans make of it."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from dispatch.conformance.runner import conformance_cases, questions
from dispatch.errors import PackUnavailable
from dispatch.operators import operators
from kernels.cudnn.compiler import compiler, options_for, text_of
from kernels.gpu.catalogue import CATALOGUE
from kernels.gpu.plan import Plan
from kernels.gpu.traits import Traits
from tests.packs.gpu_programs import programs

GPU = Traits("a GPU", False, True, True, True, 60, 1024, 48 << 10, 255, 16)
SMALL = Traits("a small GPU", False, False, False, False, 4, 64, 16 << 10, 64, 16)
ARCHITECTURES = (75, 80, 90, 100)
PROBLEMS = 2
NO_SPILLS = ("--ptxas-options=--warn-on-spills", "--ptxas-options=-Werror")


@pytest.fixture(scope="module")
def nvrtc():
    """Return NVIDIA's runtime compiler, which needs no GPU."""
    try:
        return compiler()
    except PackUnavailable as error:
        pytest.skip(f"{error} (make test-opencl installs it)")


@pytest.mark.parametrize("algorithm", CATALOGUE, ids=lambda a: f"{a.operator}.{a.name}")
def test_sources_compile_as_cuda_c_without_spills(algorithm, nvrtc):
    if not algorithm.is_portable:
        pytest.skip("it is for CPUs, by OpenCL's vector types")
    architectures = itertools.cycle(ARCHITECTURES)
    for (source, defines), architecture in zip(
        programs(algorithm, GPU, PROBLEMS), architectures, strict=False
    ):
        options = (*options_for(architecture), *NO_SPILLS)
        assert nvrtc.compile(text_of(source, defines), options, source)


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


@pytest.mark.parametrize("max_items", [1, 8, 64, 4096])
@pytest.mark.parametrize("is_cpu", [False, True])
def test_groups_share_out_their_items_among_rows(max_items, is_cpu):
    traits = replace(GPU, is_cpu=is_cpu, max_items=max_items, vector_bytes=64)
    for itemsize, neighbours in itertools.product((1, 2, 4, 8), (1, 2, 3, 17, 1000)):
        beside = traits.beside(neighbours, itemsize)
        defines = traits.row_defines(beside)
        assert int(defines["ROW_ITEMS"]) * beside == traits.row_items
        assert beside == 1 or (neighbours > 1 and defines["SUB_GROUPS"] == "0")
    assert traits.beside(1000, 4) == min(16 if is_cpu else 8, max_items)


def test_programs_differ_by_dtypes_and_not_by_shapes():
    (matmul,) = (a for a in CATALOGUE if (a.operator, a.name) == ("matmul", "tiled_64x64"))
    cases = itertools.islice(conformance_cases(operators()["matmul"], 0), 15)
    found = set()
    for question in questions(operators()["matmul"], "float32", "opencl", cases):
        plan = matmul.plan(question.problem, GPU)
        found |= {(launch.source, launch.defines) for launch in plan.launches}
    assert len(found) == 1
