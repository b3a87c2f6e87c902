"""oneDNN's quantised kernels: what the conformance kit's cases don't reach."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from dispatch.answer import No, NoCode, Yes
from dispatch.errors import PackUnavailable
from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import Quantization, TensorSpec

mkldnn = pytest.importorskip("kernels.mkldnn")

CHANNELS, FILTERS, SIZE = 40, 24, 9
X_SCALE, Y_SCALE = 0.5, 0.25


@pytest.fixture(scope="module")
def pack():
    try:
        opened = mkldnn.pack.open()
    except PackUnavailable as error:
        pytest.skip(str(error))
    if isinstance(kernel(opened, "qconv2d.direct.u8").query(convolution()), No):
        pytest.skip("this processor has no VNNI")
    return opened


def kernel(pack, name):
    (found,) = [k for k in pack.kernels if k.name == f"mkldnn.{name}"]
    return found


def convolution(
    x="uint8", w="int8", y="uint8", x_zero=0, w_zeros=(0,), y_zero=0, constant=True, clip=None,
    scale=0.01, layout="nhwc",
):  # fmt: skip
    axis = -1 if len(w_zeros) == 1 else 0
    scales = tuple(scale * (1 + index / 7) for index in range(len(w_zeros)))
    shape = (1, FILTERS, SIZE, SIZE)
    return Problem(
        operator="qconv2d",
        inputs=(
            TensorSpec(
                x, (1, CHANNELS, SIZE, SIZE), layout,
                quantization=Quantization((X_SCALE,), (x_zero,)),
            ),
            TensorSpec(
                w, (FILTERS, CHANNELS, 3, 3), constant=constant,
                quantization=Quantization(scales, tuple(w_zeros), axis),
            ),
            TensorSpec("int32", (FILTERS,), constant=True),
        ),
        outputs=(TensorSpec(y, shape, layout, quantization=Quantization((Y_SCALE,), (y_zero,))),),
        attributes=(
            ("dilations", (1, 1)), ("groups", 1), ("pads", (1, 1, 1, 1)), ("strides", (1, 1)),
        ),
        epilogue=() if clip is None else (EpilogueStep("clip", -1, *clip),),
        num_operator_inputs=3,
    )  # fmt: skip


def sums(problem, x, w, bias):
    """Return the exact sums in int64, pixels first."""
    (x_zero,), w_zeros = (problem.inputs[i].quantization.zero_points for i in (0, 1))
    padded = np.pad(x.astype(np.int64) - x_zero, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    centred = w.astype(np.int64) - np.reshape(w_zeros, (-1, 1, 1, 1))
    return np.einsum("nhwcij,ocij->nhwo", windows, centred) + bias


def expected(problem, x, w, bias):
    """Requantise as decision 12 has it."""
    y = problem.outputs[0]
    multiplier = (
        np.float32(X_SCALE)
        * np.asarray(problem.inputs[1].quantization.scales, np.float32)
        / np.float32(Y_SCALE)
    )
    whole = np.rint(sums(problem, x, w, bias).astype(np.int32).astype(np.float32) * multiplier)
    info, (zero,) = np.iinfo(y.dtype), y.quantization.zero_points
    low, high = info.min, info.max
    for step in problem.epilogue:
        low = max(low, int(np.rint(np.float32(step.alpha) / np.float32(Y_SCALE))) + zero)
        high = min(high, int(np.rint(np.float32(step.beta) / np.float32(Y_SCALE))) + zero)
    return np.clip(whole + zero, low, high).astype(y.dtype)


def run(chosen, problem, x, w, bias):
    assert isinstance(chosen.query(problem), Yes)
    made = chosen.prepare(problem, [None, w, bias])
    constants = [made.pack(i, v) if made.packed_bytes[i] else v for i, v in ((1, w), (2, bias))]
    y = np.full((1, SIZE, SIZE, FILTERS), 77, problem.outputs[0].dtype)
    made.run([x, *constants, y])
    return y


def operands(problem, seed=1, loud=False):
    rng = np.random.default_rng(seed)

    def values(spec, shape):
        info = np.iinfo(spec.dtype)
        if loud:
            return np.where(rng.random(shape) < 0.9, info.max, info.min).astype(spec.dtype)
        return rng.integers(info.min, info.max + 1, shape).astype(spec.dtype)

    x = values(problem.inputs[0], (1, SIZE, SIZE, CHANNELS))
    w = values(problem.inputs[1], problem.inputs[1].shape)
    return x, w, rng.integers(-5000, 5000, FILTERS).astype(np.int32)


SPREAD = tuple(0 for _ in range(FILTERS))
GIVEN = {
    "u8": {},
    "i8": {"x": "int8", "y": "int8", "x_zero": -3, "y_zero": 5},
    "u8 to i8": {"y": "int8", "x_zero": 200, "y_zero": -7},
    "per channel": {"w_zeros": SPREAD, "x_zero": 7, "y_zero": 31},
    "uint8 weights": {"w": "uint8", "w_zeros": (128,) * FILTERS, "x_zero": 9},
    "clip": {"y_zero": 11, "clip": (-2.1, 40.3)},
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("loud", [False, True], ids=["drawn", "extremes"])
def test_results_are_the_arithmetic_to_the_bit(pack, given, loud):
    problem = convolution(**{"scale": 2e-5 if loud else 0.0004, **given})
    chosen = kernel(pack, f"qconv2d.direct.{'i8' if given.get('x') == 'int8' else 'u8'}")
    given_operands = operands(problem, loud=loud)
    got, wanted = run(chosen, problem, *given_operands), expected(problem, *given_operands)
    assert len(np.unique(wanted)) > 3
    np.testing.assert_array_equal(got, wanted)


def test_ties_are_rounded_to_even_whatever_the_zero_point(pack):
    # Sums of odd numbers by a multiplier of 1/2.
    for y_zero in (0, 1, 2, 101):
        problem = convolution(y_zero=y_zero, scale=0.25)
        x = np.zeros((1, SIZE, SIZE, CHANNELS), np.uint8)
        x[..., 0] = np.arange(SIZE * SIZE).reshape(1, SIZE, SIZE)
        w = np.zeros((FILTERS, CHANNELS, 3, 3), np.int8)
        w[:, 0, 1, 1] = np.arange(FILTERS) % 3 - 1
        bias = np.arange(FILTERS, dtype=np.int32)
        got = run(kernel(pack, "qconv2d.direct.u8"), problem, x, w, bias)
        np.testing.assert_array_equal(got, expected(problem, x, w, bias))


def test_sums_past_two_to_the_24_are_off_by_one_at_most(pack):
    problem = convolution(scale=1e-6, y_zero=3)
    x, w, _ = operands(problem)
    bias = np.random.default_rng(3).integers(-(2**26), 2**26, FILTERS).astype(np.int32)
    got = run(kernel(pack, "qconv2d.direct.u8"), problem, x, w, bias)
    off = np.abs(got.astype(int) - expected(problem, x, w, bias))
    assert off.max() <= 1
    assert len(np.unique(got)) > 5


REFUSED = {
    "zero points of the weights": (
        {"w_zeros": tuple(i % 2 for i in range(FILTERS))},
        NoCode.QUANTIZATION,
        "w's zero points",
    ),
    "uint8 weights that change": (
        {"w": "uint8", "w_zeros": (128,), "constant": False}, NoCode.CONSTANT, "w",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "code", "subject"), REFUSED.values(), ids=REFUSED)
def test_what_isnt_exact_is_refused(pack, given, code, subject):
    answer = kernel(pack, "qconv2d.direct.u8").query(convolution(**given))
    assert isinstance(answer, No)
    assert (answer.code, answer.subject) == (code, subject)


@pytest.mark.parametrize("isa", ["AVX2", "AVX512_CORE"])
def test_sums_of_16_bits_are_refused(pack, isa):
    program = (
        "from tests.packs.test_mkldnn_quantized import convolution, kernel, mkldnn\n"
        "print(kernel(mkldnn.pack.open(), 'qconv2d.direct.u8').query(convolution()).limit)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": isa},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.stdout.strip() == "AVX-512 VNNI for exact sums", found.stderr
