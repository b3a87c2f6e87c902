"""Quantised models: ONNX's pairs and operators, ONNX Runtime's own, what its quantiser writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtime
from runtime.passes.pipeline import prepare

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(11)
MICROSOFT = "com.microsoft"


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    """Give each test the same numbers whatever ran before."""
    RNG.bit_generator.state = np.random.default_rng(1).bit_generator.state


def model(
    nodes: list[Any], inputs: dict[str, Any], constants: dict[str, Any], *outputs: str
) -> Any:
    """Return a model; an input is given by an example."""
    kinds = {name: helper.np_dtype_to_tensor_dtype(x.dtype) for name, x in inputs.items()}
    graph = helper.make_graph(
        nodes,
        "quantised",
        [helper.make_tensor_value_info(n, kinds[n], x.shape) for n, x in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(a), name) for name, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnx.shape_inference.infer_shapes(made)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    domain, _, operator = kind.rpartition("::")
    return helper.make_node(
        operator,
        [n.strip("-") for n in inputs.split()],
        outputs.split(),
        domain=domain,
        **attributes,
    )


def session(made: Any, optimised: bool = False) -> Any:
    options = ort.SessionOptions()
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimised else level.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    content = made if isinstance(made, str) else made.SerializeToString()
    return ort.InferenceSession(content, options)


def u8(*shape: int) -> Any:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def i8(*shape: int) -> Any:
    return RNG.integers(-127, 128, shape).astype(np.int8)


def f32(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def number(value: float) -> Any:
    return np.float32(value)


X = {"xs": number(0.02), "xz": np.uint8(120)}
Y = {"ys": number(0.05), "yz": np.uint8(100)}
FILTERS = {"w": i8(6, 4, 3, 3), "ws": f32(6) ** 2 * 0.01 + 0.001, "wz": np.zeros(6, np.int8)}
OPERATORS: dict[str, tuple[Any, dict[str, Any], dict[str, Any], set[str]]] = {
    "QLinearConv": (
        node("QLinearConv", "x xs xz w ws wz ys yz b", "y", pads=[1, 1, 1, 1], strides=[2, 1]),
        {"x": u8(2, 4, 9, 8)},
        {**X, **Y, **FILTERS, "b": RNG.integers(-500, 500, 6).astype(np.int32)},
        {"qconv2d"},
    ),
    "QLinearConv of rows": (
        node("QLinearConv", "x xs xz w ws wz ys yz", "y", group=2),
        {"x": u8(2, 4, 19)},
        {**X, **Y, "w": u8(6, 2, 3), "ws": number(0.01), "wz": np.uint8(130)},
        {"qconv2d", "reshape"},
    ),
    "QLinearMatMul": (
        node("QLinearMatMul", "x xs xz w ws wz ys yz", "y"),
        {"x": u8(3, 5, 12)},
        {**X, **Y, "w": i8(12, 7), "ws": f32(7) ** 2 * 0.01 + 0.001, "wz": np.zeros(7, np.int8)},
        {"qmatmul"},
    ),
    "QLinearMatMul of a vector": (
        node("QLinearMatMul", "x xs xz w ws wz ys yz", "y"),
        {"x": u8(12)},
        {**X, **Y, "w": i8(12, 7), "ws": number(0.01), "wz": np.int8(3)},
        {"qmatmul", "reshape"},
    ),
    "ConvInteger": (
        node("ConvInteger", "x w xz", "y", pads=[1, 0, 1, 2]),
        {"x": u8(2, 4, 9, 8)},
        {**X, "w": i8(6, 4, 3, 3)},
        {"conv_integer"},
    ),
    "MatMulInteger, sums beyond float32": (
        node("MatMulInteger", "x w xz wz", "y"),
        {"x": u8(3, 2000)},
        {"xz": np.uint8(7), "w": u8(2000, 9), "wz": RNG.integers(0, 9, 9).astype(np.uint8)},
        {"matmul_integer"},
    ),
    "QLinearAdd": (
        node(f"{MICROSOFT}::QLinearAdd", "x xs xz w ws wz ys yz", "y"),
        {"x": u8(2, 4, 9, 8)},
        {**X, **Y, "w": u8(4, 1, 1), "ws": number(0.03), "wz": np.uint8(50)},
        {"qadd"},
    ),
    "QLinearMul": (
        node(f"{MICROSOFT}::QLinearMul", "x xs xz w ws wz ys yz", "y"),
        {"x": u8(2, 4, 9, 8)},
        {**X, **Y, "w": u8(4, 1, 1), "ws": number(0.03), "wz": np.uint8(50)},
        {"qmul"},
    ),
    "QLinearSigmoid": (
        node(f"{MICROSOFT}::QLinearSigmoid", "x xs xz ys yz", "y"),
        {"x": u8(2, 4, 9)},
        {**X, "ys": number(1 / 256), "yz": np.uint8(0)},
        {"lookup"},
    ),
    "QLinearLeakyRelu": (
        node(f"{MICROSOFT}::QLinearLeakyRelu", "x xs xz ys yz", "y", alpha=0.2),
        {"x": u8(2, 4, 9)},
        {**X, **Y},
        {"lookup"},
    ),
    "QLinearSoftmax": (
        node(f"{MICROSOFT}::QLinearSoftmax", "x xs xz ys yz", "y", axis=-1, opset=13),
        {"x": u8(3, 17)},
        {**X, "ys": number(1 / 256), "yz": np.uint8(0)},
        {"qsoftmax"},
    ),
    "QLinearGlobalAveragePool": (
        node(f"{MICROSOFT}::QLinearGlobalAveragePool", "x xs xz ys yz", "y", channels_last=0),
        {"x": u8(2, 4, 9, 8)},
        {**X, **Y},
        {"qglobal_avg_pool2d"},
    ),
    "QLinearAveragePool": (
        node(
            f"{MICROSOFT}::QLinearAveragePool",
            "x xs xz ys yz",
            "y",
            kernel_shape=[3, 2],
            strides=[2, 1],
            pads=[1, 0, 1, 1],
        ),
        {"x": u8(2, 4, 9, 8)},
        {**X, **Y},
        {"qavg_pool2d"},
    ),
    "QLinearConcat": (
        node(f"{MICROSOFT}::QLinearConcat", "ys yz x xs xz w ws wz", "y", axis=1),
        {"x": u8(2, 4, 9)},
        {**X, **Y, "w": u8(2, 3, 9), "ws": number(0.03), "wz": np.uint8(50)},
        {"concat", "lookup"},
    ),
    "QGemm": (
        node(f"{MICROSOFT}::QGemm", "x xs xz w ws wz b ys yz", "y", transB=1),
        {"x": u8(5, 12)},
        {
            **X,
            **Y,
            "w": i8(7, 12),
            "ws": f32(7) ** 2 * 0.01 + 0.001,
            "wz": np.zeros(7, np.int8),
            "b": RNG.integers(-500, 500, 7).astype(np.int32),
        },
        {"qmatmul"},
    ),
    "QGemm to real numbers": (
        node(f"{MICROSOFT}::QGemm", "x xs xz w ws wz b", "y", transB=0),
        {"x": u8(5, 12)},
        {
            **X,
            "w": i8(12, 7),
            "ws": number(0.01),
            "wz": np.int8(0),
            "b": RNG.integers(-500, 500, 7).astype(np.int32),
        },
        {"dequantize_linear", "matmul"},
    ),
    "QuantizeLinear by what follows from the inputs": (
        node("QuantizeLinear", "x s z", "y", axis=1),
        {"x": f32(2, 4, 9), "s": f32(4) ** 2 + 0.01, "z": u8(4)},
        {},
        {"add", "cast", "clip", "div", "reshape", "round"},
    ),
    "DequantizeLinear by what follows from the inputs": (
        node("DequantizeLinear", "x s z", "y", axis=1),
        {"x": u8(2, 4, 9), "s": f32(4) ** 2 + 0.01, "z": u8(4)},
        {},
        {"cast", "mul", "reshape", "sub"},
    ),
    "ConvInteger of rows": (
        node("ConvInteger", "x w xz wz", "y", group=2, strides=[2]),
        {"x": u8(2, 4, 19)},
        {**X, "w": i8(6, 2, 3), "wz": np.int8(-9)},
        {"conv_integer", "reshape"},
    ),
    "MatMulInteger of a vector": (
        node("MatMulInteger", "x w xz", "y"),
        {"x": u8(12)},
        {**X, "w": i8(12, 7)},
        {"matmul_integer", "reshape"},
    ),
    "QLinearSoftmax over two axes": (
        node(f"{MICROSOFT}::QLinearSoftmax", "x xs xz ys yz", "y", axis=1, opset=12),
        {"x": u8(3, 4, 5)},
        {**X, "ys": number(1 / 256), "yz": np.uint8(0)},
        {"qsoftmax", "reshape"},
    ),
}
VIEWS = {"as_quantized", "as_stored"}


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_are_those_of_the_runtime(name: str) -> None:
    operator, inputs, constants, wanted = OPERATORS[name]
    made = model([operator], inputs, constants, "y")
    (want,) = session(made).run(None, inputs)
    trace = runtime.from_onnx(made)
    assert {n.operator for n in prepare(trace.graph).nodes} - VIEWS == wanted
    (got,) = trace.compile()(**inputs)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.dtype == np.float32:
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5)
    else:
        # Exact but for the rounding of ties, which the runtime's fixed points decide otherwise.
        assert np.abs(got.astype(int) - want.astype(int)).max() <= (want.dtype != np.int32)
        assert (got != want).mean() <= 0.01
        assert len(np.unique(want)) > 3


def test_dynamic_quantisation() -> None:
    x, w = f32(6, 40), i8(40, 9)
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("MatMulInteger", "q w z", "sums"),
        node("Cast", "sums", "real", to=TensorProto.FLOAT),
        node("Mul", "s ws", "scale"),
        node("Mul", "real scale", "y"),
    ]
    made = model(nodes, {"x": x}, {"w": w, "ws": number(0.01)}, "y", "q", "s", "z")
    for given in (x, np.zeros_like(x), np.abs(x)):
        want = session(made).run(None, {"x": given})
        got = runtime.from_onnx(made).compile()(given)
        for g, r in zip(got, want, strict=True):
            assert (g.dtype, g.shape) == (r.dtype, r.shape)
        for g, r in zip(got[1:], want[1:], strict=True):
            np.testing.assert_array_equal(g, r)
        np.testing.assert_allclose(got[0], want[0], rtol=1e-6, atol=1e-6)


def test_zero_points_of_rows() -> None:
    """The specification allows them, ONNX Runtime doesn't serve them."""
    a, b, points = u8(3, 12), i8(12, 7), u8(3, 1)
    made = model([node("MatMulInteger", "a b p", "y")], {"a": a}, {"b": b, "p": points[:, 0]}, "y")
    (got,) = runtime.from_onnx(made).compile()(a)
    np.testing.assert_array_equal(got, (a.astype(int) - points) @ b.astype(int))


