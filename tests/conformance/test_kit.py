"""The kit finds what is wrong with a kernel, and nothing wrong with a right one."""

from __future__ import annotations

import ctypes
import time
from dataclasses import replace

import numpy as np
import pytest

from dispatch.answer import No, NoCode, Yes
from dispatch.conformance import Subject, check_kernels
from dispatch.conformance.hostile import is_consistent
from dispatch.conformance.layouts import from_layout, physical_shape, to_layout
from dispatch.operators import operators
from dispatch.tensor import TensorSpec

from .fake_pack import FakeKernel, plain


def faults(kernel, cases=4, **subject):
    """Return what the kit says of one kernel."""
    summary = check_kernels(Subject("fake", [kernel], **subject), cases)
    (report,) = summary.kernels[:1]
    return [failure.what for failure in report.failures]


@pytest.mark.parametrize(
    "name",
    [
        "fake.relu.plain.f32",
        "fake.relu.plain.i32",
        "fake.add.plain.bf16",
        "fake.conv2d.plain.f32",
        "fake.split.plain.f16",
        "fake.argmax.plain.f32",
        "fake.gather.plain.u8",
        "fake.where.plain.bool",
        "fake.layer_norm.plain.f64",
        "fake.quantize_linear.plain.f32",
        "fake.dequantize_linear.plain.i8",
    ],
)
def test_right_kernel_passes(name):
    assert faults(FakeKernel(name)) == []


@pytest.mark.parametrize("step", [1, 2])
def test_quantised_results_may_be_off_by_one_and_are_counted(step):
    def spoil(prepared, inputs, outputs):
        y = outputs[0].reshape(-1)[-1:]
        y[...] = np.where(y < 100, y + step, y - step)

    kernel = FakeKernel("fake.quantize_linear.plain.f32", spoil=spoil)
    summary = check_kernels(Subject("fake", [kernel]), 4)
    (report,) = summary.kernels
    assert summary.passed == (step == 1)
    # One in each result; some are empty, and some are judged beyond the runs (two threads at once).
    assert report.runs - 20 < report.inexact < 2 * report.runs
    assert report.quantized > 100 * report.inexact


def test_quantised_and_plain_tensors_are_not_taken_for_each_other():
    kernel = FakeKernel("fake.add.plain.u8", answer=lambda problem: Yes(cost=1.0))
    text = " ".join(faults(kernel))
    assert "quantised, which the operator's rule forbids" in text
    kernel = FakeKernel("fake.dequantize_linear.plain.u8", answer=lambda problem: Yes(cost=1.0))
    text = " ".join(faults(kernel))
    for wrong in ("not quantised", "zero point", "scale"):
        assert wrong in text


def test_constants_are_lent_for_one_call():
    def spoil(prepared, inputs, outputs):
        bias = prepared.constants[2]
        if bias is not None:
            outputs[0][...] += bias.reshape(1, -1, 1, 1) - inputs[2].reshape(1, -1, 1, 1)

    text = " ".join(faults(FakeKernel("fake.conv2d.plain.f32", spoil=spoil)))
    assert "elements are wrong" in text


def test_every_layout_is_run():
    def answer(problem):
        if not is_consistent(operators()["relu"], problem):
            return No(NoCode.SHAPE, "shapes", "those that go together")
        layouts = tuple("nChw16c" if t.rank == 4 else "nchw" for t in problem.tensors)
        if any(t.layout == "any" for t in problem.tensors):
            return Yes(cost=1e-6, layouts=layouts)
        return Yes(cost=1e-6)

    summary = check_kernels(Subject("fake", [FakeKernel(answer=answer)]), 4)
    assert summary.passed
    assert summary.kernels[0].layouts == {"nchw", "nhwc", "nChw8c", "nChw16c"}


def _spoil(change):
    return lambda prepared, inputs, outputs: change(prepared, inputs, outputs)


def _off(prepared, inputs, outputs):
    outputs[0].reshape(-1)[-1:] += 1


def _slightly_off(prepared, inputs, outputs):
    outputs[0][...] *= np.float32(1 + 2.0**-18)


