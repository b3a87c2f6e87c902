"""Quantised tensors in traces, plans and files, and the integers that real operators become."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from dispatch import InvalidArgument
from dispatch.operators import operators
from runtime.passes.pipeline import prepare
from runtime.safetensors import read, write
from runtime.tracer import Tracer

RNG = np.random.default_rng(20261124)


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Give each test the same numbers whatever ran before."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


def real(*shape: int) -> Any:
    """Return the same values whatever ran before."""
    rng = np.random.default_rng([20261124, *shape])
    return rng.standard_normal(shape).astype(np.float32)


def integers(*shape: int, axis: int | None = None) -> Any:
    """Return constant signed weights, with a scale for each index of an axis."""
    values = RNG.integers(-127, 128, shape).astype(np.int8)
    scale = 0.01 if axis is None else 0.005 + 0.01 * RNG.random(shape[axis])
    return dispatch.quantized(values, scale, 0, axis)


def rounded(x: Any, scale: float = 0.03, zero_point: int = 120, dtype: str = "uint8") -> Any:
    """Quantise and dequantise: what an exporter writes around an operator."""
    return dispatch.dequantize_linear(dispatch.quantize_linear(x, scale, zero_point, dtype=dtype))


def operators_of(trace: Any) -> list[str]:
    return [node.operator for node in prepare(trace.graph).nodes]


# ---- Traces --------------------------------------------------------------------------------------


def network(x: Any) -> Any:
    """Every kind of quantised value: from real ones, constants, plain integers, other operators."""
    y = dispatch.qconv2d(
        dispatch.quantize_linear(x, 0.02, 128),
        FILTERS,
        BIAS,
        scale=0.1,
        zero_point=3,
        pads=1,
        activation="relu",
    )
    pooled = dispatch.quantized(dispatch.max_pool2d(y.values, 2, strides=2), 0.1, 3)
    mean = dispatch.qglobal_avg_pool2d(pooled, scale=0.05, zero_point=0)
    return dispatch.qadd(pooled, mean, scale=0.1, zero_point=4), pooled.dequantize()


FILTERS = integers(19, 3, 3, 3, axis=0)
BIAS = RNG.integers(-99, 99, 19).astype(np.int32)


def test_a_replay_is_what_the_function_is(tmp_path: Path) -> None:
    x = real(2, 3, 9, 11)
    stored, plain = network(x)
    trace = runtime.trace(network, x)
    trace.save(tmp_path / "quantised.safetensors", plans={"here": trace.compile()})
    for made in (trace, runtime.load(tmp_path / "quantised.safetensors")):
        replay = made.compile()
        for shape in (x.shape, (1, 3, 6, 4)):
            given = x if shape == x.shape else real(*shape)
            stored, plain = network(given)
            got, also = replay(given)
            np.testing.assert_array_equal(got.array, stored.array)
            assert got.quantization == stored.quantization
            np.testing.assert_array_equal(also, plain)
    # What only says what integers stand for runs nothing.
    ran = [option.kernel.name.split(".")[1] for option in trace.compile().plan().options]
    assert not {"as_quantized", "as_stored"} & set(ran)
    assert {"qconv2d", "max_pool2d", "qglobal_avg_pool2d", "qadd"} <= set(ran)


def test_inputs_and_constants_keep_their_meaning(tmp_path: Path) -> None:
    example = dispatch.quantized(np.ones((2, 4), np.uint8), 0.5, 1)
    weights = dispatch.constant(integers(4, 5, axis=1))

    def multiply(a: Any) -> Any:
        return dispatch.qmatmul(a, weights, scale=0.1, zero_point=9)

    trace = runtime.trace(multiply, example)
    trace.save(tmp_path / "trace.safetensors")
    for made in (trace, runtime.load(tmp_path / "trace.safetensors")):
        replay = made.compile()
        given = dispatch.quantized(RNG.integers(0, 256, (2, 4)).astype(np.uint8), 0.5, 1)
        want = multiply(given)
        for argument in (given, dispatch.constant(given)):
            got = replay(argument)
            np.testing.assert_array_equal(got.array, want.array)
            assert got.quantization == want.quantization
        assert replay.profile(given, repeats=1).rows
        for wrong, text in (
            (given.array, "expected a quantised array of {0.5,1}, got a plain one"),
            (dispatch.quantized(given.array, 0.25, 1), "got {0.25,1}"),
        ):
            with pytest.raises(InvalidArgument, match=text.replace("{", r"\{")):
                replay(wrong)
    plain = runtime.trace(lambda x: dispatch.relu(x), np.ones(3, np.float32)).compile()
    with pytest.raises(InvalidArgument, match="x: expected a plain array, got a quantised one"):
        plain(example)


def test_a_quantised_value_is_no_plain_one() -> None:
    def add(x: Any) -> Any:
        return dispatch.quantize_linear(x, 0.1) + dispatch.quantize_linear(x, 0.1)

    with pytest.raises(InvalidArgument, match="expected a plain array, got a quantised one"):
        runtime.trace(add, real(3))


def test_constants_that_differ_in_meaning_stay_apart() -> None:
    values = np.arange(16, dtype=np.int8).reshape(4, 4)
    one, other = (dispatch.quantized(values, scale) for scale in (0.5, 0.25))

    def multiply(a: Any) -> Any:
        q = dispatch.quantize_linear(a, 0.1, 128)
        return tuple(dispatch.qmatmul(q, w, scale=0.5).dequantize() for w in (one, other))

    x = real(2, 4)
    for got, want in zip(runtime.trace(multiply, x).compile()(x), multiply(x), strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda g: g["quantizations"].update(nobody=first(g)), "no constant 'nobody'"),
        (lambda g: first(g).update(scales=[0.0] * 5), "finite float32 numbers above 0"),
        (lambda g: first(g).update(axis=7), "axis"),
        (lambda g: first(g).update(zero_points=[1.5]), "whole zero points"),
        (lambda g: first(g).update(zero_points=[300] * 5), "from -128 to 127"),
        (lambda g: first(g).update(scales=[1.0, 2.0]), "expected 5 scales"),
        (lambda g: g["quantizations"].clear(), "quantised"),
    ],
)
def test_lies_about_meaning_are_named(
    tmp_path: Path, change: Callable[[Any], Any], text: str
) -> None:
    weights = dispatch.constant(integers(4, 5, axis=1))
    example = dispatch.quantized(np.ones((2, 4), np.uint8), 0.5, 1)
    path = tmp_path / "trace.safetensors"
    runtime.trace(lambda a: dispatch.qmatmul(a, weights, scale=0.1), example).save(path)
    tensors, metadata = read(path)
    graph = json.loads(metadata["trace"])
    change(graph)
    write(path, tensors, {"trace": json.dumps(graph)})
    with pytest.raises(runtime.ArtifactError, match=text):
        runtime.load(path)


def first(graph: Any) -> Any:
    return next(iter(graph["quantizations"].values()))


# ---- Integers in the place of real operators ---------------------------------------------------

W = integers(8, 4, 3, 3, axis=0)
DEPTHWISE = integers(4, 1, 3, 3)
COLUMNS = integers(12, 6, axis=1)
ROWS = integers(6, 12, axis=0)
SUMS = dispatch.quantized(
    RNG.integers(-500, 500, 8).astype(np.int32), np.float32(0.03) * W.scale, axis=0
)
TRANSPOSED = integers(4, 6, 3, 2, axis=1)
GROUPED_SUMS = dispatch.quantized(
    RNG.integers(-500, 500, 12).astype(np.int32),
    np.tile(np.float32(0.03) * TRANSPOSED.scale, 2),
    axis=0,
)
FLOATS = real(8)
IMAGE = (2, 4, 9, 10)


def conv(x: Any, bias: Any = None, weights: Any = W, **settings: Any) -> Any:
    return dispatch.conv2d(rounded(x), written(x, weights), bias, **settings)


def written(x: Any, constant: Any) -> Any:
    """Dequantise a constant by a node, as importers of models do, not while tracing."""
    if isinstance(x, Tracer):
        return x.recorder.record(operators()["dequantize_linear"], (constant,), {}, ())
    return constant.dequantize()


def hard_swish(x: Any) -> Any:
    return x * dispatch.clip(x + 3.0, 0.0, 6.0) / 6.0


CASES: dict[str, tuple[Callable[[Any], Any], tuple[int, ...], set[str]]] = {
    "conv": (conv, IMAGE, {"qconv2d"}),
    "conv, bias": (lambda x: conv(x, written(x, SUMS), pads=1), IMAGE, {"qconv2d"}),
    "conv, real bias": (lambda x: conv(x, FLOATS, strides=2), IMAGE, {"qconv2d"}),
    "conv, relu": (lambda x: dispatch.relu(conv(x)), IMAGE, {"qconv2d"}),
    "conv, bounds": (lambda x: dispatch.clip(conv(x), -0.5, 1.0), IMAGE, {"qconv2d"}),
    "depthwise": (lambda x: conv(x, weights=DEPTHWISE, groups=4, pads=1), IMAGE, {"qconv2d"}),
    "transposed conv": (
        lambda x: dispatch.conv_transpose2d(
            rounded(x), written(x, TRANSPOSED), FLOATS[:6], strides=2
        ),
        IMAGE,
        {"qconv_transpose2d"},
    ),
    "transposed conv, grouped, relu": (
        lambda x: dispatch.relu(
            dispatch.conv_transpose2d(
                rounded(x), written(x, TRANSPOSED), written(x, GROUPED_SUMS), strides=2, groups=2
            )
        ),
        IMAGE,
        {"qconv_transpose2d"},
    ),
    "matmul": (
        lambda x: dispatch.matmul(rounded(x), written(x, COLUMNS)), (3, 5, 12), {"qmatmul"}
    ),
    "matmul, transposed": (
        lambda x: dispatch.matmul(rounded(x), written(x, ROWS), FLOATS[:6], transpose_b=True),
        (5, 12),
        {"qmatmul"},
    ),
    "weights of one scale": (
        lambda x: dispatch.matmul(
            rounded(x), written(x, WEIGHTS)
        ),
        (5, 12),
        {"qmatmul"},
    ),
    "add, relu": (
        lambda x: dispatch.relu(rounded(x) + rounded(x, 0.02, 100)), IMAGE, {"qadd"}
    ),
    "mul of a gate": (
        lambda x: rounded(x) * rounded(dispatch.global_avg_pool2d(rounded(x)), 0.01, 3),
        IMAGE,
        {"qglobal_avg_pool2d", "qmul"},
    ),
    "softmax": (lambda x: dispatch.softmax(rounded(x), axis=1), IMAGE, {"qsoftmax"}),
    "average": (
        lambda x: dispatch.avg_pool2d(rounded(x), 3, strides=2, pads=1), IMAGE, {"qavg_pool2d"}
    ),
    "sigmoid": (lambda x: dispatch.sigmoid(rounded(x)), IMAGE, {"lookup"}),
    "hard swish": (lambda x: hard_swish(rounded(x)), IMAGE, {"lookup"}),
    "square": (lambda x: rounded(x) * rounded(x), (7, 5), {"lookup"}),
    "another scale": (lambda x: rounded(x, 0.05, 7, "int8"), IMAGE, {"lookup"}),
    "the same scale": (rounded, IMAGE, set()),
    "relu alone": (lambda x: dispatch.relu(rounded(x)), IMAGE, {"clip"}),
    "bounds alone": (lambda x: dispatch.clip(rounded(x), -0.5, 1.0), IMAGE, {"clip"}),
    "the larger one": (lambda x: dispatch.maximum(0.1, rounded(x) - 0.0), IMAGE, {"clip"}),
    "bounds beyond": (lambda x: dispatch.clip(rounded(x), -99.0, 99.0), IMAGE, set()),
    "bounds to another scale": (
        lambda x: dispatch.relu(rounded(x, 0.05, 7)), IMAGE, {"lookup"}
    ),
    "largest": (lambda x: dispatch.max_pool2d(rounded(x), 2), IMAGE, {"max_pool2d"}),
    "nearest": (
        lambda x: dispatch.resize(rounded(x), (2, 4, 18, 20), coordinate_mode="asymmetric"),
        IMAGE,
        {"resize"},
    ),
    "moved": (
        lambda x: dispatch.transpose(dispatch.reshape(rounded(x), (2, 4, 90)), (0, 2, 1)),
        IMAGE,
        {"reshape", "transpose", "lookup"},
    ),
    "joined": (
        lambda x: dispatch.concat([rounded(x), rounded(x, 0.02, 99)], axis=1),
        IMAGE,
        {"concat", "lookup"},
    ),
}  # fmt: skip
WEIGHTS = integers(12, 6)
VIEWS = {"as_quantized", "as_stored", "quantize_linear", "dequantize_linear"}


@pytest.mark.parametrize("name", CASES)
def test_integers_take_the_place_of_real_numbers(name: str) -> None:
    function, shape, wanted = CASES[name]

    def whole(x: Any) -> Any:
        y = function(x)
        return y if name == "moved" else dispatch.quantize_linear(y, 0.03, 120).values

    def moved(x: Any) -> Any:
        y = dispatch.reshape(rounded(x), (2, 4, 90))
        y = dispatch.quantize_linear(y, 0.05, 99).dequantize()
        return dispatch.quantize_linear(dispatch.transpose(y, (0, 2, 1)), 0.05, 99).values

    chosen = moved if name == "moved" else whole
    x = real(*shape)
    trace = runtime.trace(chosen, x)
    assert set(operators_of(trace)) - VIEWS == wanted
    # Only the first rounding is left: of the function's own input.
    assert operators_of(trace).count("quantize_linear") <= 2
    got, want = trace.compile()(x).astype(int), chosen(x).astype(int)
    # The written form rounds at each step, the integer one once: one off, and what follows from it.
    assert np.abs(got - want).max() <= (2 if len(wanted) > 1 else 1)
    assert (got != want).mean() < 0.05
    assert len(np.unique(want)) > 5


def test_what_integers_cannot_do_stays_real() -> None:
    x = real(*IMAGE)

    def residual_in_real_numbers(x: Any) -> Any:
        y = dispatch.relu(conv(x, pads=1))
        return dispatch.quantize_linear(y, 0.03).values, y + 1.0

    def huge_bias(x: Any) -> Any:
        return dispatch.quantize_linear(conv(x, FLOATS * 1e9), 0.03).values

    def axis(x: Any) -> Any:
        scale = np.full(4, 0.03, np.float32)
        q = dispatch.quantize_linear(x, scale, 128, axis=1)
        y = dispatch.conv2d(q.dequantize(), written(x, W))
        return dispatch.quantize_linear(y, 0.03).values

    def between_pixels(x: Any) -> Any:
        y = dispatch.resize(rounded(x), (2, 4, 18, 20), mode="linear")
        return dispatch.quantize_linear(y, 0.03, 120).values

    for function, kept in (
        (residual_in_real_numbers, "conv2d"),
        (huge_bias, "conv2d"),
        (axis, "conv2d"),
        (between_pixels, "resize"),
    ):
        trace = runtime.trace(function, x)
        assert {kept, "dequantize_linear"} <= set(operators_of(trace))
        got, want = trace.compile()(x), function(x)
        for g, w in zip(np.atleast_1d(got), np.atleast_1d(want), strict=True):
            np.testing.assert_allclose(
                np.asarray(g, float), np.asarray(w, float), atol=1.0, rtol=1e-4
            )


def test_tables_hold_what_the_operators_make() -> None:
    every = np.arange(-128, 128).astype(np.int8)

    def function(x: Any) -> Any:
        y = dispatch.quantized(x, 0.05, 3).dequantize()
        z = dispatch.elu(dispatch.tanh(y * 2.0 - 0.5), alpha=0.7)
        return dispatch.quantize_linear(z, 0.008, 11, dtype="int8").values

    trace = runtime.trace(function, every)
    assert [n for n in operators_of(trace) if n not in VIEWS] == ["lookup"]
    np.testing.assert_array_equal(trace.compile()(every), function(every))


def test_bounds_of_signed_values() -> None:
    every = np.arange(-128, 128).astype(np.int8)

    def function(x: Any) -> Any:
        y = dispatch.clip(dispatch.quantized(x, 0.05, 3).dequantize(), -2.0, np.inf)
        return dispatch.quantize_linear(y, 0.05, 3, dtype="int8").values

    trace = runtime.trace(function, every)
    assert [n for n in operators_of(trace) if n not in VIEWS] == ["clip"]
    np.testing.assert_array_equal(trace.compile()(every), function(every))
    np.testing.assert_array_equal(function(every), np.maximum(every, -37))


def test_shuffled_integers_are_shuffled() -> None:
    def function(x: Any) -> Any:
        y = rounded(dispatch.conv2d(rounded(x), written(x, W)))
        y = rounded(dispatch.reshape(y, (2, 2, 4, 7, 8)))
        y = rounded(dispatch.transpose(y, (0, 2, 1, 3, 4)))
        return dispatch.quantize_linear(dispatch.reshape(y, (2, 8, 7, 8)), 0.03, 120).values

    x = real(*IMAGE)
    replay = runtime.trace(function, x).compile()
    ran = [row.kernel.split(".")[1] for row in replay.explain().rows]
    assert "channel_shuffle" in ran
    assert "transpose" not in ran
    assert np.abs(replay(x).astype(int) - function(x).astype(int)).max() <= 1
