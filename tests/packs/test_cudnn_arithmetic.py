"""What the pack asks of cuDNN and cuBLAS, carried out by NumPy, against the float64 references.

It holds the pack's part of the work right: graphs, strides, transpositions, parted epilogues.
Whether NVIDIA's libraries do as their documentation says, only a GPU tells: `make test-nvidia`.
"""

from __future__ import annotations

import pytest

from dispatch import registry as registry_module
from dispatch.conformance.runner import Subject, check_kernels
from dispatch.contract import KernelName
from tests.packs.cudnn_on_the_host import HostBlas, HostCuPy, HostDriver, HostFrontend
from tests.packs.cudnn_world import World, forget

RANDOM_CASES = 1
LIBRARIES = ("graph", "graph_then_map", "cublas")
PRODUCTS = ("conv2d", "conv_transpose2d", "linear", "matmul")


@pytest.fixture
def host(monkeypatch, tmp_path):
    forget()
    made = World(monkeypatch, tmp_path)
    made.cuda, made.blas = HostDriver(), HostBlas()
    made.cupy, made.frontend = HostCuPy(), HostFrontend()
    made.install(monkeypatch)
    yield made.open(monkeypatch)
    forget()


def check(operator, algorithms):
    (pack,) = registry_module.registry().packs
    kernels = [
        kernel
        for kernel in pack.opened.kernels
        if KernelName.parse(kernel.name).operator == operator
        and KernelName.parse(kernel.name).algorithm in algorithms
    ]
    assert kernels
    summary = check_kernels(Subject("cudnn", kernels, "nvidia"), RANDOM_CASES)
    wrong = [
        f"{report.kernel}: {failure.case}: {failure.what}\n  {failure.problem}"
        for report in summary.kernels
        for failure in report.failures
    ]
    assert not wrong, "\n".join(wrong[:10])
    return summary.kernels


@pytest.mark.parametrize("operator", [*PRODUCTS, "batch_norm", "layer_norm"])
def test_every_case_comes_out_right(host, operator):
    for report in check(operator, LIBRARIES):
        assert report.runs, f"{report.kernel} served no case"


@pytest.mark.parametrize("operator", ["conv2d", "conv_transpose2d"])
def test_what_isnt_fused_is_left_for_the_launch(host, operator):
    host.frontend.refused_operations = {"bias", "relu", "add"}
    for report in check(operator, ("graph_then_map",)):
        assert report.runs, f"{report.kernel} served no case"
    assert host.cuda.launches
