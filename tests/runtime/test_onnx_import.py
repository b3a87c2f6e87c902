"""What a model becomes: dynamic extents, constants, functions, branches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import runtime
from runtime.graph import Reference
from tests.runtime.reference import run_graph
from tests.runtime.test_onnx_errors import info, make, node

onnx = pytest.importorskip("onnx")


def run(trace: runtime.Trace, **inputs: Any) -> list[Any]:
    """Return a trace's outputs, by kernels; the references must agree."""
    results = trace.compile()(**inputs)
    for got, want in zip(results, run_graph(trace.graph, inputs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    return list(results)


def softmax(x: Any) -> Any:
    """Return the softmax over all axes but the first."""
    e = np.exp(x - x.max((1, 2, 3), keepdims=True))
    return e / e.sum((1, 2, 3), keepdims=True)


def test_shape_arithmetic_stays_dynamic() -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["n"]),
        node("Unsqueeze", ["n", "axes"], ["n1"]),
        node("Concat", ["n1", "minus"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["y"]),
    ]
    weights = {"zero": np.int64(0), "axes": np.array([0]), "minus": np.array([-1])}
    trace = runtime.from_onnx(make(nodes, weights, inputs=[info("x", ("n", 3, "w"))]))
    assert [i.shape for i in trace.graph.inputs] == [("n", 3, "w")]
    assert any(isinstance(a, Reference) for n in trace.graph.nodes for a in n.attributes.values())
    replay = trace.compile()
    for shape in ((1, 3, 4), (5, 3, 2), (2, 3, 7)):
        x = np.random.default_rng(0).random(shape, np.float32)
        (y,) = replay(x)
        assert np.array_equal(y, x.reshape(shape[0], -1))


def test_shapes_of_fixed_inputs_are_numbers() -> None:
    nodes = [node("Shape", ["x"], ["s"]), node("Expand", ["one", "s"], ["e"]),
             node("Add", ["x", "e"], ["y"])]  # fmt: skip
    trace = runtime.from_onnx(make(nodes, {"one": np.float32(1)}))
    assert [n.operator for n in trace.graph.nodes] == ["add"]
    (y,) = run(trace, x=np.zeros((2, 3), np.float32))
    assert np.array_equal(y, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("Flatten", ["x"], ["y"], axis=2)], lambda x: x.reshape(x.shape[0] * 4, -1)),
        ([node("Softmax", ["x"], ["y"], axis=1)], softmax),
        ([node("Squeeze", ["x"], ["y"], axes=[3])], lambda x: x[..., 0]),
        ([node("Unsqueeze", ["x"], ["y"], axes=[0, 3])], lambda x: x[None, :, :, None]),
        ([node("DepthToSpace", ["x"], ["y"], blocksize=2)],
         lambda x: x.reshape(len(x), 2, 2, 1, x.shape[2], 1).transpose(0, 3, 4, 1, 5, 2)
         .reshape(len(x), 1, 2 * x.shape[2], 2)),
        ([node("Shape", ["x"], ["y"])], lambda x: np.array(x.shape)),
        ([node("Size", ["x"], ["y"])], lambda x: np.array(x.size)),
        ([node("Hardmax", ["x"], ["y"], axis=2)],
         lambda x: np.arange(x.shape[2])[:, None] == x.argmax(2, keepdims=True)),
        ([node("GlobalAveragePool", ["x"], ["y"])], lambda x: x.mean((2, 3), keepdims=True)),
    ],
)  # fmt: skip
def test_dynamic_extents(nodes: list[Any], expected: Any) -> None:
    """Attributes of version 11: axes aren't inputs yet, and softmax goes over all axes from one."""
    trace = runtime.from_onnx(make(nodes, opset=11, inputs=[info("x", ("n", 4, "h", 1))]))
    replay = trace.compile()
    for shape in ((1, 4, 6, 1), (3, 4, 2, 1)):
        x = np.random.default_rng(1).random(shape, np.float32)
        (y,) = replay(x)
        want = expected(x)
        assert y.shape == want.shape
        np.testing.assert_allclose(y, want, rtol=1e-5)


def test_k_follows_from_shapes() -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "one", "two"], ["n"]),
        node("Min", ["n", "most"], ["k"]),
        node("TopK", ["x", "k"], ["y", "i"], sorted=0),
    ]
    weights = {"one": np.array([1]), "two": np.array([2]), "most": np.array([5])}
    integers = onnx.helper.make_tensor_value_info("i", onnx.TensorProto.INT64, None)
    outputs = [info("y", None), integers]
    model = make(nodes, weights, inputs=[info("x", ("n", "m"))], outputs=outputs)
    replay = runtime.from_onnx(model).compile()
    for shape in ((2, 3), (3, 12)):
        x = np.random.default_rng(1).random(shape, np.float32)
        y, i = replay(x)
        assert i.tolist() == np.argsort(-x, kind="stable")[:, :5].tolist()
        assert y.tolist() == np.take_along_axis(x, i, 1).tolist()


