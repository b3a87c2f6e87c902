"""The quantised operators' references against ONNX's reference evaluator and ONNX Runtime."""

from __future__ import annotations

import warnings

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from dispatch.conformance.bounds import expect
from dispatch.conformance.runner import conformance_cases, questions
from dispatch.operators import operators

OPSET = 21
PRODUCTS = {"qconv2d": "QLinearConv", "qmatmul": "QLinearMatMul"}


def _parameters(name, quantization, dtype):
    """Return a scale and a zero point as ONNX takes them."""
    whole = quantization.axis == -1
    scale = quantization.scales[0] if whole else quantization.scales
    zero = quantization.zero_points[0] if whole else quantization.zero_points
    return [
        numpy_helper.from_array(np.asarray(scale, np.float32), f"{name}_scale"),
        numpy_helper.from_array(np.asarray(zero, dtype), f"{name}_zero"),
    ]


def _model(question):
    """Write a question as one ONNX node."""
    problem = question.problem
    y = problem.outputs[0]
    initializers, inputs, attributes = [], [], {}
    for name, tensor in zip("xwb", problem.inputs, strict=False):
        if tensor is None:
            continue
        inputs.append(name)
        if tensor.quantization is not None:
            made = _parameters(name, tensor.quantization, tensor.dtype)
            initializers += made
            inputs += [t.name for t in made]
    if y.quantization is not None:
        made = _parameters("y", y.quantization, y.dtype)
        initializers += made
        at = 6 if problem.operator in PRODUCTS else len(inputs)
        inputs[at:at] = [t.name for t in made]
    kind = PRODUCTS.get(problem.operator)
    if problem.operator == "qconv2d":
        attributes = dict(problem.attributes)
        attributes["group"] = attributes.pop("groups")
    elif problem.operator != "qmatmul":
        kind = "QuantizeLinear" if y.quantization is not None else "DequantizeLinear"
        q = y.quantization or problem.inputs[0].quantization
        attributes = {"axis": q.axis} if q.axis != -1 else {}
    feed = {n: a for n, a in zip("xwb", question.arrays, strict=False) if a is not None}
    graph = helper.make_graph(
        [helper.make_node(kind, inputs, ["y"], **attributes)],
        "quantised",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in feed.items()
        ],
        [
            helper.make_tensor_value_info(
                "y", helper.np_dtype_to_tensor_dtype(np.dtype(y.dtype)), y.shape
            )
        ],
        initializers,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
    return proto, feed


def runtime(proto, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, feed)[0]


def evaluator(proto, feed):
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(proto).run(None, feed)[0]


def _questions(name):
    operator = operators()[name]
    for dtype in operator.dtypes:
        if dtype in ("float16", "bfloat16"):
            continue
        cases = conformance_cases(operator, 12)
        for question in questions(operator, dtype, "cpu", cases):
            small = all(a is None or a.size < 20000 for a in question.arrays)
            # QLinearMatMul has no bias.
            bias = name == "qmatmul" and question.problem.inputs[2] is not None
            if small and not bias and not question.problem.epilogue:
                yield question


# (engine, how the case's label begins) that an engine does otherwise, and why.
EXCEPTIONS = {
    ("runtime", "no input channels"): "it leaves out the zero point",
    ("runtime", "(3, 0) by (0, 4)"): "it leaves out the zero point",
    ("evaluator", "edge values"): "it converts infinity to an integer",
    ("evaluator", "overflowing quotient"): "it converts infinity to an integer",
}


@pytest.mark.parametrize("name", ["qconv2d", "qmatmul", "quantize_linear", "dequantize_linear"])
@pytest.mark.parametrize("run", [runtime, evaluator])
def test_reference_is_onnxs_to_the_last_bit(name, run):
    compared, refused = 0, []
    for question in _questions(name):
        label = question.case.label
        if any(run.__name__ == e and label.startswith(start) for e, start in EXCEPTIONS):
            continue
        proto, feed = _model(question)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                got = np.asarray(run(proto, feed))
        except Exception as error:  # noqa: BLE001  each engine refuses some dtypes, in its own way
            refused.append((label, error))
            continue
        (wanted,) = expect(question, "highest")
        exact = wanted.value.astype(question.problem.outputs[0].dtype)
        np.testing.assert_array_equal(got, exact, err_msg=f"{label}: {question.problem}")
        compared += 1
    assert compared >= 40, refused
