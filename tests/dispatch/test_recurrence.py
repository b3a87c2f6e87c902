"""Recurrent operators: what the conformance kit doesn't ask."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import dispatch
from dispatch.errors import InvalidArgument, UnsupportedDtype

GATES = {"gru": 3, "lstm": 4, "rnn": 1}
LAYERS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("lstm", {}),
    "gru, reset before": ("gru", {}),
    "gru, reset after": ("gru", {"linear_before_reset": True}),
    "rnn, tanh": ("rnn", {}),
    "rnn, relu": ("rnn", {"nonlinearity": "relu"}),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def layer_of(name: str) -> tuple[str, partial[Any]]:
    """Return a layer's operator and the layer."""
    operator, settings = LAYERS[name]
    return operator, partial(dispatch.functions()[operator], **settings)


def tensors(operator: str, size: int = 4, **others: Any) -> dict[str, Any]:
    """Return 5 steps of 2 sequences of 3 inputs."""
    rng = np.random.default_rng(1)
    rows = GATES[operator] * size
    shapes = {"x": (5, 2, 3), "w": (1, rows, 3), "r": (1, rows, size), "bias": (1, 2 * rows)}
    made = {key: rng.standard_normal(shape).astype(np.float32) for key, shape in shapes.items()}
    return {**made, **others}


