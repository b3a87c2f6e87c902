"""A problem as an ONNX model of one operator and its epilogue, for the peers that read ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from bench.case import operator_of
from bench.engines.base import require
from bench.errors import Refused
from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from dispatch.problem import EpilogueStep, Problem

__all__ = ["OPSET", "live_inputs", "model_of"]

OPSET = 20


def _window(a: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(a[name]) for name in ("strides", "pads", "dilations") if name in a}


def _convolution(a: Mapping[str, Any]) -> dict[str, Any]:
    extra = {"output_padding": list(a["output_padding"])} if "output_padding" in a else {}
    return {**_window(a), **extra, "group": a["groups"]}


def _pool(a: Mapping[str, Any]) -> dict[str, Any]:
    counted = {"count_include_pad": int(a["count_include_pad"])} if "count_include_pad" in a else {}
    return {
        **_window(a),
        **counted,
        "kernel_shape": list(a["kernel_shape"]),
        "ceil_mode": int(a["ceil_mode"]),
    }


def _same(a: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in a.items() if not isinstance(value, bool)}


_ATTRIBUTES: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "conv2d": _convolution,
    "conv_transpose2d": _convolution,
    "max_pool2d": _pool,
    "avg_pool2d": _pool,
    "softmax": _same,
    "log_softmax": _same,
    "layer_norm": _same,
    "batch_norm": _same,
    "gelu": _same,
    "elu": _same,
    "leaky_relu": _same,
    "hard_sigmoid": _same,
    "transpose": lambda a: {"perm": list(a["permutation"])},
    "concat": _same,
    "lrn": _same,
    "argmax": lambda a: {name: int(value) for name, value in a.items()},
}
"""ONNX's attributes of those operators that have any; the others must have none set."""

_REDUCTIONS = frozenset({"sum", "mean", "max", "min", "prod"})
"""Operators whose axes are an input in ONNX."""

_STEPS: Mapping[str, Callable[[EpilogueStep], tuple[str, dict[str, Any]]]] = {
    "add": lambda s: ("Add", {}),
    "mul": lambda s: ("Mul", {}),
    "relu": lambda s: ("Relu", {}),
    "sigmoid": lambda s: ("Sigmoid", {}),
    "tanh": lambda s: ("Tanh", {}),
    "silu": lambda s: ("Mul", {}),  # x · sigmoid(x), as exporters write it: Swish is of opset 24
    "hard_swish": lambda s: ("HardSwish", {}),
    "clip": lambda s: ("Clip", {}),
    "hard_sigmoid": lambda s: ("HardSigmoid", {"alpha": s.alpha, "beta": s.beta}),
    "leaky_relu": lambda s: ("LeakyRelu", {"alpha": s.alpha}),
    "elu": lambda s: ("Elu", {"alpha": s.alpha}),
    "gelu": lambda s: ("Gelu", {"approximate": "tanh" if s.alpha == 1 else "none"}),
}


def live_inputs(problem: Problem) -> list[int]:
    """Return the indices of the inputs that a call is given: present, and no constants."""
    return [i for i, s in enumerate(problem.inputs) if s is not None and not s.constant]