def _no_nan(prepared, inputs, outputs):
    np.nan_to_num(outputs[0], copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _unwritten(prepared, inputs, outputs):
    outputs[0].reshape(-1).view(np.uint8)[-4:] = 0xFF


def _beyond(prepared, inputs, outputs):
    ctypes.memset(outputs[0].ctypes.data + outputs[0].nbytes, 0, 1)


def _before(prepared, inputs, outputs):
    ctypes.memset(outputs[0].ctypes.data - 1, 0, 1)


def _input(prepared, inputs, outputs):
    inputs[0][...] = 7


def _raises(prepared, inputs, outputs):
    raise RuntimeError("boom")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_off, "elements are wrong"),
        (_slightly_off, "times the bound"),
        (_no_nan, "of nan"),
        (_unwritten, "got nan"),
        (_beyond, "1 bytes beyond the end of output 0"),
        (_before, "1 bytes before the start of output 0"),
        (_input, "changed input 0"),
        (_raises, "RuntimeError: boom"),
    ],
)
def test_wrong_run_is_found(change, text):
    assert any(
        text in what for what in faults(FakeKernel("fake.exp.plain.f32", spoil=_spoil(change)))
    )


def test_last_bit_of_moved_values_is_found():
    def last_bit(prepared, inputs, outputs):
        outputs[0].reshape(-1).view(np.uint8)[:1] ^= 1

    kernel = FakeKernel("fake.transpose.plain.f32", spoil=_spoil(last_bit))
    assert any("expected exactly" in what for what in faults(kernel))


def test_wrong_integer_is_found():
    assert any(
        "expected exactly" in w for w in faults(FakeKernel("fake.add.plain.i8", spoil=_spoil(_off)))
    )


def test_bool_other_than_0_and_1_is_found():
    def two(prepared, inputs, outputs):
        outputs[0].view(np.uint8)[outputs[0]] = 2

    kernel = FakeKernel("fake.less.plain.f32", spoil=_spoil(two))
    assert any("other than 0 and 1" in what for what in faults(kernel))


def test_padding_of_the_last_block_must_be_zero():
    def dirty(prepared, inputs, outputs):
        if outputs[0].ndim == 5:
            outputs[0][..., -1] = 3

    kernel = FakeKernel(answer=lambda problem: Yes(cost=1e-6), spoil=_spoil(dirty))
    assert any("padding of output 0" in what for what in faults(kernel))


def test_transposed_layout_is_found():
    def swapped(prepared, inputs, outputs):
        if prepared.problem.outputs[0].layout == "nhwc":
            outputs[0][...] = outputs[0][..., ::-1].copy()

    kernel = FakeKernel(answer=lambda problem: Yes(cost=1e-6), spoil=_spoil(swapped))
    assert any("elements are wrong" in what for what in faults(kernel))


def test_overwriting_an_input_that_was_named():
    right = FakeKernel("fake.add.plain.f32", yes=Yes(cost=1e-6, may_overwrite=frozenset({0, 1})))
    assert faults(right) == []

    def reads_late(prepared, inputs, outputs):
        if outputs[0].ctypes.data == inputs[1].ctypes.data and outputs[0].size:
            outputs[0][...] += inputs[1]

    wrong = replace(right, spoil=_spoil(reads_late))
    assert any("over input 1" in what for what in faults(wrong))


def test_absent_input_cannot_be_overwritten():
    kernel = FakeKernel("fake.conv2d.plain.f32", yes=Yes(cost=1e-6, may_overwrite=frozenset({2})))
    assert any("input 2, which is absent" in what for what in faults(kernel))


def test_other_bits_with_two_threads_are_found():
    def depends(prepared, inputs, outputs):
        if prepared.problem.threads > 1:
            outputs[0][...] = np.nextafter(outputs[0], np.float32(np.inf))

    kernel = FakeKernel("fake.exp.plain.f32", spoil=_spoil(depends))
    assert any("other bits" in what for what in faults(kernel))


