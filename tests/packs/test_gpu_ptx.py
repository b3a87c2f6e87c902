"""Every kernel of ours for NVIDIA GPUs, compiled by NVRTC to PTX and run on the host.

What runs is what NVIDIA's compiler made of the CUDA C, by the pack's own plans, structs and
launches, and `tests.packs.ptx` ends a launch at whatever the PTX manual leaves undefined.
"""

from __future__ import annotations

import numpy as np
import pytest

import dispatch
import runtime
from bench.standard_models import LIGHT, light_model_path, packaged_model
from dispatch import registry as registry_module
from dispatch.conformance.runner import Subject, check_kernels
from dispatch.contract import KernelName
from dispatch.errors import PackUnavailable
from dispatch.operators import operators
from kernels.cudnn import enqueue
from kernels.cudnn.compiler import compiler
from kernels.cudnn.pack import LaunchKernel
from tests.conformance.failures import MOST, failures_of
from tests.packs.cudnn_in_ptx import PtxCompiler, PtxDriver
from tests.packs.cudnn_on_the_host import on_device
from tests.packs.cudnn_world import forget, host_world
from tests.packs.ptx.traffic import traffic_of

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
    world = host_world(monkeypatch, tmp_path, PtxDriver())
    monkeypatch.setattr(enqueue, "compiler", lambda: PtxCompiler(found._c))
    yield world
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


CUDAS_OWN = {"cos", "fmod", "mod", "sin"}
"""Of floats they are functions of CUDA's, in PTX that the host doesn't know: tables, local memory,
rounding toward zero. Their expressions run on OpenCL devices, and CUDA compiles them."""


def is_readable(kernel):
    name = KernelName.parse(kernel.name)
    return name.operator not in CUDAS_OWN or name.dtype[0] in "iu"


@pytest.mark.parametrize("part", ["first", "others"])
@pytest.mark.parametrize("operator", operators())
def test_kernels_conform(host, operator, part):
    kernels = kernels_of(operator, part == "first")
    if not kernels:
        pytest.skip(f"no kernel of ours for {operator} is among the {part}")
    kernels = list(filter(is_readable, kernels))
    if not kernels:
        pytest.skip(f"{operator} of floats is CUDA's own function, in PTX that the host can't run")
    summary = check_kernels(Subject("cudnn", kernels, "nvidia"), RANDOM_CASES)
    wrong = failures_of(summary)
    assert not wrong, "\n".join(wrong[:MOST])
    for report in summary.kernels:
        assert report.runs, f"{report.kernel} served no case"
    assert host.cuda.programs


# ---- Memory -----------------------------------------------------------------------------------


def drawn(*shape, dtype="float32"):
    return on_device(np.random.default_rng(1).uniform(-1, 1, shape).astype(dtype))


CALLS = {
    "elementwise": (lambda: dispatch.relu(drawn(1, 64, 28, 28)), 1.0, 1.0),
    "transposed": (lambda: dispatch.transpose(drawn(96, 160), (1, 0)), 1.0, 1.0),
    "transposed halves": (
        lambda: dispatch.transpose(drawn(96, 160, dtype="float16"), (1, 0)), 1.0, 1.0,
    ),
    "to channels last": (
        lambda: dispatch.transpose(drawn(1, 64, 28, 28), (0, 2, 3, 1)), 1.0, 1.0,
    ),
    "rows": (lambda: dispatch.softmax(drawn(64, 1000)), 1.0, 1.0),
    "rows beside each other": (lambda: dispatch.softmax(drawn(2, 64, 14, 14), axis=1), 1.6, 1.6),
    "columns": (lambda: dispatch.sum(drawn(64, 1000), axes=(0,)), 1.0, 1.0),
    "a convolution": (
        lambda: dispatch.conv2d(drawn(1, 16, 14, 14), drawn(32, 16, 3, 3), pads=1), 1.5, 2.0,
    ),
}  # fmt: skip
"""Calls, and by how much loads and stores may exceed what their bytes need of sectors."""
CONFLICTS = 2.5


@pytest.mark.parametrize("what", CALLS)
def test_neighbours_use_whole_sectors(host, monkeypatch, what):
    call, loads, stores = CALLS[what]
    monkeypatch.setattr(enqueue, "compiler", lambda: PtxCompiler(compiler()._c, logs=True))
    host.frontend.refused_operations = {"conv_fprop"}
    call()
    (program,) = host.cuda.programs.values()
    found = traffic_of(program.log())
    assert found["loads"].requests and found["stores"].requests
    assert found["loads"].waste <= loads and found["stores"].waste <= stores
    # Few lanes of a warp ask one bank of shared memory for different words.
    assert found["shared_loads"].waste == 1 and found["shared_stores"].waste <= CONFLICTS


# ---- Replays ----------------------------------------------------------------------------------

MODELS = {
    "squeezenet": (1, 3, 224, 224),
    "shufflenet": (1, 3, 224, 224),
    "ppocr_det": (1, 3, 64, 96),
}
TOLERANCE = 1e-4


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


def model(name, shape):
    path = light_model_path(name) if name in LIGHT else packaged_model(name)
    if path is None:
        pytest.skip(f"the package with {name} isn't installed")
    return runtime.from_onnx(str(path), examples=None if name in LIGHT else {"x": shape})


def close(got, wanted):
    error = np.abs(got.astype(np.float64) - wanted).max() / np.abs(wanted).max()
    assert error <= TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_models_agree_with_replays_on_the_host(request, rng, name):
    pytest.importorskip("onnx")
    trace = model(name, MODELS[name])
    x = rng.uniform(-1, 1, MODELS[name]).astype(np.float32)
    (wanted,) = trace.compile()(x)
    host = request.getfixturevalue("host")
    host.frontend.refused_operations = {"conv_fprop"}
    replay = trace.compile("nvidia")
    rows = [KernelName.parse(row.kernel) for row in replay.explain().rows]
    ways = {row.algorithm for row in rows if row.operator == "conv2d"}
    assert ways and not ways & {"graph", "graph_then_map"}
    (result,) = replay(on_device(x))
    close(result.values, wanted)
    assert len(host.cuda.graph_launches) == 1


def test_a_quantised_trace_gives_the_hosts_bits(request, rng):
    x, w, v = (
        rng.uniform(-1, 1, shape).astype(np.float32)
        for shape in ((2, 8, 12, 12), (16, 8, 3, 3), (16, 1, 3, 3))
    )
    trace = runtime.trace(
        lambda x: dispatch.conv2d(dispatch.conv2d(x, w, activation="relu"), v, groups=16), x
    )
    small = runtime.quantize(trace, [(x,)])
    wanted = small.compile()(x)
    request.getfixturevalue("host")
    replay = small.compile("nvidia")
    assert any(row.operator.startswith("qconv2d") for row in replay.explain().rows)
    np.testing.assert_array_equal(replay(on_device(x)).values, wanted)
