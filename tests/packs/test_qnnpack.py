"""QNNPACK's pack: what it reads of memory, many runs at a time, and calls that reach it."""

import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import dispatch
import runtime
from bench._machine import ffi, lib
from dispatch.answer import No, NoCode
from dispatch.problem import EpilogueStep
from tests.packs.qnnpack_problems import (
    PROBLEMS,
    addition,
    averaging,
    averaging_all,
    bounded,
    convolution,
    draw,
    output,
    pooling,
    prepared,
    product,
    result,
    serving,
    sharing,
    shuffling,
    transposed,
)

qnnpack = pytest.importorskip("kernels.qnnpack")

IS_ARM = platform.machine() in ("aarch64", "arm64")


@pytest.fixture
def pack(qnnpack_pack):
    return qnnpack_pack


# ---- Answers -------------------------------------------------------------------------------------


def refusal(pack, name, problem):
    (kernel,) = [k for k in pack.kernels if k.name == f"qnnpack.{name}.u8"]
    answer = kernel.query(problem)
    assert isinstance(answer, No)
    return answer


@pytest.mark.parametrize(
    ("name", "problem", "code", "subject"),
    [
        ("qconv2d.implicit_gemm", convolution(constant=False), NoCode.CONSTANT, "w"),
        ("qconv2d.implicit_gemm", convolution(dtype="int8"), NoCode.DTYPE,
         "dtype of the first input"),
        ("qconv2d.implicit_gemm", convolution(result=0.0005), NoCode.QUANTIZATION, "scales"),
        ("qconv2d.gemm", convolution(), NoCode.SHAPE, "w.shape"),
        ("qconv2d.depthwise", convolution(), NoCode.SHAPE, "w.shape"),
        ("qconv2d.implicit_gemm", convolution(channels=8, filters=8, groups=8), NoCode.SHAPE,
         "w.shape"),
        ("qconv2d.depthwise", convolution(channels=8, filters=8, groups=8, size=30, kernel=(1, 25)),
         NoCode.SHAPE, "w.shape"),
        ("qconv2d.depthwise", convolution(channels=20000, filters=20000, groups=20000,
                                          kernel=(5, 5)), NoCode.SHAPE, "x.shape"),
        ("qconv_transpose2d.implicit_gemm", transposed(pads=(0, 0, 2, 0)), NoCode.ATTRIBUTE,
         "pads"),
        ("qadd.fixed_point", addition(scale=3e-5), NoCode.QUANTIZATION, "a"),
        ("qavg_pool2d.direct", averaging(include=False), NoCode.ATTRIBUTE, "pads"),
        ("qavg_pool2d.direct", averaging(channels=20000), NoCode.SHAPE, "x.shape"),
        ("clip.direct", bounded(low=7.0, high=7.0), NoCode.ATTRIBUTE, "maximum"),
        ("channel_shuffle.zip", shuffling(groups=1), NoCode.ATTRIBUTE, "groups"),
        ("channel_shuffle.zip", shuffling(layout="nchw"), NoCode.LAYOUT, "layout"),
        ("qsoftmax.softargmax", sharing(result=1.0 / 255.0), NoCode.QUANTIZATION, "y"),
        ("qsoftmax.softargmax", sharing(layout="nchw"), NoCode.LAYOUT, "layout"),
        ("qsoftmax.softargmax", sharing(axis=3), NoCode.LAYOUT, "layout"),
        ("qsoftmax.softargmax", sharing((2, 4097), layout="nchw"), NoCode.SHAPE, "x.shape"),
        ("max_pool2d.direct", pooling(kernel=(1, 1), pads=(0, 0, 0, 0)), NoCode.ATTRIBUTE,
         "kernel_shape"),
    ],
)  # fmt: skip
def test_what_the_library_gets_wrong_or_cannot_is_refused(pack, name, problem, code, subject):
    answer = refusal(pack, name, problem)
    assert (answer.code, answer.subject) == (code, subject)


