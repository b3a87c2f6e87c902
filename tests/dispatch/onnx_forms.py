"""The operators as ONNX graphs, to compare references with ONNX's own evaluator and runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

ONNX_DTYPES = {
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}

SAME_NAME = {
    "abs": "Abs", "add": "Add", "ceil": "Ceil", "div": "Div", "equal": "Equal", "erf": "Erf",
    "exp": "Exp", "floor": "Floor", "greater": "Greater", "greater_equal": "GreaterOrEqual",
    "hard_swish": "HardSwish", "less": "Less", "less_equal": "LessOrEqual", "log": "Log",
    "logical_and": "And", "logical_not": "Not", "logical_or": "Or", "logical_xor": "Xor",
    "maximum": "Max", "minimum": "Min", "mul": "Mul", "neg": "Neg", "pow": "Pow", "prelu": "PRelu",
    "reciprocal": "Reciprocal", "relu": "Relu", "round": "Round", "sigmoid": "Sigmoid",
    "sign": "Sign", "sqrt": "Sqrt", "sub": "Sub", "tanh": "Tanh", "where": "Where",
    "global_avg_pool2d": "GlobalAveragePool", "global_max_pool2d": "GlobalMaxPool",
    "elu": "Elu", "leaky_relu": "LeakyRelu", "hard_sigmoid": "HardSigmoid", "gelu": "Gelu",
    "softmax": "Softmax", "log_softmax": "LogSoftmax", "batch_norm": "BatchNormalization",
    "layer_norm": "LayerNormalization", "lrn": "LRN", "gather": "Gather",
    "atan": "Atan", "sin": "Sin", "cos": "Cos",
    "grid_sample": "GridSample",
    "gather_elements": "GatherElements", "gather_nd": "GatherND",
    "scatter_elements": "ScatterElements", "scatter_nd": "ScatterND",
}  # fmt: skip
REDUCTIONS = {
    "sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin",
    "prod": "ReduceProd",
}  # fmt: skip
OPSET = 22


class Form:
    """Nodes of a graph and the constants that they take."""

    def __init__(self, shapes: dict[str, tuple[int, ...]]) -> None:
        self.shapes = shapes
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, values: Any, dtype: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))


def form(
    name: str,
    inputs: list[str],
    shapes: dict[str, tuple[int, ...]],
    dtype: Any,
    a: dict[str, Any],
    outputs: list[str],
) -> Form:
    """Write an operator with canonical attributes as ONNX nodes; "" is an absent input."""
    f = Form(shapes)
    if name in SAME_NAME:
        f.add(SAME_NAME[name], inputs, outputs, **a)
    elif name in REDUCTIONS:
        if not a["axes"]:
            f.add("Identity", inputs, outputs)
        else:
            axes = f.constant("axes", a["axes"], np.int64)
            f.add(REDUCTIONS[name], [*inputs, axes], outputs, keepdims=a["keepdims"])
    else:
        WRITERS[name](f, inputs, dtype, a, outputs)
    return f


def _conv(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    keys = {"strides": a["strides"], "pads": a["pads"], "dilations": a["dilations"]}
    if "output_padding" in a:
        f.add(
            "ConvTranspose",
            inputs,
            outputs,
            group=a["groups"],
            output_padding=a["output_padding"],
            **keys,
        )
    else:
        f.add("Conv", inputs, outputs, group=a["groups"], **keys)


def _matmul(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    left, right, *rest = inputs
    for key, operand, made in (("transpose_a", left, "at"), ("transpose_b", right, "bt")):
        if a[key]:
            rank = len(f.shapes[operand])
            order = [*range(rank - 2), rank - 1, rank - 2]
            f.add("Transpose", [operand], [made], perm=order)
    left = "at" if a["transpose_a"] else left
    right = "bt" if a["transpose_b"] else right
    f.add("MatMul", [left, right], ["product"])
    scaled = "product"
    if a["alpha"] != 1.0:
        f.add("Mul", ["product", f.constant("alpha", a["alpha"], dtype)], ["scaled"])
        scaled = "scaled"
    if rest and rest[0]:
        f.add("Add", [scaled, rest[0]], outputs)
    else:
        f.add("Identity", [scaled], outputs)


def _linear(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    f.add("Transpose", [inputs[1]], ["wt"], perm=[1, 0])
    f.add("MatMul", [inputs[0], "wt"], ["product"])
    if inputs[2]:
        f.add("Add", ["product", inputs[2]], outputs)
    else:
        f.add("Identity", ["product"], outputs)


def _clip(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    low = f.constant("low", a["minimum"], dtype) if np.isfinite(a["minimum"]) else ""
    high = f.constant("high", a["maximum"], dtype) if np.isfinite(a["maximum"]) else ""
    f.add("Clip", [*inputs, low, high], outputs)


def _pool(kind: str) -> Any:
    def write(
        f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]
    ) -> None:
        f.add(kind, inputs, outputs, **a)

    return write


def _slice(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    rows = list(zip(a["starts"], a["counts"], a["steps"], strict=True))
    ends = [s + n * step if s + n * step >= 0 else -(2**40) for s, n, step in rows]
    names = [
        f.constant("starts", a["starts"], np.int64),
        f.constant("ends", ends, np.int64),
        f.constant("axes", range(len(rows)), np.int64),
        f.constant("steps", a["steps"], np.int64),
    ]
    f.add("Slice", [*inputs, *names], outputs)


def _pad(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    names = [f.constant("pads", a["pads"], np.int64)]
    if a["mode"] == "constant":
        names.append(f.constant("value", a["value"], dtype))
    f.add("Pad", [*inputs, *names], outputs, mode=a["mode"])


def _resize(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    sizes, scales = "", ""
    extents = zip(f.shapes[inputs[0]], a["sizes"], a["scales"], strict=True)
    if all(abs(n * scale - size) < 1e-6 or size == 0 for n, size, scale in extents):
        sizes = f.constant("sizes", a["sizes"], np.int64)
    else:
        scales = f.constant("scales", a["scales"], np.float32)
    keys = {"mode": a["mode"], "coordinate_transformation_mode": a["coordinate_mode"]}
    if a["mode"] == "nearest":
        keys["nearest_mode"] = a["nearest_mode"]
    if a["mode"] == "cubic":
        keys["cubic_coeff_a"] = a["cubic_coefficient"]
    f.add(
        "Resize",
        [*inputs, "", scales, sizes],
        outputs,
        exclude_outside=a["exclude_outside"],
        **keys,
    )


def _transpose(
    f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]
) -> None:
    if a["permutation"]:
        f.add("Transpose", inputs, outputs, perm=a["permutation"])
    else:
        f.add("Identity", inputs, outputs)


def _simple(kind: str, key: str | None = None, **names: str) -> Any:
    """Write a node whose attribute `key` is an input, others under other names."""

    def write(
        f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]
    ) -> None:
        extra = [f.constant(key, a[key], np.int64)] if key else []
        f.add(kind, [*inputs, *extra], outputs, **{new: a[old] for new, old in names.items()})

    return write


def _top_k(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    k = f.constant("k", [a["k"]], np.int64)
    f.add("TopK", [*inputs, k], outputs, axis=a["axis"], largest=a["largest"])


def _cast(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    f.add("Cast", inputs, outputs, to=ONNX_DTYPES[a["dtype"]])


def _rsqrt(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    f.add("Sqrt", inputs, ["root"])
    f.add("Reciprocal", ["root"], outputs)


def _silu(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    f.add("Sigmoid", inputs, ["gate"])
    f.add("Mul", [*inputs, "gate"], outputs)


def _rnn(f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]) -> None:
    name = a["nonlinearity"].capitalize()
    count = 2 if a["direction"] == "bidirectional" else 1
    direction, size = a["direction"], f.shapes[inputs[2]][2]
    f.add("RNN", inputs, outputs, direction=direction, hidden_size=size, activations=[name] * count)


def _gated(kind: str) -> Any:
    def write(
        f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]
    ) -> None:
        f.add(kind, inputs, outputs, hidden_size=f.shapes[inputs[2]][2], **a)

    return write


def _not_equal(
    f: Form, inputs: list[str], dtype: Any, a: dict[str, Any], outputs: list[str]
) -> None:
    f.add("Equal", inputs, ["same"])
    f.add("Not", ["same"], outputs)


WRITERS: dict[str, Any] = {
    "conv2d": _conv,
    "conv_transpose2d": _conv,
    "matmul": _matmul,
    "linear": _linear,
    "clip": _clip,
    "max_pool2d": _pool("MaxPool"),
    "avg_pool2d": _pool("AveragePool"),
    "slice": _slice,
    "pad": _pad,
    "resize": _resize,
    "cast": _cast,
    "gru": _gated("GRU"),
    "lstm": _gated("LSTM"),
    "rnn": _rnn,
    "rsqrt": _rsqrt,
    "silu": _silu,
    "not_equal": _not_equal,
    "concat": _simple("Concat", axis="axis"),
    "transpose": _transpose,
    "split": _simple("Split", "sizes", axis="axis"),
    "reshape": _simple("Reshape", "shape", allowzero="allow_zero"),
    "expand": _simple("Expand", "shape"),
    "mod": lambda f, inputs, dtype, a, outputs: f.add("Mod", inputs, outputs),
    "fmod": lambda f, inputs, dtype, a, outputs: f.add("Mod", inputs, outputs, fmod=1),
    "cumsum": _simple("CumSum", "axis", exclusive="exclusive", reverse="reverse"),
    "top_k": _top_k,
    "argmax": _simple(
        "ArgMax", axis="axis", keepdims="keepdims", select_last_index="select_last_index"
    ),
}


def model(
    name: str, arrays: list[Any], attributes: dict[str, Any], outputs: list[Any]
) -> tuple[Any, dict[str, Any]]:
    """Return an ONNX model of one operator and what to feed it."""
    inputs = ["" if array is None else f"x{i}" for i, array in enumerate(arrays)]
    made = [f"y{i}" for i in range(len(outputs))]
    first = next(array for array in arrays if array is not None)
    shapes = {n: a.shape for n, a in zip(inputs, arrays, strict=True) if n}
    f = form(name, inputs, shapes, first.dtype, attributes, made)
    graph = helper.make_graph(
        f.nodes,
        name,
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in zip(inputs, arrays, strict=True)
            if n
        ],
        [
            helper.make_tensor_value_info(n, ONNX_DTYPES[spec.dtype], spec.shape)
            for n, spec in zip(made, outputs, strict=True)
        ],
        f.constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return proto, {n: a for n, a in zip(inputs, arrays, strict=True) if n}
