"""What the pack asks of cuDNN and cuBLAS, carried out by NumPy, against the float64 references.

It holds the pack's part of the work right: graphs, strides, transpositions, parted epilogues.
Whether NVIDIA's libraries do as their documentation says, only a GPU tells: `make test-nvidia`.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

import dispatch
import runtime
from dispatch import registry as registry_module
from dispatch.conformance.runner import Subject, check_kernels
from dispatch.contract import KernelName
from dispatch.operators import operators
from tests.conformance.failures import MOST, failures_of
from tests.packs.cudnn_on_the_host import HostDriver, on_device
from tests.packs.cudnn_world import forget, host_world

RANDOM_CASES = 1
LIBRARIES = ("graph", "graph_then_map", "cublas")
PRODUCTS = ("conv2d", "conv_transpose2d", "linear", "matmul")


@pytest.fixture
def host(monkeypatch, tmp_path):
    forget()
    yield host_world(monkeypatch, tmp_path, HostDriver())
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
    wrong = failures_of(summary)
    assert not wrong, "\n".join(wrong[:MOST])
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


# ---- Replays ----------------------------------------------------------------------------------


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


def traced(rng, dtype):
    """Return a trace whose steps are a graph, a graph and a launch, an addition, a product."""

    def drawn(*shape):
        return rng.uniform(-1, 1, shape).astype(dtype)

    first, second, third = drawn(64, 3, 3, 3), drawn(64, 64, 3, 3), drawn(28, 24)

    def function(x):
        y = dispatch.conv2d(x, first, pads=1, activation="relu")
        y = y + dispatch.conv2d(y, second, pads=1, activation="hard_swish")
        return dispatch.matmul(y, third)

    x = drawn(1, 3, 28, 28)
    weights = first, second, third
    return runtime.trace(function, x), weights, x, drawn(1, 3, 28, 28)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_replay_is_one_launch_and_reads_its_arrays_as_they_are_then(host, rng, dtype):
    trace, weights, x, other = traced(rng, dtype)
    replay = trace.compile(device="nvidia")
    ways = {KernelName.parse(row.kernel).algorithm for row in replay.explain().rows}
    assert {"graph", "graph_then_map", "cublas"} <= ways
    bound = replay.bind(array := on_device(x))
    assert not host.cuda.graph_launches
    for values in (x, other):
        array.values[...] = values
        before = len(host.cuda.graph_launches)
        y = bound()
        assert len(host.cuda.graph_launches) == before + 1
        close(y.values, reference(weights, values))
    close(replay(on_device(x)).values, reference(weights, x))
    close(y.values, reference(weights, other))


def test_what_a_replay_runs_goes_when_the_replay_does(host, rng):
    trace, _, x, _ = traced(rng, "float32")
    replay = trace.compile(device="nvidia")
    bound = replay.bind(on_device(x))
    replay(on_device(x))
    assert len(host.cuda.live_graphs) == 2
    del replay, bound
    gc.collect()
    assert not host.cuda.live_graphs


def test_a_profile_times_each_step_as_it_is_recorded(host, rng):
    trace, _, x, _ = traced(rng, "float32")
    replay = trace.compile(device="nvidia")
    profile = replay.profile(on_device(x), repeats=3)
    executables = [executable for executable, _ in host.cuda.graph_launches]
    assert len(executables) == 3 * len(profile.rows)
    assert len(set(executables)) == len(profile.rows) > 1


def reference(weights, x):
    """Return what the trace gives, in float64."""
    x, first, second, third = (a.astype(np.float64) for a in (x, *weights))
    given = {"strides": (1, 1), "pads": (1, 1, 1, 1), "dilations": (1, 1), "groups": 1}
    convolve = operators()["conv2d"].reference
    y = np.maximum(convolve([x, first, None], given)[0], 0)
    z = convolve([y, second, None], given)[0]
    return (y + z * np.clip(z / 6 + 0.5, 0, 1)) @ third


def close(y, wanted):
    np.testing.assert_allclose(y.astype(np.float64), wanted, atol=2e-2 * np.abs(wanted).max())