def model_of(problem: Problem, arrays: Sequence[Array | None]) -> bytes:
    """Return a serialised model; its inputs are named ``x0``, ``x1`` … by index.

    Raises
    ------
    Refused
        If ONNX has no such operator, or bench no translation.
    MissingExtra
        If the package onnx isn't installed.
    """
    require("onnx", "peers")
    from onnx import TensorProto, helper, numpy_helper

    names = ["" if s is None else f"x{i}" for i, s in enumerate(problem.inputs)]
    nodes, result = _nodes(problem, names, helper, numpy_helper.from_array)
    types = {"bfloat16": TensorProto.BFLOAT16}

    def value(name: str, dtype: str, shape: Sequence[int]) -> Any:
        kind = types.get(dtype) or helper.np_dtype_to_tensor_dtype(numpy_dtype(dtype))
        return helper.make_tensor_value_info(name, kind, shape)

    live = live_inputs(problem)
    specs = [problem.inputs[i] for i in live]
    inputs = [
        value(names[i], s.dtype, s.shape) for i, s in zip(live, specs, strict=True) if s is not None
    ]
    constants = [
        numpy_helper.from_array(a, names[i])
        for i, (a, s) in enumerate(zip(arrays, problem.inputs, strict=True))
        if a is not None and s is not None and s.constant
    ]
    outputs = [value(n, s.dtype, s.shape) for n, s in zip(result, problem.outputs, strict=True)]
    graph = helper.make_graph(nodes, problem.operator, inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    serialised: bytes = model.SerializeToString()
    return serialised


def _nodes(
    problem: Problem, names: Sequence[str], helper: Any, tensor_of: Callable[[Array], Any]
) -> tuple[list[Any], list[str]]:
    """Return the operator's node and those of its epilogue, and the outputs' names."""
    attributes = dict(problem.attributes)
    own = list(names[: problem.num_operator_inputs])
    results = [f"y{i}" for i in range(len(problem.outputs))]
    if problem.operator in ("matmul", "linear"):
        nodes = _product(problem, own, results[0], helper)
    elif problem.operator in _REDUCTIONS:
        axes = tensor_of(np.array(attributes["axes"], np.int64))
        nodes = [
            helper.make_node("Constant", [], ["axes"], value=axes),
            helper.make_node(
                operator_of(problem.operator).onnx[0],
                [*own, "axes"],
                results,
                keepdims=int(bool(attributes["keepdims"])),
            ),
        ]
    else:
        onnx = operator_of(problem.operator).onnx
        translate = _ATTRIBUTES.get(problem.operator)
        if len(onnx) != 1 or (attributes and translate is None):
            raise Refused(f"{problem.operator} has no single ONNX operator of the same form")
        given = translate(attributes) if translate else {}
        while own and not own[-1]:
            own.pop()
        nodes = [helper.make_node(onnx[0], own, results, **given)]
    last = results[0]
    for number, step in enumerate(problem.epilogue):
        translated = _STEPS.get(step.name)
        if translated is None:
            raise Refused(f"an epilogue with {step.name} has no single ONNX operator")
        kind, given = translated(step)
        operands = [last, names[step.input]] if step.input >= 0 else [last]
        if step.name == "clip":
            for bound, limit in (("minimum", step.alpha), ("maximum", step.beta)):
                name = f"{bound}{number}"
                operands.append(name)
                value = np.array(limit, numpy_dtype(problem.outputs[0].dtype))
                nodes.append(helper.make_node("Constant", [], [name], value=tensor_of(value)))
        if step.name == "silu":
            nodes.append(helper.make_node("Sigmoid", operands, [f"gate{number}"]))
            operands = [last, f"gate{number}"]
        last = f"e{number}"
        nodes.append(helper.make_node(kind, operands, [last], **given))
    return nodes, [last, *results[1:]]


def _product(problem: Problem, own: list[str], result: str, helper: Any) -> list[Any]:
    """Gemm where there are two matrices, else MatMul and Add."""
    attributes = dict(problem.attributes)
    bias = own[2] if len(own) > 2 else ""
    specs = [s for s in problem.inputs[:2] if s is not None]
    transposed = (
        int(attributes.get("transpose_a", 0)),  # type: ignore[arg-type]
        1 if problem.operator == "linear" else int(attributes.get("transpose_b", 0)),  # type: ignore[arg-type]
    )
    alpha = float(attributes.get("alpha", 1.0))  # type: ignore[arg-type]
    if all(s.rank == 2 for s in specs):
        return [
            helper.make_node(
                "Gemm",
                own if bias else own[:2],
                [result],
                transA=transposed[0],
                transB=transposed[1],
                alpha=alpha,
            )
        ]
    if any(transposed) or alpha != 1.0:
        raise Refused("a batched product of transposed matrices has no single ONNX operator")
    if not bias:
        return [helper.make_node("MatMul", own[:2], [result])]
    return [
        helper.make_node("MatMul", own[:2], ["product"]),
        helper.make_node("Add", ["product", bias], [result]),
    ]
