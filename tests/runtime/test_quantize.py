"""Post-training quantisation: ranges, what becomes integers, what it costs, the command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import dispatch
import runtime
from dispatch import InvalidArgument
from runtime.__main__ import app
from runtime.calibration.ranges import BINS, METHODS, Histogram, chosen_range, parameters
from runtime.passes.pipeline import prepare

RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Give each test the same numbers whatever ran before."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


def f32(*shape: int, scale: float = 1.0) -> Any:
    return (scale * RNG.standard_normal(shape)).astype(np.float32)


# ---- Ranges --------------------------------------------------------------------------------------


@given(st.lists(st.lists(st.floats(-1e6, 1e6, width=32), max_size=30), min_size=1, max_size=6))
def test_a_histogram_in_parts_is_that_of_the_whole(parts: list[list[float]]) -> None:
    histogram = Histogram()
    for part in parts:
        histogram.add(np.array(part, np.float32))
    values = np.array([v for part in parts for v in part], np.float32)
    assert histogram.low == min(0.0, values.min(initial=0.0))
    assert histogram.high == max(0.0, values.max(initial=0.0))
    assert int(histogram.counts.sum()) + histogram.zeros == values.size
    # A value lies in its bin, or in a bin next to it: edges are rounded.
    if histogram.edge:
        width = histogram.edge / BINS
        positive = np.flatnonzero(histogram.counts)
        if positive.size:
            last = (positive[-1] + 1) * width - histogram.edge
            assert last >= values[values != 0].max() - width


@given(st.integers(0, 2**32 - 1))
def test_joined_histograms_count_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = Histogram(), Histogram()
    a = rng.standard_normal(rng.integers(0, 50)).astype(np.float32) * 10.0 ** rng.integers(-3, 3)
    b = np.maximum(rng.standard_normal(rng.integers(0, 50)), 0).astype(np.float32)
    one.add(a)
    other.add(b)
    joined = one.join(other)
    assert int(joined.counts.sum()) + joined.zeros == a.size + b.size
    assert joined.low == min(one.low, other.low)
    assert joined.high == max(one.high, other.high)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("values", [np.zeros(5), np.array([]), np.array([3.0]), np.array([-2.0])])
def test_ranges_of_few_values(method: Any, values: Any) -> None:
    histogram = Histogram()
    histogram.add(values.astype(np.float32))
    low, high = chosen_range(histogram, method, 99.9)
    assert low == min(0.0, values.min(initial=0.0))
    assert high == max(0.0, values.max(initial=0.0))


def test_methods_cut_off_what_is_rare() -> None:
    values = np.append(RNG.standard_normal(200000), [80.0]).astype(np.float32)
    histogram = Histogram()
    histogram.add(np.maximum(values, 0.0))
    assert chosen_range(histogram, "minmax", 0.0)[1] == 80.0
    assert 3.0 < chosen_range(histogram, "percentile", 99.99)[1] < 5.0
    assert 3.0 < chosen_range(histogram, "entropy", 0.0)[1] < 8.0


@given(st.floats(-1e30, 0.0), st.floats(0.0, 1e30), st.sampled_from(["uint8", "int8"]))
def test_parameters_hold_the_range_and_zero(low: float, high: float, dtype: str) -> None:
    made = parameters(low, high, dtype)
    q = dispatch.quantize_linear(np.array([0.0, low, high], np.float32), **made, dtype=dtype)
    zero, least, most = q.dequantize()
    assert zero == 0.0
    assert abs(least - low) <= made["scale"] + 1e-6 * abs(low)
    assert abs(most - high) <= made["scale"] + 1e-6 * abs(high)


# ---- Traces --------------------------------------------------------------------------------------

WEIGHTS = {
    "stem": f32(8, 3, 3, 3, scale=0.3),
    "depthwise": f32(8, 1, 3, 3, scale=0.4),
    "point": f32(8, 8, 1, 1, scale=0.4),
    "classes": f32(8, 5, scale=0.5),
}


def network(x: Any) -> Any:
    y = dispatch.conv2d(x, WEIGHTS["stem"], pads=1, strides=2, activation=None)
    y = dispatch.relu(y)
    z = dispatch.hard_swish(dispatch.conv2d(y, WEIGHTS["depthwise"], pads=1, groups=8))
    gate = dispatch.sigmoid(dispatch.global_avg_pool2d(z))
    z = dispatch.conv2d(z * gate, WEIGHTS["point"], f32(8, scale=0.0)) + y
    parts = dispatch.concat([dispatch.max_pool2d(z, 2, strides=2), z[:, :, ::2, ::2]], axis=1)
    flat = dispatch.reshape(dispatch.global_avg_pool2d(parts[:, :8]), (-1, 8))
    return dispatch.softmax(dispatch.matmul(flat, WEIGHTS["classes"]))


def samples(count: int = 8) -> list[Any]:
    rng = np.random.default_rng(3)
    return [rng.standard_normal((1, 3, 16, 16)).astype(np.float32) for _ in range(count)]


@pytest.fixture(scope="module")
def trace() -> Any:
    return runtime.trace(network, samples(1)[0])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_a_network_in_integers_is_close(trace: Any, method: Any, dtype: str) -> None:
    given_samples = samples()
    seen: list[int] = []
    made = runtime.quantize(
        trace, given_samples, method=method, percentile=99.9, dtype=dtype, progress=seen.append
    )
    assert seen == list(range(1, 9))
    operators = [node.operator for node in prepare(made.graph).nodes]
    assert {"qconv2d", "qmatmul", "qadd", "qmul", "qglobal_avg_pool2d", "lookup"} <= set(operators)
    assert not {"conv2d", "matmul", "add", "mul"} & set(operators)
    assert operators.count("softmax") == 1
    replay, real = made.compile(), trace.compile()
    for x in given_samples:
        np.testing.assert_allclose(replay(x), real(x), atol=0.03)


def test_what_is_excluded_stays(trace: Any) -> None:
    labels = {n.label for n in trace.graph.nodes if n.operator == "conv2d"}
    first = min(labels)
    made = runtime.quantize(trace, samples(2), exclude=("matmul", first))
    nodes = prepare(made.graph).nodes
    assert [n.operator for n in nodes].count("matmul") == 1
    assert first in {n.label for n in nodes if n.operator == "conv2d"}
    assert "qconv2d" in {n.operator for n in nodes}


def test_samples_are_streamed_and_named(trace: Any) -> None:
    def stream() -> Iterator[Any]:
        for index, x in enumerate(samples(4)):
            yield {"x": x} if index % 2 else (x,)

    made = runtime.quantize(trace, stream())
    x = samples(1)[0]
    np.testing.assert_allclose(made.compile()(x), trace.compile()(x), atol=0.03)


def test_one_scale_for_all_weights_is_worse(trace: Any) -> None:
    weights = dispatch.constant(f32(6, 4, 1, 1) * np.logspace(-2, 1, 6).reshape(6, 1, 1, 1))
    lopsided = runtime.trace(
        lambda x: dispatch.conv2d(x, weights.array.astype(np.float32)), f32(1, 4, 8, 8)
    )
    given_samples = [f32(1, 4, 8, 8) for _ in range(3)]
    errors = []
    for per_channel in (True, False):
        made = runtime.quantize(lopsided, given_samples, per_channel=per_channel)
        nodes = prepare(made.graph)
        (node,) = (n for n in nodes.nodes if n.operator == "qconv2d")
        axis = nodes.quantizations[str(node.inputs[1])].axis
        assert axis == (0 if per_channel else -1)
        x = given_samples[0]
        errors.append(np.abs(made.compile()(x) - lopsided.compile()(x))[:, 0].mean())
    assert errors[0] <= errors[1]


def test_noise_finds_what_hurts(trace: Any) -> None:
    given_samples = samples(4)
    made = runtime.quantize(trace, given_samples)
    report = runtime.measure_noise(trace, made, given_samples)
    assert {"conv2d", "add", "matmul"} <= {row.operator for row in report.rows}
    own = [row.own for row in report.rows]
    assert own == sorted(own)
    assert own[0] > 20.0
    # With all before it an operator loses no less than by itself, but for luck.
    assert all(row.total < row.own + 3.0 for row in report.rows)
    assert json.loads(json.dumps(report.to_dict()))["operators"][0]["own"] == own[0]
    assert str(report).splitlines()[0].split() == ["operator", "own", "dB", "total", "dB", "node"]
    # A range that is far too narrow is seen at its own operator.
    narrow = runtime.quantize(trace, [s * 0.05 for s in given_samples])
    worse = runtime.measure_noise(trace, narrow, given_samples)
    assert worse.rows[0].own < 10.0


def test_a_quantised_trace_is_saved(trace: Any, tmp_path: Path) -> None:
    made = runtime.quantize(trace, samples(3))
    made.save(tmp_path / "small.safetensors", {"cpu": made.compile()})
    x = samples(1)[0]
    again = runtime.load(tmp_path / "small.safetensors")
    np.testing.assert_array_equal(again.compile()(x), made.compile()(x))


WRONG = [
    ({"method": "mean"}, "method: expected one of minmax, percentile, entropy, got 'mean'"),
    ({"percentile": 10.0}, "percentile: expected above 50"),
    ({"dtype": "int4"}, "dtype: expected one of uint8, int8"),
    ({"exclude": "conv2d"}, "exclude: expected several names"),
    ({"exclude": ["nothing"]}, "exclude: expected names of operators or labels"),
    ({"samples": []}, "samples: expected at least one"),
    ({"samples": [np.ones((1, 3, 16, 16), np.float64)]}, "sample 0: x: expected dtype float32"),
    ({"samples": [np.ones((1, 3), np.float32)]}, "sample 0: x: expected 4 dimensions"),
    ({"samples": [{"y": np.ones((1, 3, 16, 16), np.float32)}]}, "sample 0: inputs: expected x"),
    (
        {"samples": [np.full((1, 3, 16, 16), np.nan, np.float32)]},
        "sample 0: .*expected finite values",
    ),
]


@pytest.mark.parametrize(("given_arguments", "text"), WRONG)
def test_wrong_arguments_are_named(trace: Any, given_arguments: Any, text: str) -> None:
    arguments = {"samples": samples(1), **given_arguments}
    with pytest.raises(InvalidArgument, match=text):
        runtime.quantize(trace, **arguments)


def test_what_has_no_integers_says_so(trace: Any) -> None:
    once = runtime.quantize(trace, samples(1), exclude=["matmul"])
    with pytest.raises(runtime.TraceError, match="got one with quantised values"):
        runtime.quantize(once, samples(1))
    plain = runtime.trace(lambda x: dispatch.softmax(x), f32(2, 3))
    with pytest.raises(runtime.TraceError, match="no operator of the trace has an integer form"):
        runtime.quantize(plain, [f32(2, 3)])
    with pytest.raises(runtime.TraceError, match=r"what runtime\.quantize made of it"):
        runtime.measure_noise(plain, plain, [f32(2, 3)])


def test_the_command(trace: Any, tmp_path: Path) -> None:
    source, target = tmp_path / "float.safetensors", tmp_path / "small.safetensors"
    trace.save(source)
    files = []
    for index, x in enumerate(samples(3)):
        path = tmp_path / f"{index}.{'npz' if index else 'npy'}"
        np.savez(path, x=x) if index else np.save(path, x)
        files.append(str(path))
    arguments = ["quantize", str(source), *files, "-o", str(target), "--report"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "own dB" in result.output
    assert "conv2d" in result.output
    assert runtime.load(target).compile()(samples(1)[0]).shape == (1, 5)
    result = CliRunner().invoke(app, [*arguments, "--json", "--method", "entropy"])
    data = json.loads(result.output)
    assert data["operators"][0]["own"] > 5
    assert data["bytes"] == target.stat().st_size
    (tmp_path / "bad.npy").write_bytes(b"nonsense")
    result = CliRunner().invoke(
        app, ["quantize", str(source), str(tmp_path / "bad.npy"), "-o", "x"]
    )
    assert isinstance(result.exception, InvalidArgument)


def test_operators_traced_with_an_epilogue_are_quantised():
    rng = np.random.default_rng(5)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((1, 4, 8, 8), (6, 4, 3, 3)))
    trace = runtime.trace(lambda x: dispatch.conv2d(x, w, activation="relu"), x)
    small = runtime.quantize(trace, [(x,)])
    rows = [row.operator for row in small.compile().explain().rows]
    assert "qconv2d+relu" in rows
    wanted = trace.compile()(x)
    np.testing.assert_allclose(small.compile()(x), wanted, atol=0.03 * np.abs(wanted).max())