def test_depthwise_windows_of_other_than_25_taps_are_right(pack) -> None:
    rng = np.random.default_rng(3)
    for kernel in ((1, 9), (9, 1), (1, 27), (3, 9), (2, 2)):
        problem = convolution(
            channels=11, filters=11, groups=11, size=29, kernel=kernel, strides=(2, 1)
        )
        made, (x, w, bias) = prepared(pack, problem, int(rng.integers(100)))
        real_x = np.pad(x.astype(np.int64) - 120, ((0, 0), (1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(real_x, kernel, axis=(1, 2))[:, ::2]
        sums = np.einsum("nhwcij,cij->nhwc", windows, w[:, 0].astype(np.int64)) + bias
        scales = np.float32(0.04) * np.array(problem.inputs[1].quantization.scales, np.float32)
        real = sums.astype(np.float32) * (scales / np.float32(2.0))
        expected = np.clip(np.rint(real) + 110, 0, 255)
        np.testing.assert_array_equal(result(made, (x, w, bias), problem), expected)


# ---- Memory --------------------------------------------------------------------------------------


def run_script(name: str, **environment: str) -> str:
    """Run a script of this folder, which may crash; the last line that it printed."""
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(name)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, **environment},
    )
    if done.returncode == 127:
        pytest.skip("an emulated process can't start another")
    last = done.stdout.strip().rpartition("\n")[2]
    assert done.returncode == 0, f"status {done.returncode} after {last}\n{done.stderr}"
    return last


def test_it_touches_nothing_beyond_its_buffers(pack) -> None:
    assert run_script("qnnpack_between_guards.py") == "done"


COUNTING = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
static long count;
long allocations(void) { return __atomic_load_n(&count, __ATOMIC_SEQ_CST); }
static void *note(void *p) { __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST); return p; }
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_memalign(size_t, size_t), *__libc_realloc(void *, size_t);
void *malloc(size_t n) { return note(__libc_malloc(n)); }
void *calloc(size_t n, size_t m) { return note(__libc_calloc(n, m)); }
void *aligned_alloc(size_t a, size_t n) { return note(__libc_memalign(a, n)); }
void *memalign(size_t a, size_t n) { return note(__libc_memalign(a, n)); }
/* The same block again isn't an allocation. */
void *realloc(void *p, size_t n) {
  void *q = __libc_realloc(p, n);
  return q == p ? q : note(q);
}
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="counts glibc's allocations")
def test_runs_on_other_addresses_allocate_nothing(pack, compile_library) -> None:
    counting = compile_library("counting", COUNTING)
    assert run_script("qnnpack_allocations.py", LD_PRELOAD=counting) == "done"


# ---- Many runs at a time -------------------------------------------------------------------------


@pytest.mark.parametrize("label", PROBLEMS)
def test_one_prepared_kernel_serves_many_threads(pack, label) -> None:
    problem = PROBLEMS[label]
    made, arrays = prepared(pack, problem)
    rng = np.random.default_rng(1)
    inputs = [draw(rng, problem.inputs[0]) for _ in range(8)]
    expected = [result(made, [x, *arrays[1:]], problem) for x in inputs]

    def work(index):
        y = output(problem)
        for turn in range(60):
            if turn % 10 == 0:
                y = output(problem)  # other memory, which the operators are set up for anew
            y[...] = 77
            made.run([inputs[index], *arrays[1:], y])
            if not np.array_equal(y, expected[index]):
                return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))


LARGE = {
    "gemm": convolution(size=50, kernel=(1, 1), pads=(0, 0, 0, 0)),
    "implicit gemm": convolution(size=30),
    "stem": convolution(channels=3, size=30, pads=(0, 0, 1, 1)),
    "grouped": convolution(channels=24, filters=33, size=30, groups=3),
    "depthwise": convolution(channels=25, filters=25, size=60, groups=25),
    "depthwise 5x5": convolution(25, 25, 40, (5, 5), groups=25, pads=(2, 2, 2, 2)),
    "channels first": convolution(size=30, layout="nchw"),
    "transposed": transposed(size=20),
    "transposed, grouped": transposed(channels=24, filters=33, size=20, groups=3),
    "product": product(300, 50, 61),
    "pool": pooling(channels=50, size=80),
    "sum": addition((1, 33, 60, 61)),
    "average": averaging(channels=50, size=80),
    "global average": averaging_all(channels=100, size=60),
    "bounds": bounded((1, 100, 90, 90)),
    "shuffle": shuffling(channels=120, groups=4, size=60),
    "softmax": sharing((70, 1000), layout="nchw"),
}


@pytest.mark.parametrize("label", LARGE)
@pytest.mark.parametrize("threads", [2, 3, 100])
def test_any_number_of_threads_gives_the_same_bits(pack, label, threads) -> None:
    problem, shared = LARGE[label], replace(LARGE[label], threads=threads)
    kernel = serving(pack, problem)
    assert kernel.query(shared).cost < kernel.query(problem).cost, "the work is divided"
    made, arrays = prepared(pack, problem)
    divided, _ = prepared(pack, shared)
    np.testing.assert_array_equal(result(divided, arrays, problem), result(made, arrays, problem))


def test_work_too_small_to_divide_is_not(pack) -> None:
    problem = convolution(channels=8, size=3)
    kernel = serving(pack, problem)
    assert kernel.query(replace(problem, threads=8)).cost == kernel.query(problem).cost


def test_constants_are_copied_when_it_is_prepared(pack) -> None:
    problem = convolution()
    made, arrays = prepared(pack, problem)
    expected = result(made, arrays, problem)
    lent = [a.copy() for a in arrays]
    made = serving(pack, problem).prepare(problem, [None, *lent[1:]])
    for constant in lent[1:]:
        constant[...] = 99
    np.testing.assert_array_equal(result(made, arrays, problem), expected)


