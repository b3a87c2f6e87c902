"""OpenCL kernels by themselves: tilings, sub-groups, exact sums, a library's product."""

from __future__ import annotations

import dataclasses
import importlib
import math

import numpy as np
import pytest

import dispatch
from dispatch.remembered import clear
from tests.packs.opencl_devices import CALLERS, each_device, float32, pyopencl

cl = pyopencl
pytestmark = pytest.mark.filterwarnings("ignore::pyopencl.CompilerWarning")


@pytest.fixture(autouse=True)
def _fresh():
    clear()
    yield
    clear()


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Return records of this test alone."""
    from dispatch.tuning import records as records_module
    from dispatch.tuning.database import Database
    from dispatch.tuning.records import Records

    kept = Records(Database(tmp_path / "tuned.sqlite3"))
    monkeypatch.setattr(records_module, "_records", kept)
    return kept


@pytest.fixture
def launched(monkeypatch):
    """Return a list that grows by the source and the macros of each kernel made ready."""
    from kernels.opencl import enqueue

    launched, build = [], enqueue.build

    def noted(queue, source, defines):
        launched.append((source, dict(defines)))
        return build(queue, source, defines)

    monkeypatch.setattr(enqueue, "build", noted)
    return launched


@each_device
def test_tuning_times_kernels_on_the_device(caller, rng, kept):
    x, w = caller.to_device(float32(rng, 1, 4, 6, 6)), caller.to_device(float32(rng, 4, 1, 3, 3))
    tuning = dispatch.tune(lambda: dispatch.conv2d(x, w, groups=4), seconds=5, progress=False)
    ((problem, found),) = tuning.records.items()
    assert problem.device_id == caller.device_id
    assert {record.kernel for record in found} >= {
        f"opencl.conv2d.{name}.f32"
        for name in ("depthwise", "blocked_6x2", "blocked_24x1", "blocked_2x4")
    }
    assert [record for record in found if not 0 < record.seconds < math.inf] == []
    with dispatch.using(tuned=True):
        chosen = dispatch.explain(dispatch.conv2d, x, w, groups=4).decision.kernel
    assert chosen.name == min(found, key=lambda record: record.seconds).kernel


@each_device
def test_the_tiling_that_was_the_fastest_runs(caller, rng, kept, launched):
    a, b = float32(rng, 21, 30), float32(rng, 30, 17)
    given = tuple(map(caller.to_device, (a, b)))
    tuning = dispatch.tune(lambda: dispatch.matmul(*given), seconds=5, progress=False)
    ((_, found),) = tuning.records.items()
    measured = {record.kernel: record for record in found}
    assert len([name for name in measured if ".blocked_" in name]) == 3
    for name, source, macros in (
        ("tiled_128x64", "tiled", {"TILE_M": "128", "TILE_N": "64"}),
        ("blocked_24x1", "blocked", {"ROWS": "24", "VECTORS": "1"}),
        ("tiled_32x4", "tiled", {"TILE_M": "32", "TILE_N": "4"}),
    ):
        # Nobody measures who expects to be hopeless; a figure of his would count.
        best = f"opencl.matmul.{name}.f32"
        measured[best] = dataclasses.replace(found[0], kernel=best)
        kept.add(
            [
                dataclasses.replace(record, seconds=1.0 if record.kernel == best else 2.0)
                for record in measured.values()
            ]
        )
        with dispatch.using(tuned=True):
            y = dispatch.matmul(*given)
        assert launched[-1][0] == source and macros.items() <= launched[-1][1].items()
        np.testing.assert_allclose(y.get(), a.astype(np.float64) @ b, atol=1e-5)


@each_device
def test_costs_choose_a_narrow_tiling_for_a_narrow_product(caller, rng):
    def chosen(m, n):
        arrays = caller.to_device(float32(rng, m, 40)), caller.to_device(float32(rng, 40, n))
        return dispatch.explain(dispatch.matmul, *arrays).decision.kernel.name

    if caller.context.devices[0].type & cl.device_type.CPU:
        assert chosen(1, 500) == "opencl.matmul.blocked_2x4.f32"
        assert chosen(300, 5) == "opencl.matmul.blocked_24x1.f32"
        assert chosen(300, 500) == "opencl.matmul.blocked_6x2.f32"


def shifted(x, axis):
    return x - x.max(axis, keepdims=True)


def softmax(x, axis):
    powers = np.exp(shifted(x, axis))
    return powers / powers.sum(axis, keepdims=True)


def normalised(x):
    return (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)


def range_of(x):
    return np.float32(np.maximum(x.max(), 0) - np.minimum(x.min(), 0)) / np.float32(255)


ROWS = {
    "softmax": (lambda x: dispatch.softmax(x), lambda x: softmax(x, 1)),
    "log_softmax": (lambda x: dispatch.log_softmax(x, axis=0), lambda x: np.log(softmax(x, 0))),
    "layer_norm": (lambda x: dispatch.layer_norm(x, x[0]), lambda x: normalised(x) * x[0]),
    "sum": (lambda x: dispatch.sum(x, axes=(1,)), lambda x: x.sum(1)),
    "prod": (lambda x: dispatch.prod(x, axes=(0,)), lambda x: x.prod(0)),
    "max": (lambda x: dispatch.max(x, axes=(1,)), lambda x: x.max(1)),
    "argmax": (lambda x: dispatch.argmax(x, axis=1), lambda x: x.argmax(1)),
    "dynamic_quantize_linear": (lambda x: dispatch.dynamic_quantize_linear(x)[1], range_of),
}


@each_device
@pytest.mark.parametrize("operator", ROWS)
@pytest.mark.parametrize("shape", [(3, 700), (20, 33), (1, 17)])
def test_sub_groups_combine_rows(caller, rng, monkeypatch, launched, operator, shape):
    pack = importlib.import_module("kernels.opencl.pack")
    traits = pack.traits_of(caller.context.devices[0])
    if not traits.has_shuffle:
        pytest.skip("the device's sub-groups don't exchange values")
    x = float32(rng, *shape)
    x[0, 3] = np.nan if operator in ("max", "argmax") else x[0, 3]
    call, reference = ROWS[operator]
    # As on a GPU, where they are used.
    monkeypatch.setattr(pack, "traits_of", lambda _: dataclasses.replace(traits, is_cpu=False))
    got = call(caller.to_device(x)).get()
    # Rows that lie beside each other, and short ones, do without.
    wanted = "0" if operator in ("log_softmax", "prod") else "1"
    assert launched[0][1]["SUB_GROUPS"] == wanted
    np.testing.assert_allclose(got, reference(x.astype(np.float64)), rtol=1e-5, atol=1e-5)


MOVES = {
    "a matrix": ((70, 33), (1, 0)),
    "channels last": ((2, 17, 9, 5), (0, 2, 3, 1)),
    "channels first": ((2, 3, 11, 40), (0, 3, 1, 2)),
    "six axes": ((3, 2, 2, 2, 20, 24), (5, 3, 0, 2, 1, 4)),
}


@each_device
@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("dtype", ["float32", "uint8", "float16", "int64"])
def test_tiles_transpose(caller, rng, monkeypatch, launched, move, dtype):
    pack = importlib.import_module("kernels.opencl.pack")
    traits = pack.traits_of(caller.context.devices[0])
    # As on a GPU, where moves go through local memory.
    monkeypatch.setattr(pack, "traits_of", lambda _: dataclasses.replace(traits, is_cpu=False))
    shape, permutation = MOVES[move]
    x = rng.integers(0, 100, shape).astype(dtype)
    got = dispatch.transpose(caller.to_device(x), permutation).get()
    assert [source for source, _ in launched] == ["transposition"]
    np.testing.assert_array_equal(got, x.transpose(permutation))


@each_device
@pytest.mark.parametrize("tiling", ["64x64", "32x32", "4x32"])
@pytest.mark.parametrize(("first", "second"), [("uint8", "int8"), ("int8", "uint8")])
@pytest.mark.parametrize("inner", [1, 63, 4099])
def test_sums_of_bytes_are_exact(caller, rng, launched, tiling, first, second, inner):
    def extremes(dtype, *shape):
        ends = np.iinfo(dtype)
        return rng.choice([ends.min, ends.max], shape).astype(dtype)

    a, b = extremes(first, 7, inner), extremes(second, inner, 37)
    a_point, b_points = extremes(first)[()], extremes(second, 37)
    short = {"uint8": "u8", "int8": "i8"}[first]
    with dispatch.using(kernel=f"opencl.matmul_integer.tiled_{tiling}.{short}"):
        y = dispatch.matmul_integer(
            *map(caller.to_device, (a, b, np.asarray(a_point, first), b_points))
        )
    traits = importlib.import_module("kernels.opencl.library").traits_of(caller.queue.device)
    assert launched[-1][1]["DOT"] == str(int(traits.has_dot))
    wide = (a.astype(np.int64) - int(a_point)) @ (b.astype(np.int64) - b_points.astype(np.int64))
    np.testing.assert_array_equal(y.get(), wide)


@each_device
def test_a_librarys_product_is_a_candidate(caller, rng):
    from kernels.opencl import clblast

    if clblast.library() is None:
        pytest.skip(f"{clblast.LIBRARY} is not installed (make test-opencl installs it)")
    a, b = float32(rng, 30, 20), float32(rng, 40, 20)
    given = {"transpose_b": True, "alpha": 0.5}
    with dispatch.using(kernel="opencl.matmul.clblast.f32"):
        y = dispatch.matmul(caller.to_device(a), caller.to_device(b), **given)
        with pytest.raises(dispatch.NoKernel, match="EPILOGUE epilogue and bias: expected none"):
            dispatch.matmul(caller.to_device(a), caller.to_device(b), activation="relu", **given)
    np.testing.assert_allclose(y.get(), 0.5 * (a.astype(np.float64) @ b.T), atol=1e-5)


@each_device
def test_on_a_gpu_the_librarys_product_is_expected_to_be_good_at_large_ones(
    caller, rng, monkeypatch
):
    from kernels.opencl import clblast

    if clblast.library() is None:
        pytest.skip(f"{clblast.LIBRARY} is not installed (make test-opencl installs it)")
    pack = importlib.import_module("kernels.opencl.pack")
    gpu = dataclasses.replace(pack.traits_of(caller.queue.device), is_cpu=False, units=8)
    for module in (pack, clblast):
        monkeypatch.setattr(module, "traits_of", lambda _: gpu)

    def chosen(m, n):
        arrays = caller.to_device(float32(rng, m, 64)), caller.to_device(float32(rng, 64, n))
        return dispatch.explain(dispatch.matmul, *arrays).decision.kernel.name

    assert chosen(512, 512) == "opencl.matmul.clblast.f32"
    assert chosen(1, 2000) == "opencl.matmul.tiled_4x32.f32"
    assert chosen(2000, 1) == "opencl.matmul.tiled_32x4.f32"


def test_a_library_that_isnt_there_is_a_reason(monkeypatch, rng):
    from kernels.opencl import clblast

    monkeypatch.setattr(clblast, "library", lambda: None)
    a = CALLERS[0].to_device(float32(rng, 4, 4))
    explanation = str(dispatch.explain(dispatch.matmul, a, a))
    assert "no, LIBRARY: libclblast.so.1: expected Debian's libclblast1" in explanation
