"""The pack on an NVIDIA GPU, by worth: without one, each test is skipped with the reason.

None of them has ever run. Conformance of every kernel is `python -m dispatch check cudnn`.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import dispatch
import runtime
from bench.models import feeds_of, find_model
from bench.standard_models import LIGHT
from dispatch.errors import OutOfMemory

NVIDIA = next(d for d in dispatch.devices() if d.name == "nvidia")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not NVIDIA.available, reason=f"needs a GPU: {NVIDIA.missing}"),
]

LIBRARIES = ("cupy", "torch")
PPOCR = ("ppocr_det", "ppocr_rec", "ppocr_cls")
TOLERANCE = 1e-3
"""Of a whole model's outputs, as a part of the largest: two devices round differently."""


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


def to_device(library, array):
    module = pytest.importorskip(library)
    return module.asarray(array) if library == "cupy" else module.tensor(array).cuda()


def to_host(array):
    return array.get() if hasattr(array, "get") else array.cpu().numpy()


def uniform(rng, *shape):
    return rng.uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("library", LIBRARIES)
def test_results_are_right_and_of_the_callers_kind(library, rng):
    x, w = uniform(rng, 2, 5, 9, 8), uniform(rng, 7, 5, 3, 3)
    given = to_device(library, x), to_device(library, w)
    y = dispatch.conv2d(*given, pads=1, activation="relu")
    assert type(y).__module__.partition(".")[0] == library
    wide = dispatch.conv2d(x.astype(np.float64), w.astype(np.float64), pads=1, activation="relu")
    np.testing.assert_allclose(to_host(y), wide, rtol=0, atol=45 * 16 * 2.0**-23)


WAYS = {
    "cudnn.conv2d.graph.f32": "relu",
    "cudnn.conv2d.graph_2.f32": "relu",
    "cudnn.conv2d.graph_then_map.f32": "hard_swish",
    "cudnn.linear.cublas.f32": "gelu",
    "cudnn.linear.tiled_64x64.f32": "gelu",
}
"""Kernels, and the activations that they are given."""


@pytest.mark.parametrize("name", WAYS)
def test_a_kernel_is_recorded_before_it_ever_ran(name, rng):
    """Handles are there by then; code that is loaded when it first runs, the driver loads."""
    cupy = pytest.importorskip("cupy")
    if ".linear." in name:
        function, shapes = dispatch.linear, ((33, 48), (40, 48), (40,))
    else:
        function, shapes = dispatch.conv2d, ((2, 8, 17, 15), (16, 8, 3, 3), (16,))
    arrays = [uniform(rng, *shape) for shape in shapes]
    wide = function(*(a.astype(np.float64) for a in arrays), activation=WAYS[name])
    traced = runtime.trace(lambda *given: function(*given, activation=WAYS[name]), *arrays)
    with dispatch.using(kernel=name):
        replay = traced.compile(device="nvidia")
    bound = replay.bind(*map(cupy.asarray, arrays))
    for _ in range(3):
        y = bound()
    np.testing.assert_allclose(y.get(), wide, rtol=0, atol=1e-4)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_bound_replay_reads_what_its_arrays_hold_then(library, rng):
    w = uniform(rng, 8, 8, 3, 3)
    replay = runtime.trace(
        lambda x: dispatch.conv2d(x, dispatch.constant(w), pads=1, activation="silu"),
        uniform(rng, 1, 8, 16, 16),
    ).compile(device="nvidia")
    x = to_device(library, uniform(rng, 1, 8, 16, 16))
    bound = replay.bind(x)
    first = to_host(bound()).copy()
    x[...] = 2 * x
    second = to_host(bound())
    np.testing.assert_allclose(to_host(replay(x)), second, rtol=0, atol=1e-5)
    assert np.abs(second - first).max() > 0.1