# ---- Through the public functions ----------------------------------------------------------------


def test_eager_calls_reach_it(pack) -> None:
    rng = np.random.default_rng(0)
    x = dispatch.quantized(rng.integers(0, 256, (1, 16, 8, 8)).astype(np.uint8), 0.04, 120)
    w = dispatch.quantized(rng.integers(-128, 128, (8, 16, 3, 3)).astype(np.int8), 0.01, 0)
    call = {"scale": 1.0, "zero_point": 100, "pads": 1, "activation": "relu"}
    results = []
    for name in ("qnnpack", "portable"):
        with dispatch.using(packs=[name]):
            explained = dispatch.explain(dispatch.qconv2d, x, dispatch.constant(w), **call)
            assert explained.decision.kernel.name.startswith(f"{name}.qconv2d.")
            results.append(dispatch.qconv2d(x, dispatch.constant(w), **call).values)
    np.testing.assert_array_equal(*results)
    assert results[0].min() >= 100


def network(x):
    """A small quantised network: stem, depthwise, pointwise, a sum, averages, a product."""
    rng = np.random.default_rng(2)

    def weights(*shape):
        scales = 0.004 + 0.004 * rng.random(shape[0])
        return dispatch.quantized(rng.integers(-127, 128, shape).astype(np.int8), scales, 0, 0)

    y = dispatch.quantize_linear(x, 0.02, 128)
    y = dispatch.qconv2d(
        y, weights(24, 3, 3, 3), scale=0.05, strides=2, pads=(0, 0, 1, 1), activation="relu"
    )
    z = dispatch.qconv2d(y, weights(24, 1, 3, 3), scale=0.06, zero_point=120, pads=1, groups=24)
    z = dispatch.qconv2d(z, weights(24, 24, 1, 1), scale=0.05, zero_point=110)
    y = dispatch.qadd(y, z, scale=0.08, zero_point=100)
    y = dispatch.qglobal_avg_pool2d(y, scale=0.02, zero_point=90)
    return dispatch.dequantize_linear(y)


def test_a_replay_for_the_makers_cpu_runs_it_wherever_it_can(pack, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["dispatch.devices"], "host_family", lambda: "arm")
    x = np.random.default_rng(4).standard_normal((1, 3, 32, 32)).astype(np.float32)
    trace = runtime.trace(network, x)
    replay = trace.compile(device="qualcomm", packs=["qnnpack", "portable"], threads=1)
    kernels = [row.kernel for row in replay.explain().rows]
    assert {k for k in kernels if k.startswith("qnnpack.")} == {
        "qnnpack.qconv2d.implicit_gemm.u8",
        "qnnpack.qconv2d.depthwise.u8",
        "qnnpack.qconv2d.gemm.u8",
        "qnnpack.qadd.fixed_point.u8",
        "qnnpack.qglobal_avg_pool2d.direct.u8",
    }
    exact = trace.compile(packs=["portable"], threads=1)
    for seed in range(3):
        x = np.random.default_rng(seed).standard_normal(x.shape).astype(np.float32)
        # A sum that is one off moves an average by less than a step.
        np.testing.assert_allclose(replay(x), exact(x), rtol=0, atol=0.021)


def test_the_makers_name_of_its_cpu_prefers_it() -> None:
    (device,) = [d for d in dispatch.devices() if d.name == "qualcomm"]
    assert device.packs[0] == "qnnpack"
    assert "portable" in device.packs
    assert device.available == IS_ARM


def test_epilogues_bound_the_output(pack) -> None:
    problem = convolution()
    steps = (EpilogueStep("relu"), EpilogueStep("clip", alpha=-1.0, beta=20.0))
    made, arrays = prepared(pack, problem)
    bounded, _ = prepared(pack, replace(problem, epilogue=steps))
    expected = np.clip(result(made, arrays, problem), 110, 120)
    np.testing.assert_array_equal(result(bounded, arrays, problem), expected)


# ---- Direct calls --------------------------------------------------------------------------------


@pytest.mark.parametrize("label", ["gemm", "implicit gemm", "stem", "depthwise", "product"])
def test_direct_calls_give_the_same_bits(pack, label) -> None:
    prepare = pytest.importorskip("kernels.qnnpack.direct").prepare
    problem = PROBLEMS[label]
    made, arrays = prepared(pack, problem)
    y = output(problem)
    direct = prepare(problem, [*arrays, y])
    seconds = lib.bench_time_calls(
        ffi.cast("bench_function", direct.function), ffi.cast("void *", direct.handle),
        ffi.NULL, ffi.NULL, 1,
    )  # fmt: skip
    assert seconds > 0
    np.testing.assert_array_equal(y, result(made, arrays, problem))
