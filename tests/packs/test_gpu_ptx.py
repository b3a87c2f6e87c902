"""Every kernel of ours for NVIDIA GPUs, compiled by NVRTC to PTX and run on the host.

What runs is what NVIDIA's compiler made of the CUDA C, by the pack's own plans, structs and
launches, and `tests.packs.ptx` ends a launch at whatever the PTX manual leaves undefined.
"""

from __future__ import annotations

import pytest

from dispatch import registry as registry_module
from dispatch.conformance.runner import Subject, check_kernels
from dispatch.contract import KernelName
from dispatch.errors import PackUnavailable
from dispatch.operators import operators
from kernels.cudnn import enqueue
from kernels.cudnn.compiler import compiler
from kernels.cudnn.pack import LaunchKernel
from tests.packs.cudnn_in_ptx import PtxCompiler, PtxDriver
from tests.packs.cudnn_on_the_host import HostBlas, HostCuPy, HostFrontend
from tests.packs.cudnn_world import World, forget

RANDOM_CASES = 1
TURNS = 3
"""Dtypes go by turns through operators and algorithms: one of so many comes first."""


@pytest.fixture
def host(monkeypatch, tmp_path):
    """Return the pack on libraries by NumPy, and on a driver that runs PTX."""
    try:
        found = compiler()
    except PackUnavailable as error:
        pytest.skip(f"{error} (make test-opencl installs it)")
    forget()
    made = World(monkeypatch, tmp_path)
    monkeypatch.setattr(enqueue, "compiler", lambda: PtxCompiler(found._c))
    made.cuda, made.cupy = PtxDriver(), HostCuPy()
    made.blas, made.frontend = HostBlas(made.cuda), HostFrontend(made.cuda)
    made.install(monkeypatch)
    yield made.open(monkeypatch)
    forget()


def kernels_of(operator, first):
    """Return the operator's kernels of ours whose turn is first, or all others."""
    (pack,) = registry_module.registry().packs
    by_algorithm = {}
    for kernel in pack.opened.kernels:
        name = KernelName.parse(kernel.name)
        if name.operator == operator and isinstance(kernel, LaunchKernel):
            by_algorithm.setdefault(name.algorithm, []).append(kernel)
    before = list(operators()).index(operator)
    return [
        kernel
        for turn, found in enumerate(by_algorithm.values(), before)
        for index, kernel in enumerate(found)
        if ((index - turn % len(found)) % TURNS == 0) == first
    ]


@pytest.mark.parametrize("part", ["first", "others"])
@pytest.mark.parametrize("operator", operators())
def test_kernels_conform(host, operator, part):
    kernels = kernels_of(operator, part == "first")
    if not kernels:
        pytest.skip(f"no kernel of ours for {operator} is among the {part}")
    summary = check_kernels(Subject("cudnn", kernels, "nvidia"), RANDOM_CASES)
    wrong = [
        f"{report.kernel}: {failure.case}: {failure.what}\n  {failure.problem}"
        for report in summary.kernels
        for failure in report.failures
    ]
    assert not wrong, "\n".join(wrong[:10])
    for report in summary.kernels:
        assert report.runs, f"{report.kernel} served no case"
    assert host.cuda.programs
