"""Control flow and sequences: what is followed at import, and what can't be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import runtime
from runtime.errors import ModelError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

X = np.arange(12, dtype=np.float32).reshape(3, 4) / 8


def info(name: str, shape: Any = None, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """Make a node of words; ``-`` is an absent one."""
    names = [n.strip("-") for n in inputs.split()]
    return helper.make_node(kind, names, outputs.split(), **attributes)


def constant(name: str, value: Any, dtype: Any = np.int64) -> Any:
    return numpy_helper.from_array(np.array(value, dtype), name)


def model(nodes: list[Any], inputs: list[Any], constants: list[Any], *outputs: str) -> Any:
    graph = helper.make_graph(nodes, "g", inputs, [info(o) for o in outputs], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    for output in made.graph.output:
        output.type.Clear()
    return made


def body(nodes: list[Any], inputs: list[Any], *outputs: Any) -> Any:
    results = [info(o) if isinstance(o, str) else o for o in outputs]
    return helper.make_graph(nodes, "body", inputs, results)


def round_of(*nodes: Any, outputs: tuple[Any, ...] = ("cond_out", "s_out")) -> Any:
    """Make a loop's body with one value of its own: s becomes s_out."""
    inputs = [info("i", (), TensorProto.INT64), info("cond", (), TensorProto.BOOL), info("s")]
    return body([*nodes, node("Identity", "cond", "cond_out")], inputs, *outputs)


def results_of(made: Any, *arrays: Any, **settings: Any) -> list[Any]:
    return list(runtime.from_onnx(made, **settings).compile()(*arrays))


def test_a_loop_becomes_its_rounds() -> None:
    made = model(
        [node("Loop", "M - x", "last every", body=round_of(
            node("Cast", "i", "f", to=TensorProto.FLOAT),
            node("Mul", "x f", "scaled"),  # x is the graph's around it
            node("Add", "s scaled", "s_out"),
            node("Identity", "s_out", "kept"),
            outputs=("cond_out", "s_out", "kept"),
        ))],
        [info("x", (3, 4))], [constant("M", 4)], "last", "every",
    )  # fmt: skip
    last, every = results_of(made, X)
    expected = [X, 2 * X, 4 * X, 7 * X]
    np.testing.assert_array_equal(last, expected[-1])
    np.testing.assert_array_equal(every, expected)


def test_a_condition_of_known_values_ends_a_loop() -> None:
    less = round_of(node("Mul", "s two", "s_out"), outputs=("goes_on", "s_out"))
    less.node.append(node("Less", "i three", "goes_on"))
    made = model(
        [node("Loop", "- yes x", "y", body=less)], [info("x", (3, 4))],
        [constant("yes", True, bool), constant("two", 2, "f4"), constant("three", 3)], "y",
    )  # fmt: skip
    np.testing.assert_array_equal(results_of(made, X)[0], X * 16)


def test_a_body_may_hold_another_and_a_branch() -> None:
    inner = round_of(node("Add", "s x", "s_out"))
    taken = {
        "then_branch": body([node("Identity", "t", "a")], [], "a"),
        "else_branch": body([node("Neg", "t", "b")], [], "b"),
    }
    outer = round_of(
        node("Loop", "two - s", "t", body=inner),
        node("Equal", "i zero", "first"),
        node("If", "first", "s_out", **taken),
    )
    made = model(
        [node("Loop", "two - x", "y", body=outer)], [info("x", (3, 4))],
        [constant("two", 2), constant("zero", 0)], "y",
    )  # fmt: skip
    np.testing.assert_array_equal(results_of(made, X)[0], -5 * X)


def test_no_round_gives_what_was_given_and_an_empty_result() -> None:
    kept = info("kept", (2, 4))
    rounds = round_of(
        node("Identity", "s", "s_out"), node("Identity", "s", "kept"),
        outputs=("cond_out", "s_out", kept),
    )  # fmt: skip
    nodes = [node("Loop", "M - x", "y every", body=rounds)]
    made = model(nodes, [info("x", (3, 4))], [constant("M", 0)], "y", "every")
    y, every = results_of(made, X)
    np.testing.assert_array_equal(y, X)
    assert (every.shape, every.dtype) == ((0, 2, 4), np.float32)
    rounds.output[2].CopyFrom(info("kept"))
    made = model([node("Loop", "M - x", "y every", body=rounds)], [info("x", (3, 4))],
                 [constant("M", 0)], "y", "every")  # fmt: skip
    with pytest.raises(ModelError, match="no round is run, and the shape of 'kept'"):
        runtime.from_onnx(made)


def test_a_scan_is_a_recurrent_network() -> None:
    """As TensorFlow's are exported: h = tanh(x w + h u), forwards and backwards."""
    rng = np.random.default_rng(3)
    x, w, u, h = (rng.standard_normal(s).astype("f4") for s in ((5, 2, 3), (3, 4), (4, 4), (2, 4)))
    step = body(
        [
            node("MatMul", "e w", "p"), node("MatMul", "h u", "q"), node("Add", "p q", "r"),
            node("Tanh", "r", "h_out"), node("Identity", "h_out", "out"),
        ],
        [info("h"), info("e")], "h_out", "out",
    )  # fmt: skip
    for back in (0, 1):
        scan = node("Scan", "h0 x", "last every", body=step, num_scan_inputs=1,
                    scan_input_directions=[back], scan_output_directions=[back],
                    scan_output_axes=[1])  # fmt: skip
        held = [numpy_helper.from_array(a, n) for n, a in (("w", w), ("u", u), ("h0", h))]
        last, every = results_of(model([scan], [info("x", x.shape)], held, "last", "every"), x)
        state, states = h.astype("f8"), []
        for element in x[::-1] if back else x:
            state = np.tanh(element @ w + state @ u)
            states.append(state)
        np.testing.assert_allclose(last, state, rtol=1e-5, atol=1e-6)
        states = states[::-1] if back else states
        np.testing.assert_allclose(every, np.stack(states, 1), rtol=1e-5, atol=1e-6)