def test_two_replays_on_two_streams_dont_disturb_each_other(rng):
    cupy = pytest.importorskip("cupy")
    w = uniform(rng, 64, 64, 3, 3)

    def function(x):
        for _ in range(8):
            x = dispatch.conv2d(x, w, pads=1, activation="tanh")
        return x

    inputs = [uniform(rng, 4, 64, 28, 28) for _ in range(2)]
    trace = runtime.trace(function, inputs[0])
    alone = [trace.compile(device="nvidia")(cupy.asarray(x)).get() for x in inputs]
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in inputs]
    bound = []
    for stream, x in zip(streams, inputs, strict=True):
        with stream:
            bound.append(trace.compile(device="nvidia").bind(cupy.asarray(x)))
    for _ in range(50):
        for stream, each in zip(streams, bound, strict=True):
            with stream:
                each()
    for stream, each, y in zip(streams, bound, alone, strict=True):
        stream.synchronize()
        np.testing.assert_array_equal(each.outputs.get(), y)


def test_a_call_is_behind_what_its_stream_does(rng):
    torch = pytest.importorskip("torch")
    a = torch.tensor(uniform(rng, 4096, 4096)).cuda()
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        x = a
        for _ in range(20):  # is at work while the next call is enqueued
            x = (x @ a) / 64
        y = dispatch.neg(x)
        torch.testing.assert_close(y, -x, rtol=0, atol=0)


def test_constants_are_whole_for_a_stream_that_waits_for_no_other(rng):
    cupy = pytest.importorskip("cupy")
    w = uniform(rng, 1, 1 << 24)
    trace = runtime.trace(lambda x: dispatch.add(x, dispatch.constant(w)), np.zeros_like(w))
    with cupy.cuda.Stream(non_blocking=True):
        x = cupy.zeros(w.shape, w.dtype)
        y = trace.compile(device="nvidia")(x)
        np.testing.assert_array_equal(y.get(), w)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_nan_passes_activations(dtype):
    cupy = pytest.importorskip("cupy")
    x = cupy.full((1, 8, 8, 8), cupy.nan, dtype)
    y = dispatch.conv2d(x, cupy.ones((8, 8, 1, 1), dtype), activation="relu")
    assert cupy.isnan(y).all(), dispatch.explain(
        dispatch.conv2d, x, cupy.ones((8, 8, 1, 1), dtype), activation="relu"
    )


def test_a_plan_that_was_serialised_runs_in_another_process():
    code = (
        "import cupy, dispatch; x = cupy.ones((1, 8, 8, 8), 'f'); w = cupy.ones((8, 8, 3, 3), 'f');"
        "y = dispatch.conv2d(x, w); assert float(y[0, 0, 0, 0]) == 72.0"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True)


def test_no_memory_is_recovered_from():
    cupy = pytest.importorskip("cupy")
    x, held = cupy.ones(1), []

    def fill():
        while True:
            held.append(dispatch.expand(x, (2**31 - 2**17,)))

    with pytest.raises(OutOfMemory):
        fill()
    held.clear()
    assert dispatch.expand(x, (3,)).shape == (3,)
    cupy.get_default_memory_pool().free_all_blocks()


@pytest.mark.parametrize("name", [*PPOCR, *LIGHT])
def test_models_give_what_they_give_on_the_cpu(name):
    cupy = pytest.importorskip("cupy")
    model = find_model(name, {})
    feeds = feeds_of(model.inputs, name)
    trace = runtime.from_onnx(model.path, examples={n: shape for n, _, shape in model.inputs})
    inputs = [feeds[i.name] for i in trace.graph.inputs]
    wanted = results(trace.compile()(*inputs))
    replay = trace.compile(device="nvidia")
    got = results(replay(*map(cupy.asarray, inputs)))
    bound = replay.bind(*map(cupy.asarray, inputs))
    for want, y, again in zip(wanted, got, results(bound()), strict=True):
        scale = float(np.abs(want).max())
        np.testing.assert_allclose(y.get(), want, rtol=0, atol=TOLERANCE * scale)
        np.testing.assert_array_equal(again.get(), y.get())


def results(value):
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, tuple) else [value]