WRONG: dict[str, tuple[Any, dict[str, Any], dict[str, Any], str]] = {
    "a scale of zero": (
        node("DequantizeLinear", "x s", "y"), {"x": u8(3)}, {"s": number(0)}, "scale: expected"
    ),
    "an infinite scale": (
        node("DequantizeLinear", "x s", "y"), {"x": u8(3)}, {"s": number(np.inf)}, "scale: expected"
    ),
    "scales that are too few": (
        node("DequantizeLinear", "x s z", "y", axis=0),
        {"x": u8(3, 2)},
        {"s": f32(2) ** 2 + 1, "z": u8(2)},
        "expected 3 numbers",
    ),
    "zero points that are too many": (
        node("DequantizeLinear", "x s z", "y", axis=0),
        {"x": u8(3, 2)},
        {"s": f32(3) ** 2 + 1, "z": u8(2)},
        "as many zero points as scales",
    ),
    "blocks": (
        node("DequantizeLinear", "x s", "y", axis=0, block_size=2),
        {"x": u8(4, 2)},
        {"s": f32(2, 2) ** 2 + 1},
        "block_size",
    ),
    "16 bits": (
        node("DequantizeLinear", "x s", "y"),
        {"x": np.ones(3, np.int16)},
        {"s": number(1)},
        "expected quantised uint8, int8 or int32, got int16",
    ),
    "a scale for each row": (
        node("QLinearMatMul", "x xs xz w ws wz ys yz", "y"),
        {"x": u8(3, 4)},
        {
            **Y,
            "xs": f32(3) ** 2 + 1,
            "xz": u8(3),
            "w": i8(4, 5),
            "ws": number(1),
            "wz": np.int8(0),
        },
        "expected one scale",
    ),
    "a scale that isn't known": (
        node("QLinearMatMul", "x s xz w ws wz ys yz", "y"),
        {"x": u8(3, 4), "s": np.float32(1)},
        {**X, **Y, "w": i8(4, 5), "ws": number(1), "wz": np.int8(0)},
        "expected constants",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_named(name: str) -> None:
    operator, inputs, constants, text = WRONG[name]
    with pytest.raises(runtime.ModelError, match=text):
        runtime.from_onnx(model([operator], inputs, constants, "y"))


def small_network() -> Any:
    """A stem, a residual block with a gate, two classifiers' layers."""
    weights = {
        "w0": f32(16, 3, 3, 3) * 0.3,
        "b0": f32(16) * 0.1,
        "w1": f32(16, 1, 3, 3) * 0.4,
        "w2": f32(16, 16, 1, 1) * 0.3,
        "b2": f32(16) * 0.1,
        "w3": f32(16, 10) * 0.3,
        "b3": f32(10) * 0.1,
    }
    nodes = [
        node("Conv", "x w0 b0", "c0", pads=[1, 1, 1, 1], strides=[2, 2]),
        node("Relu", "c0", "r0"),
        node("Conv", "r0 w1", "c1", pads=[1, 1, 1, 1], group=16),
        node("HardSigmoid", "c1", "h1", alpha=0.2, beta=0.5),
        node("Mul", "c1 h1", "m1"),
        node("Conv", "m1 w2 b2", "c2"),
        node("Add", "c2 r0", "a2"),
        node("Relu", "a2", "r2"),
        node("MaxPool", "r2", "p2", kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", "p2", "g2"),
        node("Flatten", "g2", "f2"),
        node("Gemm", "f2 w3 b3", "y"),
    ]
    return model(nodes, {"x": f32(1, 3, 24, 20)}, weights, "y")


@pytest.fixture(scope="module")
def quantiser() -> Any:
    return pytest.importorskip("onnxruntime.quantization", reason="onnxruntime's quantiser")


@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
@pytest.mark.parametrize("signed", [False, True])
def test_what_the_quantiser_writes(quantiser: Any, tmp_path: Path, form: str, signed: bool) -> None:
    source, path = str(tmp_path / "float.onnx"), str(tmp_path / "quantised.onnx")
    onnx.save(small_network(), source)
    samples = [{"x": f32(1, 3, 24, 20)} for _ in range(6)]

    class Reader(quantiser.CalibrationDataReader):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            self.left = iter(samples)

        def get_next(self) -> Any:
            return next(self.left, None)

    kind = quantiser.QuantType.QInt8 if signed else quantiser.QuantType.QUInt8
    if form == "dynamic":
        quantiser.quantize_dynamic(source, path, weight_type=kind)
    else:
        quantiser.quantize_static(
            source,
            path,
            Reader(),
            quant_format=quantiser.QuantFormat[form],
            per_channel=True,
            activation_type=kind,
            weight_type=quantiser.QuantType.QInt8,
        )
    trace = runtime.from_onnx(path)
    made = {n.operator for n in prepare(trace.graph).nodes}
    if form == "dynamic":
        assert {"conv_integer", "matmul_integer"} <= made
        assert not {"conv2d", "matmul"} & made
    else:
        assert {"qconv2d", "max_pool2d"} <= made
        assert "conv2d" not in made
    replay, peer = trace.compile(), session(path)
    for sample in samples:
        (got,), (want,) = replay(**sample), peer.run(None, sample)
        assert np.abs(got - want).max() <= 0.02 * np.abs(want).max()