def test_many_rounds_are_stacked() -> None:
    rounds = body([node("Add", "s e", "s_out"), node("Identity", "s_out", "kept")],
                  [info("s"), info("e")], "s_out", "kept")  # fmt: skip
    scan = node("Scan", "zero x", "last every", body=rounds, num_scan_inputs=1)
    x = np.ones((1100, 2), np.float32)
    made = model([scan], [info("x", x.shape)], [constant("zero", [0, 0], "f4")], "last", "every")
    last, every = results_of(made, x)
    np.testing.assert_array_equal(last, [1100, 1100])
    np.testing.assert_array_equal(every, np.cumsum(x, 0))


def test_a_loop_that_grows_a_sequence() -> None:
    """As PyTorch's scripts are exported: a list is appended to and stacked."""
    rounds = round_of(node("Mul", "x x", "e"), node("SequenceInsert", "s e", "s_out"))
    made = model(
        [
            node("SequenceEmpty", "", "none"), node("Loop", "M - none", "all", body=rounds),
            node("ConcatFromSequence", "all", "y", axis=-1, new_axis=1),
            node("SequenceLength", "all", "n"),
        ],
        [info("x", (3, 4))], [constant("M", 3)], "y", "n",
    )  # fmt: skip
    y, n = results_of(made, X)
    np.testing.assert_array_equal(y, np.stack([X * X] * 3, -1))
    assert n == 3


def test_attributes_of_a_function_are_seen_within_a_body() -> None:
    leaky = helper.make_node("LeakyRelu", ["s"], ["s_out"])
    reference = leaky.attribute.add()
    reference.name, reference.ref_attr_name = "alpha", "slope"
    reference.type = onnx.AttributeProto.FLOAT
    function = helper.make_function(
        "own", "Twice", ["a", "n"], ["b"],
        [node("Loop", "n - a", "b", body=round_of(leaky))], [helper.make_opsetid("", 21)],
        ["slope"],
    )  # fmt: skip
    call = helper.make_node("Twice", ["x", "two"], ["y"], domain="own", slope=0.5)
    made = model([call], [info("x", (3, 4))], [constant("two", 2)], "y")
    made.functions.append(function)
    made.opset_import.append(helper.make_opsetid("own", 1))
    np.testing.assert_array_equal(results_of(made, -X)[0], -X / 4)


PLAIN = round_of(node("Relu", "s", "s_out"))
ONE = body([node("Relu", "s", "s_out")], [info("s")], "s_out")


@pytest.mark.parametrize(
    ("nodes", "constants", "reason"),
    [
        ([node("Loop", "n - x", "y", body=PLAIN)], [], "M: expected a constant"),
        ([node("Loop", "- c x", "y", body=PLAIN)], [], "cond: expected a constant"),
        ([node("Loop", "M - x", "y", body=PLAIN)], [constant("M", 17000)], "at most 16384 rounds"),
        ([node("Loop", "- - x", "y", body=PLAIN)], [], "at most 16384 rounds"),
        ([node("Loop", "M - x", "y", body=round_of(node("Loop", "M - s", "s_out", body=PLAIN)))],
         [constant("M", 200)], "at most 16384 rounds of all"),
        ([node("Loop", "M - x", "y", body=ONE)], [constant("M", 1)],
         "a body of 3 inputs, got 1"),
        ([node("Loop", "M - x", "y")], [constant("M", 1)], "body: expected the attribute"),
        ([node("Loop", "M - x", "y", body=3)], [constant("M", 1)], "expected a graph, got int"),
        ([node("Scan", "x", "y", body=ONE)], [], "num_scan_inputs: expected 1 to 1, got 0"),
        ([node("Scan", "x z", "y", body=PLAIN, num_scan_inputs=2)], [], r"one length, got \[3, 4"),
        ([node("Scan", "d", "y", body=ONE, num_scan_inputs=1)], [], "got a dynamic one"),
        ([node("Scan", "x", "y", body=ONE, num_scan_inputs=1, scan_input_axes=[0, 1])], [],
         "scan_input_axes: expected 1 numbers, got 2"),
        ([node("SequenceConstruct", "x x", "y")], [], "outputs: expected tensors, got the seq"),
        ([node("SequenceConstruct", "x x", "s"), node("Relu", "s", "y")], [],
         "expected a tensor, got a sequence"),
        ([node("SequenceLength", "x", "y")], [], "expected a sequence, got the tensor"),
        ([node("SequenceConstruct", "x x", "s"), node("SequenceAt", "s p", "y")],
         [constant("p", 2)], "position: expected from -2 to 1, got 2"),
        ([node("SequenceConstruct", "x x", "s"), node("SequenceAt", "s n", "y")], [],
         "position: expected a constant"),
        ([node("SequenceEmpty", "", "s"), node("SequenceErase", "s", "t"),
          node("SequenceLength", "t", "y")], [], "got an empty one"),
        ([node("SplitToSequence", "x p", "s", axis=0), node("SequenceLength", "s", "y")],
         [constant("p", 0)], "split: expected at least 1, got 0"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused(nodes, constants, reason) -> None:
    inputs = [
        info("x", (3, 4)), info("z", (4, 4)), info("d", ("n", 4)),
        info("n", (), TensorProto.INT64), info("c", (), TensorProto.BOOL),
    ]  # fmt: skip
    with pytest.raises(ModelError, match=reason):
        runtime.from_onnx(model(nodes, inputs, constants, "y"))
