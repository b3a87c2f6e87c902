"""What follows from dynamic extents, replayed for several shapes, beside ONNX's evaluator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import runtime

Node = tuple[str, Sequence[str], str, Mapping[str, Any]]

CONSTANTS = {
    "zero": np.array(0, np.int64),
    "one": np.array(1, np.int64),
    "two": np.array(2, np.int64),
    "axis0": np.array([0], np.int64),
    "axis2": np.array([2], np.int64),
    "ones": np.array([1, 1], np.int64),
    "half": np.array(0.5, np.float32),
    "values": np.array([0.25, 3.0], np.float32),
    "hann": np.hanning(8).astype(np.float32),
    "length": np.array(8, np.int64),
}
SHAPE: list[Node] = [
    ("Shape", ["x"], "shape", {}),
    ("Gather", ["shape", "zero"], "rows", {}),
    ("Gather", ["shape", "one"], "columns", {}),
]

CASES: dict[str, list[Node]] = {
    "a range of rows": [*SHAPE, ("Range", ["zero", "rows", "one"], "y", {})],
    "a range by steps": [*SHAPE, ("Range", ["rows", "zero", "minus1"], "y", {})],
    "a range of none": [*SHAPE, ("Range", ["rows", "zero", "one"], "y", {})],
    "a range of floats": [
        *SHAPE,
        ("Cast", ["rows"], "limit", {"to": TensorProto.FLOAT}),
        ("Range", ["half", "limit", "half"], "y", {}),
    ],
    "the upper triangle": [("Trilu", ["x", "one"], "y", {"upper": 1})],
    "the lower triangle of a shape": [
        ("Shape", ["x"], "shape", {}),
        ("ConstantOfShape", ["shape"], "filled", {"value": numpy_helper.from_array(np.ones(1))}),
        ("Trilu", ["filled"], "y", {"upper": 0}),
    ],
    "paddings of either sign": [
        *SHAPE,
        ("Sub", ["two", "rows"], "last", {}),
        ("Unsqueeze", ["last", "axis0"], "some", {}),
        ("Concat", ["some", "axis0", "axis0", "axis0"], "pads", {"axis": 0}),
        ("Pad", ["x", "pads"], "y", {}),
    ],
    "repetitions": [("Shape", ["x"], "shape", {}), ("Tile", ["x", "shape"], "y", {})],
    "one value of several": [
        *SHAPE,
        ("Range", ["zero", "rows", "one"], "places", {}),
        ("OneHot", ["places", "columns", "values"], "y", {"axis": 0}),
    ],
    "no axes to squeeze": [
        ("Shape", ["x"], "extent", {"start": 0, "end": 1}),
        ("Squeeze", ["extent"], "rows", {}),
        ("Range", ["zero", "rows", "one"], "y", {}),
    ],
    "sizes of an image": [
        ("Shape", ["x"], "shape", {}),
        ("Add", ["shape", "ones"], "wanted", {}),
        ("Resize", ["x", "", "", "wanted"], "y", {"mode": "linear"}),
    ],
    "a product": [("Einsum", ["x", "x"], "y", {"equation": "ij,kj->ik"})],
    "an outer product": [("Einsum", ["x", "x"], "y", {"equation": "ij,kl->ijkl"})],
    "sums and one axis of both": [("Einsum", ["x", "x", "x"], "y", {"equation": "ij,ik,il->jl"})],
    "all of it": [("Einsum", ["x", "x"], "y", {"equation": "ij,ij->"})],
    "a diagonal": [
        ("MatMul", ["x", "xt"], "square", {}),
        ("Einsum", ["square"], "y", {"equation": "ii->i"}),
    ],
    "frames of a signal": [
        ("Unsqueeze", ["x", "axis2"], "signal", {}),
        ("STFT", ["signal", "two", "hann", "length"], "y", {"onesided": 1}),
    ],
    "a training batch": [
        ("Unsqueeze", ["x", "axis0"], "batch", {}),
        ("Transpose", ["batch"], "swapped", {"perm": [1, 2, 0]}),
        ("Shape", ["x"], "width", {"start": 1, "end": 2}),
        ("Expand", ["half", "width"], "channel", {}),
        (
            "BatchNormalization",
            ["swapped", "channel", "channel", "channel", "channel"],
            "y",
            {"training_mode": 1},
        ),
    ],
}
SHAPES = ((12, 12), (3, 16), (9, 8), (1, 20), (31, 9))


def model(nodes: Sequence[Node]) -> Any:
    made = [
        helper.make_node("Transpose", ["x"], ["xt"]),
        helper.make_node("Neg", ["one"], ["minus1"]),
    ]
    made += [helper.make_node(kind, inputs, [y], **a) for kind, inputs, y, a in nodes]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "columns"])
    kind = TensorProto.INT64 if nodes[-1][0] == "Range" and "half" not in nodes[-1][1] else None
    y = helper.make_tensor_value_info("y", kind or TensorProto.FLOAT, None)
    if nodes[-2:-1] and nodes[-2][0] == "ConstantOfShape":
        y = helper.make_tensor_value_info("y", TensorProto.DOUBLE, None)
    held = [numpy_helper.from_array(a, n) for n, a in CONSTANTS.items()]
    graph = helper.make_graph(made, "case", [x], [y], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def onnx_runtime(proto: Any) -> Any:
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(proto.SerializeToString()).run


@pytest.mark.parametrize("name", CASES)
def test_replays_at_any_shape(name: str) -> None:
    proto = model(CASES[name])
    replay = runtime.from_onnx(proto).compile()
    # ONNX's evaluator can't cut off.
    run = onnx_runtime(proto) if "either sign" in name else ReferenceEvaluator(proto).run
    for index, shape in enumerate(SHAPES):
        x = np.random.default_rng(index).uniform(-2, 2, shape).astype(np.float32)
        (want,) = run(None, {"x": x})
        (got,) = replay(x)
        want = np.asarray(want)
        assert (got.dtype, got.shape) == (want.dtype, want.shape), shape
        np.testing.assert_allclose(got, want, 1e-4, 1e-4, err_msg=str(shape))


@pytest.mark.parametrize(
    "equation", ["ij", "ij,jk,kl->il", "ij,jk->iq", "ij,j2->i", "iij,jk->ik", "ij,jk->ii"]
)
def test_equations_that_do_not_fit(equation: str) -> None:
    nodes: list[Node] = [("Einsum", ["x", "x"], "y", {"equation": equation})]
    with pytest.raises(runtime.ModelError, match="equation: expected"):
        runtime.from_onnx(model(nodes))


def test_sizes_that_follow_from_elements_are_refused() -> None:
    nodes: list[Node] = [
        ("ReduceMax", ["x"], "largest", {"keepdims": 0}),
        ("Cast", ["largest"], "limit", {"to": TensorProto.INT64}),
        ("Range", ["zero", "limit", "one"], "y", {}),
    ]
    with pytest.raises(runtime.ModelError, match="follows from the inputs' shapes") as caught:
        runtime.from_onnx(model(nodes))
    assert str(caught.value).count("Range 'y'") == 1


@pytest.mark.parametrize(("columns", "frames"), [(7, 0), (8, 1), (9, 1), (10, 2)])
def test_a_signal_shorter_than_a_frame_has_none(columns: int, frames: int) -> None:
    replay = runtime.from_onnx(model(CASES["frames of a signal"])).compile()
    (y,) = replay(np.ones((2, columns), np.float32))
    assert y.shape == (2, frames, 5, 2)