@every_layer
def test_a_state_carries_a_sequence_on(name: str) -> None:
    operator, layer = layer_of(name)
    whole = tensors(operator)
    y, *last = layer(**whole)
    first, *states = layer(**{**whole, "x": whole["x"][:2]})
    initial = dict(zip(("initial_h", "initial_c"), states, strict=False))
    second, *after = layer(**{**whole, "x": whole["x"][2:]}, **initial)
    np.testing.assert_allclose(np.concatenate([first, second]), y, rtol=1e-5, atol=1e-6)
    for got, want in zip(after, last, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@every_layer
def test_reverse_is_the_turned_sequence(name: str) -> None:
    operator, layer = layer_of(name)
    given = tensors(operator)
    y, *last = layer(**given)
    turned, *turned_last = layer(**{**given, "x": given["x"][::-1]}, direction="reverse")
    np.testing.assert_array_equal(turned[::-1], y)
    np.testing.assert_array_equal(turned_last, last)


@every_layer
def test_both_directions_are_each_of_them(name: str) -> None:
    operator, layer = layer_of(name)
    given = tensors(operator)
    doubled = {key: np.concatenate([a, -a]) for key, a in given.items() if key != "x"}
    for threads in (1, 2):
        with dispatch.using(threads=threads):
            y, *last = layer(given["x"], **doubled, direction="bidirectional")
            for index, direction in enumerate(("forward", "reverse")):
                own = {key: a[index : index + 1] for key, a in doubled.items()}
                one, *one_last = layer(given["x"], **own, direction=direction)
                np.testing.assert_array_equal(y[:, index : index + 1], one)
                for got, want in zip(last, one_last, strict=True):
                    np.testing.assert_array_equal(got[index : index + 1], want)


@every_layer
def test_a_sequence_without_steps_keeps_its_state(name: str) -> None:
    operator, layer = layer_of(name)
    given = tensors(operator, sequence_lens=np.array([0, 5], np.int32))
    initial = np.random.default_rng(2).standard_normal((1, 2, 4)).astype(np.float32)
    y, last_h, *_ = layer(**given, initial_h=initial)
    np.testing.assert_array_equal(y[:, 0, 0], 0)
    np.testing.assert_array_equal(last_h[0, 0], initial[0, 0])
    np.testing.assert_array_equal(last_h[0, 1], y[-1, 0, 1])


@every_layer
def test_nan_stays_in_its_sequence(name: str) -> None:
    operator, layer = layer_of(name)
    given = tensors(operator)
    clean, *_ = layer(**given)
    given["x"][2, 1] = np.nan
    y, *_ = layer(**given)
    assert np.isnan(y[2:, 0, 1]).all()
    np.testing.assert_array_equal(y[:, 0, 0], clean[:, 0, 0])
    np.testing.assert_array_equal(y[:2], clean[:2])


@pytest.mark.parametrize("name", [name for name in LAYERS if "relu" not in name])
def test_large_gates_saturate(name: str) -> None:
    operator, layer = layer_of(name)
    given = tensors(operator)
    given["x"] = given["x"] * np.float32(1e30)
    for result in layer(**given):
        assert np.isfinite(result).all()
        assert np.abs(result).max() <= 5.0


@every_layer
def test_constant_weights_are_kept_packed(name: str) -> None:
    operator, layer = layer_of(name)
    given = tensors(operator)
    constants = {**given, "w": dispatch.constant(given["w"]), "r": dispatch.constant(given["r"])}
    with dispatch.using(packs="portable"):
        packed = dispatch.explain(
            layer.func, **constants, **layer.keywords
        ).decision.answer.packed_bytes
        assert [index for index, count in enumerate(packed) if count] == [1, 2]
        for got, want in zip(layer(**constants), layer(**given), strict=True):
            np.testing.assert_array_equal(got, want)


def test_one_unit_is_reset_before_its_product_or_after() -> None:
    given = tensors("gru", size=1)
    given["bias"][0, 5] = 0.0
    before, _ = dispatch.gru(**given)
    after, _ = dispatch.gru(**given, linear_before_reset=True)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-6)


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "direction": ({"direction": "back"}, InvalidArgument, "direction: expected 'forward' or"),
    "directions": (
        {"direction": "bidirectional"}, InvalidArgument, r"w: expected shape \(2, {rows}, 3\)"
    ),
    "gates": (
        {"r": np.zeros((1, 13, 4), np.float32)},
        InvalidArgument,
        r"r: expected shape \(1, {rows}, 4\)",
    ),
    "bias": (
        {"bias": np.zeros((1, 7), np.float32)},
        InvalidArgument,
        r"bias: expected shape \(1, {two}\)",
    ),
    "lengths": (
        {"sequence_lens": np.zeros(3, np.int32)}, InvalidArgument, "sequence_lens: expected shape"
    ),
    "lengths of 64 bits": (
        {"sequence_lens": np.zeros(2, np.int64)}, UnsupportedDtype, "sequence_lens: expected dtype"
    ),
    "state's dtype": (
        {"initial_h": np.zeros((1, 2, 4))}, UnsupportedDtype, "initial_h: expected dtype float32"
    ),
    "state": (
        {"initial_h": np.zeros((2, 4), np.float32)}, InvalidArgument, "initial_h: expected shape"
    ),
    "rank": ({"x": np.zeros((5, 3), np.float32)}, InvalidArgument, "x: expected 3 dimensions"),
    "dtype": ({"x": np.zeros((5, 2, 3))}, UnsupportedDtype, "float64"),
}  # fmt: skip


@pytest.mark.parametrize("operator", GATES)
@pytest.mark.parametrize("name", WRONG)
def test_bad_input_is_named(operator: str, name: str) -> None:
    given, error, message = WRONG[name]
    rows = 4 * GATES[operator]
    expected = message.format(rows=rows, two=2 * rows)
    with pytest.raises(error, match=f"{operator}.*{expected}"):
        dispatch.functions()[operator](**tensors(operator, **given))


def test_bad_settings_are_named() -> None:
    with pytest.raises(InvalidArgument, match="gru: linear_before_reset: expected True or False"):
        dispatch.gru(**tensors("gru"), linear_before_reset=2)
    with pytest.raises(InvalidArgument, match="rnn: nonlinearity: expected 'tanh' or 'relu'"):
        dispatch.rnn(**tensors("rnn"), nonlinearity="sigmoid")
    cell = np.zeros((1, 2, 5), np.float32)
    with pytest.raises(InvalidArgument, match="lstm: initial_c: expected shape"):
        dispatch.lstm(**tensors("lstm"), initial_c=cell)
    with pytest.raises(InvalidArgument, match="lstm: peepholes: expected shape"):
        dispatch.lstm(**tensors("lstm"), peepholes=np.zeros((1, 8), np.float32))