def test_kernel_that_keeps_state_is_found():
    def shares(prepared, inputs, outputs):
        prepared.shared = outputs[0].copy()
        time.sleep(0.002)
        outputs[0][...] = prepared.shared
        if prepared.runs > 1:
            outputs[0][...] += 1

    kernel = FakeKernel("fake.exp.plain.f32", spoil=_spoil(shares))
    assert any("two threads ran it at once" in what for what in faults(kernel))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (lambda p: No(NoCode.SHAPE, ""), "without saying what"),
        (lambda p: No(99, "x.shape"), "which the catalogue doesn't have"),
        (lambda p: Yes(cost=float("nan")), "expected a cost"),
        (lambda p: Yes(cost=-1.0), "expected a cost"),
        (lambda p: Yes(cost=1.0, layouts=("any", "any")), "expected a concrete layout"),
        (lambda p: Yes(cost=1.0, layouts=("nchw",)), "expected 2 layouts"),
    ],
)
def test_wrong_answer_is_found(answer, text):
    assert any(text in what for what in faults(FakeKernel(answer=answer)))


@pytest.mark.parametrize(("promised", "had"), [(1e-3, 1.5e-3), (1e-3, 1e-2)])
def test_layouts_are_had_at_the_cost_they_were_chosen_at(promised, had):
    def answer(problem):
        open_layouts = any(t.layout == "any" for t in problem.tensors)
        if problem.tensors[0].rank != 4 or not open_layouts:
            return plain(problem) or Yes(cost=had)
        return Yes(cost=promised, layouts=("nchw", "nchw"))

    found = any("then costs" in what for what in faults(FakeKernel(answer=answer)))
    assert found == (had > 2 * promised)


def test_claim_of_determinism_is_held():
    def answer(problem):
        if problem.deterministic:
            return No(NoCode.DETERMINISM, "deterministic")
        return plain(problem) or Yes(cost=1.0)

    assert any("refuses to be" in what for what in faults(FakeKernel(answer=answer)))
    assert faults(FakeKernel(answer=answer, deterministic=False)) == []


def test_high_precision_has_a_wider_bound():
    def answer(problem):
        if problem.precision == "highest":
            return No(NoCode.PRECISION, "precision", "high")
        return plain(problem) or Yes(cost=1.0)

    def tile_error(prepared, inputs, outputs):
        attributes = dict(prepared.problem.attributes)
        (size,) = operators()["conv2d"].magnitude(inputs, attributes, outputs)
        size = np.where(np.isfinite(size), size, 0.0).astype(np.float32)
        outputs[0][...] += np.float32(32 * 2.0**-23) * size

    kernel = FakeKernel("fake.conv2d.fast.f32", answer=answer, spoil=_spoil(tile_error))
    assert faults(kernel) == []
    strict = FakeKernel("fake.conv2d.fast.f32", spoil=_spoil(tile_error))
    assert any("times the bound" in what for what in faults(strict))


def test_hole_of_a_fallback_is_found():
    def answer(problem):
        if problem.outputs[0].size == 0:
            return No(NoCode.SHAPE, "x.shape", "elements")
        return Yes(cost=1.0)

    subject = Subject("fake", [FakeKernel(answer=answer)], fallback=True, operators=["relu", "exp"])
    summary = check_kernels(subject, 2)
    assert not summary.passed
    assert {hole.what.split(".")[0] for hole in summary.holes} == {"relu", "exp"}


def test_codes_are_counted():
    summary = check_kernels(Subject("fake", [FakeKernel()]), 2)
    assert set(summary.kernels[0].codes) == {"LAYOUT"}


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "nChw16c", "nChw8c"])
@pytest.mark.parametrize("channels", [1, 8, 17])
def test_layouts_there_and_back(layout, channels):
    x = np.arange(2 * channels * 12, dtype=np.float32).reshape(2, channels, 3, 4)
    spec = TensorSpec("float32", x.shape, layout)
    stored = to_layout(x, layout)
    assert stored.shape == physical_shape(spec)
    assert stored.nbytes == spec.nbytes
    np.testing.assert_array_equal(from_layout(stored, spec), x)
