"""Quantised arrays and the operators on them, as a caller sees them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.quantization import apply_steps, multipliers
from dispatch.remembered import clear
from dispatch.tensor import Quantization, TensorSpec

RNG = np.random.default_rng(4)


def images(shape=(1, 8, 9, 10), dtype="uint8", scale=0.05, zero_point=None):
    info = np.iinfo(dtype)
    values = RNG.integers(info.min, info.max + 1, shape).astype(dtype)
    return dispatch.quantized(values, scale, info.min + 140 if zero_point is None else zero_point)


def filters(shape=(6, 8, 3, 3), axis=0):
    values = RNG.integers(-128, 128, shape).astype(np.int8)
    if axis is None:
        return dispatch.quantized(values, 0.02)
    return dispatch.quantized(values, RNG.uniform(0.01, 0.03, shape[axis]), 0, axis)


def expected_convolution(x, w, bias, scale, zero_point, dtype="uint8", pads=0):
    """Convolve by float64 products of the exact integers, one pixel at a time."""
    a = x.array.astype(np.int64) - x.quantization.zero_points[0]
    a = np.pad(a, ((0, 0), (0, 0), (pads, pads), (pads, pads)))
    b = w.array.astype(np.int64) - np.reshape(w.zero_point, (-1, 1, 1, 1))
    n, _, height, width = a.shape
    kernel_h, kernel_w = b.shape[2:]
    y = np.empty((n, b.shape[0], height - kernel_h + 1, width - kernel_w + 1), np.int64)
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = a[:, None, :, i : i + kernel_h, j : j + kernel_w]
            y[:, :, i, j] = (window * b).sum((2, 3, 4))
    if bias is not None:
        y += bias.reshape(1, -1, 1, 1)
    m = np.float32(x.scale) * np.asarray(w.scale, np.float32) / np.float32(scale)
    real = y.astype(np.float32) * m.reshape(1, -1, 1, 1)
    info = np.iinfo(dtype)
    return np.clip(np.rint(real) + zero_point, info.min, info.max).astype(dtype)


# ---- The array ----------------------------------------------------------------------------------


def test_array_says_what_it_holds():
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    q = dispatch.quantized(values, 0.1, 3)
    assert (q.shape, q.ndim, q.dtype, q.axis, q.zero_point) == ((2, 3), 2, np.uint8, None, 3)
    assert q.scale == float(np.float32(0.1))
    assert "scale=0.1" in repr(q)
    assert np.shares_memory(q.values, values)
    per_row = dispatch.quantized(values, [0.5, 0.25], [1, 2], axis=-2)
    assert per_row.axis == 0
    np.testing.assert_array_equal(per_row.scale, np.float32([0.5, 0.25]))
    np.testing.assert_array_equal(per_row.zero_point, np.int32([1, 2]))
    assert "2 scales along axis 0" in repr(per_row)


def test_array_cannot_be_changed():
    values = np.zeros(3, np.int8)
    q = dispatch.quantized(values, 1.0)
    for name in ("values", "scale", "quantization", "other"):
        with pytest.raises(AttributeError):
            setattr(q, name, 1)
    with pytest.raises(AttributeError):
        del q.array
    with pytest.raises(ValueError, match="read-only"):
        q.values[0] = 1
    values[0] = 1  # the caller's own array isn't frozen


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"scale": 0.0}, "scale: expected finite float32 numbers above 0, got 0.0"),
        ({"scale": -1.0}, "scale: expected finite"),
        ({"scale": float("nan")}, "scale: expected finite"),
        ({"scale": float("inf")}, "scale: expected finite"),
        ({"scale": 1e39}, "scale: expected finite"),
        ({"scale": 1e-50}, "scale: expected finite"),
        ({"scale": "1"}, "scale: expected numbers"),
        ({"scale": None}, "scale: expected numbers"),
        ({"scale": [1.0, 2.0]}, "scale: expected one number as there is no axis"),
        ({"scale": [1.0], "axis": 1}, "scale: expected 3 numbers, one for each index of axis 1"),
        ({"scale": 1.0, "axis": 1}, "scale: expected 3 numbers"),
        ({"scale": [1.0] * 3, "axis": 2}, "axis: expected an axis from -2 to 1, got 2"),
        ({"scale": [1.0] * 3, "axis": 1, "zero_point": [1, 2]}, "zero_point: expected 3 numbers"),
        ({"scale": 1.0, "zero_point": 256}, "zero_point: expected from 0 to 255 for uint8"),
        ({"scale": 1.0, "zero_point": -1}, "zero_point: expected from 0 to 255"),
        ({"scale": 1.0, "zero_point": 0.5}, "zero_point: expected integers"),
    ],
)
def test_wrong_parameters_are_named(arguments, text):
    with pytest.raises(InvalidArgument) as caught:
        dispatch.quantized(np.zeros((2, 3), np.uint8), **arguments)
    assert str(caught.value).startswith("quantized: ")
    assert text in str(caught.value)


def test_zero_points_keep_to_the_dtype():
    assert dispatch.quantized(np.zeros(2, np.int8), 1.0, -128).zero_point == -128
    with pytest.raises(InvalidArgument, match="from -128 to 127 for int8, got 128"):
        dispatch.quantized(np.zeros(2, np.int8), 1.0, 128)
    with pytest.raises(InvalidArgument, match="from 0 to 0 for int32"):
        dispatch.quantized(np.zeros(2, np.int32), 1.0, 1)


@pytest.mark.parametrize("dtype", ["float32", "int16", "int64", "bool"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(UnsupportedDtype, match=f"uint8, int8 or int32 .sums., got {dtype}"):
        dispatch.quantized(np.zeros(2, dtype), 1.0)


# ---- quantize_linear and dequantize_linear ------------------------------------------------------


def test_halves_go_to_the_even_one():
    x = np.float32([0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 126.5, 127.5])
    q = dispatch.quantize_linear(x, 1.0, 0, dtype="int8")
    assert q.values.tolist() == [0, 2, 2, 0, -2, -2, 126, 127]
    # With an odd zero point too: halves are rounded before it is added.
    q = dispatch.quantize_linear(x, 1.0, 101)
    assert q.values.tolist() == [101, 103, 103, 101, 99, 99, 227, 229]


@pytest.mark.parametrize(("dtype", "zero"), [("uint8", 0), ("uint8", 255), ("int8", -128)])
def test_quantising_saturates(dtype, zero):
    info = np.iinfo(dtype)
    x = np.float32([np.inf, -np.inf, 3e38, -3e38, 0.0])
    q = dispatch.quantize_linear(x, 1e-3, zero, dtype=dtype)
    assert q.values.tolist() == [info.max, info.min, info.max, info.min, zero]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=300),
    st.floats(2.0**-100, 2.0**100, width=32),
    st.integers(0, 255),
    st.booleans(),
)
def test_stored_values_survive_a_round_trip(values, scale, zero, is_signed):
    dtype = "int8" if is_signed else "uint8"
    shift = -128 if is_signed else 0
    stored = (np.array(values) + shift).astype(dtype)
    q = dispatch.quantized(stored, scale, zero + shift)
    real = q.dequantize()
    assert real.dtype == np.float32
    again = dispatch.quantize_linear(real, scale, zero + shift, dtype=dtype)
    np.testing.assert_array_equal(again.values, stored)
    assert again.quantization == q.quantization


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-(2.0**20), 2.0**20, width=32), min_size=1, max_size=100),
    st.floats(2.0**-10, 2.0**10, width=32),
    st.integers(-128, 127),
)
def test_quantising_is_what_the_decision_says(values, scale, zero):
    x = np.float32(values)
    q = dispatch.quantize_linear(x, scale, zero, dtype="int8")
    wanted = np.clip(np.rint(x / np.float32(scale)).astype(np.float64) + zero, -128, 127)
    np.testing.assert_array_equal(q.values, wanted.astype(np.int8))


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_scales_along_an_axis(axis):
    x = RNG.uniform(-4, 4, (3, 5, 18)).astype(np.float32)
    count = x.shape[axis]
    scales, points = np.linspace(0.01, 0.06, count), np.arange(count) * 3
    q = dispatch.quantize_linear(x, scales, points, axis=axis)
    shape = [1, 1, 1]
    shape[axis] = count
    s, z = scales.astype(np.float32).reshape(shape), points.reshape(shape)
    wanted = np.clip(np.rint(x / s) + z, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(q.values, wanted)
    np.testing.assert_array_equal(
        q.dequantize(), ((wanted.astype(np.int32) - z).astype(np.float32) * s)
    )


def test_dequantising_sums():
    values = np.int32([0, 1, -1, 2**31 - 1, -(2**31)])
    got = dispatch.dequantize_linear(dispatch.quantized(values, 0.5))
    np.testing.assert_array_equal(got, values.astype(np.float32) * np.float32(0.5))


# ---- Products -----------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, None])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_convolution_is_exact(dtype, axis):
    x, w = images(dtype=dtype), filters(axis=axis)
    bias = RNG.integers(-9000, 9000, 6).astype(np.int32)
    zero = np.iinfo(dtype).min + 117
    with dispatch.using(packs=("portable",)):
        y = dispatch.qconv2d(x, w, bias, scale=0.4, zero_point=zero, pads=1)
    assert isinstance(y, dispatch.QuantizedArray)
    assert (y.scale, y.zero_point, y.dtype) == (float(np.float32(0.4)), zero, np.dtype(dtype))
    wanted = expected_convolution(x, w, bias, 0.4, zero, dtype, pads=1)
    np.testing.assert_array_equal(y.values, wanted)


def test_padding_is_zero_and_not_the_stored_zero():
    x = dispatch.quantized(np.full((1, 1, 3, 3), 200, np.uint8), 1.0, 200)
    w = dispatch.quantized(np.ones((1, 1, 3, 3), np.int8), 1.0)
    y = dispatch.qconv2d(x, w, scale=1.0, zero_point=7, pads=1)
    np.testing.assert_array_equal(y.values, np.full((1, 1, 3, 3), 7))


@pytest.mark.parametrize("a_dtype", ["uint8", "int8"])
@pytest.mark.parametrize("b_dtype", ["uint8", "int8"])
def test_extremes_do_not_saturate_on_the_way(a_dtype, b_dtype):
    a_info, b_info = np.iinfo(a_dtype), np.iinfo(b_dtype)
    k = 256
    for a_value, a_zero in ((a_info.max, a_info.min), (a_info.min, a_info.max)):
        for b_value, b_zero in ((b_info.max, b_info.min), (b_info.min, b_info.max)):
            a = dispatch.quantized(np.full((5, k), a_value, a_dtype), 1.0, a_zero)
            b = dispatch.quantized(np.full((k, 17), b_value, b_dtype), 1.0, b_zero)
            total = (int(a_value) - int(a_zero)) * (int(b_value) - int(b_zero)) * k
            with dispatch.using(packs=("portable",)):
                y = dispatch.qmatmul(a, b, scale=abs(total) / 100, dtype="int8")
            np.testing.assert_array_equal(y.values, np.full((5, 17), np.sign(total) * 100))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 70),
    st.integers(0, 255),
    st.integers(-128, 127),
    st.integers(0, 2**32 - 1),
)
def test_product_is_exact(m, n, k, a_zero, b_zero, seed):
    rng = np.random.default_rng(seed)
    a = dispatch.quantized(rng.integers(0, 256, (m, k)).astype(np.uint8), 0.03, a_zero)
    b = dispatch.quantized(rng.integers(-128, 128, (k, n)).astype(np.int8), 0.01, b_zero)
    sums = (a.array.astype(np.int64) - a_zero) @ (b.array.astype(np.int64) - b_zero)
    m32 = multipliers(a.quantization, b.quantization, Quantization((0.25,), (9,)))
    wanted = np.clip(np.rint(sums.astype(np.float32) * m32) + 9, 0, 255)
    with dispatch.using(packs=("portable",)):
        y = dispatch.qmatmul(a, b, scale=0.25, zero_point=9)
    np.testing.assert_array_equal(y.values, wanted.astype(np.uint8))


def test_sums_are_exact_modulo_two_to_the_32():
    """The products never leave int32 where they are served; with the bias they may."""
    k, bias = 33025, 100000
    a = dispatch.quantized(np.full((1, k), 255, np.uint8), 1.0)
    b = dispatch.quantized(np.full((k, 1), 255, np.uint8), 1.0)
    sum_ = (255 * 255 * k + bias + 2**31) % 2**32 - 2**31
    assert sum_ < 0
    with dispatch.using(packs=("portable",)):
        y = dispatch.qmatmul(a, b, np.array([bias], np.int32), scale=2.0**24, dtype="int8")
    assert y.values[0, 0] == np.rint(np.float32(sum_) * np.float32(2.0**-24))


def test_relu_and_clip_bound_the_real_result():
    x, w = images(), filters()
    plain = dispatch.qconv2d(x, w, scale=0.4, zero_point=90).values
    relu = dispatch.qconv2d(x, w, scale=0.4, zero_point=90, activation="relu").values
    np.testing.assert_array_equal(relu, np.maximum(plain, 90))
    clip = dispatch.qconv2d(x, w, scale=0.4, zero_point=90, activation=("clip", -3.0, 6.0)).values
    scale = np.float32(0.4)
    low, high = (90 + int(np.rint(np.float32(bound) / scale)) for bound in (-3.0, 6.0))
    np.testing.assert_array_equal(clip, np.clip(plain, low, high))
    assert clip.min() == low and clip.max() == high


def test_bounds_of_steps():
    spec = TensorSpec("int8", (2,), quantization=Quantization((0.5,), (-10,)))
    relu = dispatch.EpilogueStep("relu")
    clip = dispatch.EpilogueStep("clip", -1, -1.25, 1e9)
    stored = np.int8([-128, -12, -10, 0, 127])
    assert apply_steps(stored, (clip,), spec).tolist() == [-12, -12, -10, 0, 127]
    assert apply_steps(stored, (clip, relu), spec).tolist() == [-10, -10, -10, 0, 127]


@pytest.mark.parametrize("activation", ["sigmoid", "silu", "leaky_relu", "linear"])
def test_other_activations_are_refused(activation):
    with pytest.raises(InvalidArgument, match=f"expected one of relu, clip, got {activation}"):
        dispatch.qconv2d(images(), filters(), scale=1.0, activation=activation)


WRONG = [
    (lambda x, w: dispatch.qconv2d(x.values, w, scale=1.0), "x: expected a quantised array"),
    (lambda x, w: dispatch.qconv2d(x, w.values, scale=1.0), "w: expected a quantised array"),
    (lambda x, w: dispatch.qconv2d(x, w, scale=0.0), "scale: expected finite"),
    (lambda x, w: dispatch.qconv2d(x, w, scale=1.0, zero_point=300), "zero_point: expected from 0"),
    (lambda x, w: dispatch.qconv2d(x, w, scale=1e37), "normal float32"),
    (lambda x, w: dispatch.qconv2d(x, w, scale=1.0, pads=-1), "pads: expected at least 0"),
    (lambda x, w: dispatch.qconv2d(x, w, scale=[1.0] * 6), "scale: expected one number"),
    (
        lambda x, w: dispatch.qconv2d(x, filters(axis=1), scale=1.0),
        "w: expected one scale, or scales along axis 0, got axis 1",
    ),
    (
        lambda x, w: dispatch.qconv2d(dispatch.quantized(x.array, [0.1] * 8, 0, 1), w, scale=1.0),
        "x: expected one scale, got axis 1",
    ),
    (
        lambda x, w: dispatch.qconv2d(
            x, w, dispatch.quantized(np.zeros(6, np.int32), 1.0), scale=1.0
        ),
        "bias: expected a plain array, got a quantised one",
    ),
    (
        lambda x, w: dispatch.qconv2d(x, w, np.zeros(5, np.int32), scale=1.0),
        "bias: expected shape (6,)",
    ),
    (
        lambda x, w: dispatch.qconv_transpose2d(x, filters(axis=0), scale=1.0),
        "w: expected 8 channels as x has, got 6",
    ),
    (
        lambda x, w: dispatch.qsoftmax(
            dispatch.quantized(x.array, [0.1] * 8, 0, 1), scale=1.0 / 256.0
        ),
        "x: expected one scale, got axis 1",
    ),
    (lambda x, w: dispatch.qsoftmax(x, 4, scale=1.0), "axis: expected an axis from -4 to 3, got 4"),
    (lambda x, w: dispatch.channel_shuffle(x, 2), "x: expected a plain array"),
    (lambda x, w: dispatch.conv2d(x, w), "conv2d: x: expected a plain array"),
    (lambda x, w: dispatch.add(x, x), "add: a: expected a plain array, got a quantised one"),
    (lambda x, w: dispatch.reshape(x, (-1,)), "reshape: x: expected a plain array"),
    (lambda x, w: dispatch.dequantize_linear(x.values), "x: expected a quantised array"),
]


@pytest.mark.parametrize(("function", "text"), WRONG)
def test_wrong_arguments_are_named(function, text):
    with pytest.raises(InvalidArgument) as caught:
        function(images(), filters())
    assert text in str(caught.value)


def test_wrong_dtypes_are_named():
    x, w = images(), filters()
    with pytest.raises(UnsupportedDtype, match="bias: expected dtype int32, got float32"):
        dispatch.qconv2d(x, w, np.zeros(6, np.float32), scale=1.0)
    with pytest.raises(UnsupportedDtype, match="dtype: expected uint8 or int8, got 'int32'"):
        dispatch.qconv2d(x, w, scale=1.0, dtype="int32")
    sums = dispatch.quantized(np.zeros((1, 8, 9, 10), np.int32), 1.0)
    with pytest.raises(UnsupportedDtype, match="x: expected dtype uint8 or int8, got int32"):
        dispatch.qconv2d(sums, w, scale=1.0)


def test_transposed_convolution_in_small():
    x = dispatch.quantized(np.uint8([[[[3, 1]]]]), 0.5, 1)
    w = dispatch.quantized(np.int8([[[[2, -4, 1]], [[0, 1, 3]]]]), [0.25, 1.0], 0, axis=1)
    y = dispatch.qconv_transpose2d(
        x, w, np.int32([8, 0]), scale=0.5, zero_point=10, dtype="int8", strides=(1, 2)
    )
    # (3 - 1) * w, then two columns on (1 - 1) * w; a sum counts 0.5 * 0.25 or 0.5 * 1.0.
    assert y.values[0, 0, 0].tolist() == [13, 10, 12, 12, 12]
    assert y.values[0, 1, 0].tolist() == [10, 12, 16, 10, 10]


def test_softmax_in_small():
    x = dispatch.quantized(np.uint8([[4, 4, 4, 4], [9, 9, 0, 0]]), 3.0, 4)
    y = dispatch.qsoftmax(x, scale=1.0 / 256.0)
    assert y.values.tolist() == [[64] * 4, [128, 128, 0, 0]]
    # All of it is more than 255; half of a step goes to the even number.
    one = dispatch.quantized(np.uint8([[7], [0]]), 3.0, 4)
    assert dispatch.qsoftmax(one, scale=1.0 / 256.0).values.tolist() == [[255], [255]]
    even = dispatch.qsoftmax(x, scale=1.0 / 2.0, zero_point=-7, dtype="int8")
    assert even.values.tolist() == [[-7] * 4, [-6, -6, -7, -7]]


# ---- The call -----------------------------------------------------------------------------------


def test_constants_keep_their_quantisation():
    x, w = images(), filters()
    plain = dispatch.qconv2d(x, w, scale=0.4, zero_point=117)
    held = dispatch.constant(w)
    assert held.quantization == w.quantization
    for _ in range(2):
        got = dispatch.qconv2d(x, held, scale=0.4, zero_point=117)
        np.testing.assert_array_equal(got.values, plain.values)
    problem = dispatch.explain(dispatch.qconv2d, x, held, scale=0.4).decision.problem
    assert problem.inputs[1].constant and problem.inputs[1].quantization == w.quantization


def test_a_constant_is_a_copy():
    values = np.ones((4, 3), np.int8)
    held = dispatch.constant(dispatch.quantized(values, 1.0))
    values[...] = 9
    a = dispatch.quantized(np.ones((2, 4), np.uint8), 1.0)
    assert (dispatch.qmatmul(a, held, scale=1.0).values == 4).all()


@pytest.mark.parametrize(
    "change",
    [
        {"x_scale": 0.1},
        {"x_zero": 3},
        {"w_scale": 0.04},
        {"w_zero": 5},
        {"scale": 0.8},
        {"zero_point": 30},
        {"dtype": "int8", "zero_point": 10},
    ],
)
def test_calls_that_differ_in_quantisation_alone_are_kept_apart(change):
    def run(x_scale=0.05, x_zero=140, w_scale=0.02, w_zero=0, **output):
        x = dispatch.quantized(pixels, x_scale, x_zero)
        w = dispatch.quantized(weights, w_scale, w_zero)
        return dispatch.qmatmul(x, w, **{"scale": 0.4, "zero_point": 117, **output}).values.copy()

    pixels = RNG.integers(0, 256, (7, 20)).astype(np.uint8)
    weights = RNG.integers(-128, 128, (20, 9)).astype(np.int8)
    first, changed = run(), run(**change)
    clear()
    np.testing.assert_array_equal(changed, run(**change))
    assert not np.array_equal(first, changed)


def test_out_takes_the_stored_values():
    x, w = images(), filters()
    wanted = dispatch.qconv2d(x, w, scale=0.4, zero_point=117)
    out = np.zeros(wanted.shape, np.uint8)
    got = dispatch.qconv2d(x, w, scale=0.4, zero_point=117, out=out)
    assert np.shares_memory(got.values, out)
    assert out.flags.writeable
    np.testing.assert_array_equal(out, wanted.values)
    strided = np.zeros((*wanted.shape[:-1], 2 * wanted.shape[-1]), np.uint8)[..., ::2]
    dispatch.qconv2d(x, w, scale=0.4, zero_point=117, out=strided)
    np.testing.assert_array_equal(strided, wanted.values)
    with pytest.raises(UnsupportedDtype, match="out: expected dtype uint8, got int8"):
        dispatch.qconv2d(x, w, scale=0.4, zero_point=117, out=out.view(np.int8))
    with pytest.raises(InvalidArgument, match="out: expected an array, got QuantizedArray"):
        dispatch.qconv2d(x, w, scale=0.4, zero_point=117, out=wanted)


def test_arrays_that_are_not_dense():
    x, w = images((1, 8, 9, 20)), filters()
    every_second = dispatch.quantized(x.array[..., ::2], x.scale, x.zero_point)
    dense = dispatch.quantized(x.array[..., ::2].copy(), x.scale, x.zero_point)
    np.testing.assert_array_equal(
        dispatch.qconv2d(every_second, w, scale=0.4).values,
        dispatch.qconv2d(dense, w, scale=0.4).values,
    )


def test_explanation_and_problem_carry_the_quantisation():
    explanation = dispatch.explain(
        dispatch.qconv2d, images(), filters(), scale=0.4, zero_point=117, activation="relu"
    )
    problem = explanation.decision.problem
    assert problem.outputs[0].quantization == Quantization((float(np.float32(0.4)),), (117,))
    assert dict(problem.attributes).keys() == {"strides", "pads", "dilations", "groups"}
    assert dispatch.Problem.from_json(problem.to_json()) == problem
    assert "u8[1,8,9,10]{0.05,140}" in str(explanation)
    assert "i8[6,8,3,3]{6 scales, axis 0}" in str(explanation)
    assert "portable.qconv2d.gemm.u8" in str(explanation)


def test_other_libraries_arrays():
    torch = pytest.importorskip("torch")
    x, w = images(), filters()
    wanted = dispatch.qconv2d(x, w, scale=0.4, zero_point=117)
    tensor = dispatch.quantized(torch.from_numpy(x.array.copy()), x.scale, x.zero_point)
    got = dispatch.qconv2d(tensor, w, scale=0.4, zero_point=117)
    assert isinstance(got.values, torch.Tensor)
    np.testing.assert_array_equal(got.values.numpy(), wanted.values)
    assert isinstance(got.dequantize(), torch.Tensor)
    out = torch.zeros(wanted.shape, dtype=torch.uint8)
    assert dispatch.qconv2d(tensor, w, scale=0.4, zero_point=117, out=out).values is out
    np.testing.assert_array_equal(out.numpy(), wanted.values)


def test_arrays_are_plain_data_to_other_processes():
    q = dispatch.quantized(np.arange(3, dtype=np.uint8), 0.5, 1)
    again = pickle.loads(pickle.dumps(q))
    np.testing.assert_array_equal(again.values, q.values)
    assert again.quantization == q.quantization


@pytest.mark.parametrize(
    ("dtype", "zero", "most"), [("uint8", 0, 33025), ("uint8", 128, 65793), ("int8", 0, 131071)]
)
def test_sums_that_could_overflow_are_refused(dtype, zero, most):
    """At 255 or 128 from the zero point, times 255 or 128."""
    points = {"uint8": (0, zero), "int8": (0, 0)}[dtype]

    def product(count):
        a, b = (
            dispatch.quantized(np.zeros(shape, dtype), 0.1, point)
            for shape, point in zip(((1, count), (count, 1)), points, strict=True)
        )
        return dispatch.qmatmul(a, b, scale=0.1)

    product(most)
    with pytest.raises(InvalidArgument, match=rf"a: expected at most {most} products .* overflow"):
        product(most + 1)
    wide = dispatch.quantized(np.zeros((1, 1200, 6, 6), dtype), 0.1, points[0])
    filters = dispatch.quantized(np.zeros((1, 1200, 6, 6), dtype), 0.1, points[1])
    if most < 1200 * 36:
        with pytest.raises(InvalidArgument, match="products in a sum, got 43200"):
            dispatch.qconv2d(wide, filters, scale=0.1)
    else:
        dispatch.qconv2d(wide, filters, scale=0.1)