def test_a_k_that_follows_from_elements_is_refused() -> None:
    nodes = [node("Cast", ["x"], ["k"], to=onnx.TensorProto.INT64),
             node("TopK", ["w", "k"], ["y", "i"])]  # fmt: skip
    model = make(nodes, {"w": np.zeros((2, 3), np.float32)}, inputs=[info("x", (1,))])
    with pytest.raises(runtime.ModelError, match="k"):
        runtime.from_onnx(model)


def test_a_running_sums_axis_must_be_known() -> None:
    nodes = [node("Cast", ["x"], ["axis"], to=onnx.TensorProto.INT64),
             node("CumSum", ["w", "axis"], ["y"])]  # fmt: skip
    model = make(nodes, {"w": np.zeros((2, 3), np.float32)}, inputs=[info("x", (1,))])
    with pytest.raises(runtime.ModelError, match="axis: expected a constant"):
        runtime.from_onnx(model)


def test_a_squeezed_extent_must_be_one() -> None:
    model = make([node("Squeeze", ["x"], ["y"], axes=[1])], opset=11,
                 inputs=[info("x", ("n", "m"))])  # fmt: skip
    replay = runtime.from_onnx(model, examples={"x": (2, 1)}).compile()
    assert replay(np.ones((4, 1), np.float32))[0].shape == (4,)
    with pytest.raises(runtime.PlanError):
        replay(np.ones((4, 2), np.float32))


def test_fixed_and_example_shapes() -> None:
    model = make([node("Relu", ["x"], ["y"])], inputs=[info("x", ("n", "?", 3))])
    trace = runtime.from_onnx(model, shapes={"x": (2, "?", 3)})
    assert trace.graph.inputs[0].shape == (2, "?", 3)
    trace = runtime.from_onnx(model, examples={"x": (7, 5, 3)})
    assert trace.graph.inputs[0].shape == ("n", "x.1", 3)
    assert trace.graph.inputs[0].example == (7, 5, 3)


def test_inputs_as_constants() -> None:
    model = make([node("Add", ["x", "b"], ["y"])], inputs=[info("x"), info("b")])
    trace = runtime.from_onnx(model, constants={"b": np.full((2, 3), 2, np.float32)})
    (y,) = run(trace, x=np.ones((2, 3), np.float32))
    assert np.array_equal(y, np.full((2, 3), 3))


def test_weights_are_not_copied() -> None:
    w = np.random.default_rng(0).random((64, 64), np.float32)
    model = make([node("MatMul", ["x", "w"], ["y"])], {"w": w}, inputs=[info("x", (2, 64))])
    (held,) = runtime.from_onnx(model).graph.constants.values()
    assert not held.flags.writeable
    assert not held.flags.owndata
    assert np.array_equal(held, w)


def test_branches_of_known_conditions() -> None:
    branches = {
        name: onnx.helper.make_graph([node(op, ["x"], ["b"])], name, [], [info("b", None)])
        for name, op in (("then_branch", "Relu"), ("else_branch", "Neg"))
    }
    for condition, operator in ((True, "relu"), (False, "neg")):
        model = make([node("If", ["c"], ["y"], **branches)], {"c": np.array(condition)})
        assert [n.operator for n in runtime.from_onnx(model).graph.nodes] == [operator]
    inputs = [info("x"), info("c", (), onnx.TensorProto.BOOL)]
    with pytest.raises(runtime.ModelError, match="cond: expected a constant"):
        runtime.from_onnx(make([node("If", ["c"], ["y"], **branches)], inputs=inputs))


def test_functions_of_the_model() -> None:
    body = [
        onnx.helper.make_node("LeakyRelu", ["a"], ["h"]),
        onnx.helper.make_node("Add", ["h", "a"], ["b"]),
    ]
    reference = body[0].attribute.add()
    reference.name, reference.ref_attr_name = "alpha", "slope"
    reference.type = onnx.AttributeProto.FLOAT
    function = onnx.helper.make_function(
        "own", "F", ["a"], ["b"], body, [onnx.helper.make_opsetid("", 17)], ["slope"]
    )
    model = make([onnx.helper.make_node("F", ["x"], ["y"], domain="own", slope=0.5)])
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    x = np.array([[-2, 0, 2], [1, -1, 4]], np.float32)
    (y,) = run(runtime.from_onnx(model), x=x)
    assert np.array_equal(y, np.where(x > 0, 2 * x, 1.5 * x))


def test_labels_name_the_models_nodes() -> None:
    trace = runtime.from_onnx(make([node("Relu", ["x"], ["y"], name="stem/relu")]))
    assert trace.graph.nodes[0].label == "Relu 'stem/relu'"
