"""ONNX's recurrent layers as torch's exporters and others write them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from tests.runtime.test_onnx_errors import info, make, node

onnx = pytest.importorskip("onnx")

STEPS, BATCH, FEATURES, SIZE = 5, 2, 3, 4
GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
STATES = {"GRU": ["h"], "LSTM": ["h", "c"], "RNN": ["h"]}
X = (STEPS, BATCH, FEATURES)
BATCH_FIRST = (BATCH, STEPS, FEATURES)


def weights(kind: str) -> dict[str, Any]:
    """Return the constants of a layer in both directions, with an initial state."""
    rng, rows = np.random.default_rng(3), GATES[kind] * SIZE
    shapes: dict[str, tuple[int, ...]] = {"w": (2, rows, FEATURES), "r": (2, rows, SIZE)}
    shapes |= {"b": (2, 2 * rows), **dict.fromkeys(STATES[kind], (2, BATCH, SIZE))}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def layer(
    kind: str, constants: dict[str, Any], shape: tuple[int, ...], **attributes: Any
) -> runtime.Trace:
    """Import a model of one layer in both directions."""
    inputs = ["x", "w", "r", "b", "", *STATES[kind]]
    results = ["y", *(f"last_{name}" for name in STATES[kind])]
    attributes = {"direction": "bidirectional", "hidden_size": SIZE, **attributes}
    model = make(
        [node(kind, inputs, results, **attributes)],
        constants,
        inputs=[info("x", shape)],
        outputs=[info(name, None) for name in results],
    )
    return runtime.from_onnx(model)


@pytest.mark.parametrize("kind", GATES)
def test_sequences_may_come_first(kind: str) -> None:
    constants = weights(kind)
    x = np.random.default_rng(4).standard_normal(X).astype(np.float32)
    y, *last = layer(kind, constants, X).compile()(x)
    turned = {name: constants[name].swapaxes(0, 1) for name in STATES[kind]}
    trace = layer(kind, {**constants, **turned}, BATCH_FIRST, layout=1)
    first_y, *first_last = trace.compile()(x.swapaxes(0, 1))
    np.testing.assert_array_equal(first_y, y.transpose(2, 0, 1, 3))
    for got, want in zip(first_last, last, strict=True):
        np.testing.assert_array_equal(got, want.swapaxes(0, 1))


@pytest.mark.parametrize(
    ("kind", "given", "settings"),
    [
        ("GRU", {}, {"linear_before_reset": False}),
        ("GRU", {"linear_before_reset": 1}, {"linear_before_reset": True}),
        ("GRU", {"activations": ["Sigmoid", "Tanh"] * 2}, {}),
        ("RNN", {}, {"nonlinearity": "tanh"}),
        ("RNN", {"activations": ["Relu", "Relu"]}, {"nonlinearity": "relu"}),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Tanh"] * 2}, {}),
    ],
)
def test_attributes_reach_the_operator(
    kind: str, given: dict[str, Any], settings: dict[str, Any]
) -> None:
    constants = weights(kind)
    w, r, bias, *states = constants.values()
    x = np.random.default_rng(5).standard_normal(X).astype(np.float32)
    trace = layer(kind, constants, X, **given)
    assert [n.operator for n in trace.graph.nodes] == [kind.lower()]
    function = dispatch.functions()[kind.lower()]
    expected = function(x, w, r, bias, None, *states, direction="bidirectional", **settings)
    for got, want in zip(trace.compile()(x), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "given", "message"),
    [
        ("RNN", {"activations": ["Affine", "Affine"]}, "activations: expected Tanh or Relu"),
        (
            "RNN",
            {"activations": ["Tanh", "Relu"]},
            "activations: expected Tanh, Tanh, got Tanh, Relu",
        ),
        ("GRU", {"activations": ["Relu", "Tanh"] * 2}, "activations: expected Sigmoid, Tanh"),
        ("LSTM", {"activations": ["Sigmoid", "Tanh", "Relu"] * 2}, "expected Sigmoid, Tanh, Tanh"),
        ("LSTM", {"input_forget": 1}, "input_forget: expected 0"),
        ("GRU", {"clip": 1.0}, "clip: expected none"),
        ("GRU", {"direction": "back"}, "direction: expected 'forward'"),
    ],
)
def test_what_is_not_served_is_named(kind: str, given: dict[str, Any], message: str) -> None:
    with pytest.raises(runtime.ModelError, match=message):
        layer(kind, weights(kind), X, **given)
