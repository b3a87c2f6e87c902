"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Extents, reshape

__all__ = ["HANDLERS"]

SEQUENCES_FIRST = (1, 0, 2)
"""From [sequences, steps, ...] to [steps, sequences, ...] and back."""
SIGMOID_TANH = ("Sigmoid", "Tanh")
"""A GRU's functions of its gates and of its candidate; an LSTM's cell has one more."""
NONLINEARITIES: Mapping[str, str] = {"Tanh": "tanh", "Relu": "relu"}


def lstm(call: Call) -> Any:
    """Record LSTM."""
    return _lstm_of(call, call[1], call[2])


def dynamic_quantize_lstm(call: Call) -> Any:
    """Record DynamicQuantizeLSTM: an LSTM by the weights' real values.

    ONNX Runtime quantises its activations step by step for speed; they stay real here.
    """
    w, r = (_real_weights(call, weights, scale) for weights, scale in ((1, 8), (2, 10)))
    return _lstm_of(call, w, r)


def gru(call: Call) -> Any:
    """Record GRU."""
    _check_activations(call, SIGMOID_TANH)
    reset = call.get("linear_before_reset", 0)

    def record(x: Any, hidden: Any) -> Any:
        return dispatch.gru(
            x, call[1], call[2], call.optional(3), call.optional(4), hidden,
            direction=_direction(call), linear_before_reset=reset,
        )  # fmt: skip

    return _recorded(call, record, (5,))


def rnn(call: Call) -> Any:
    """Record RNN."""
    name = _activations(call, ("Tanh",))[0]
    if name not in NONLINEARITIES:
        raise ModelError(f"activations: expected {' or '.join(NONLINEARITIES)}, got {name}")
    _check_activations(call, (name,))

    def record(x: Any, hidden: Any) -> Any:
        return dispatch.rnn(
            x, call[1], call[2], call.optional(3), call.optional(4), hidden,
            direction=_direction(call), nonlinearity=NONLINEARITIES[name],
        )  # fmt: skip

    return _recorded(call, record, (5,))


def _lstm_of(call: Call, w: Any, r: Any) -> Any:
    _check_activations(call, (*SIGMOID_TANH, "Tanh"))
    if call.get("input_forget", 0):
        raise ModelError("input_forget: expected 0, got 1")

    def record(x: Any, hidden: Any, cell: Any) -> Any:
        return dispatch.lstm(
            x, w, r, call.optional(3), call.optional(4), hidden, cell, call.optional(7),
            direction=_direction(call),
        )  # fmt: skip

    return _recorded(call, record, (5, 6))


def _recorded(call: Call, record: Callable[..., Any], states: Sequence[int]) -> Any:
    """Record a layer of x and initial states, whose sequences may come first."""
    if call.get("clip", 0.0):
        raise ModelError(f"clip: expected none, got {call.get('clip', 0.0)}")
    x, initial = call[0], [call.optional(index) for index in states]
    if not call.get("layout", 0):
        return record(x, *initial)
    turned = (None if s is None else dispatch.transpose(s, SEQUENCES_FIRST) for s in initial)
    y, *last = record(dispatch.transpose(x, SEQUENCES_FIRST), *turned)
    return (
        dispatch.transpose(y, (2, 0, 1, 3)),
        *(dispatch.transpose(state, SEQUENCES_FIRST) for state in last),
    )


def _direction(call: Call) -> str:
    direction: str = call.get("direction", "forward")
    return direction


def _activations(call: Call, default: Sequence[str]) -> Sequence[str]:
    names: Sequence[str] = call.get("activations", [])
    return names or default


def _check_activations(call: Call, once: Sequence[str]) -> None:
    """Refuse other functions than those, `once` in each direction."""
    expected = tuple(once) * (2 if _direction(call) == "bidirectional" else 1)
    names = _activations(call, expected)
    if tuple(names) != expected:
        raise ModelError(f"activations: expected {', '.join(expected)}, got {', '.join(names)}")


def _real_weights(call: Call, weights: int, scale: int) -> Any:
    """Return quantised weights [directions, inputs, 4 * hidden] as LSTM has them."""
    real = dispatch.cast(call[weights], "float32")
    if call.optional(scale + 1) is not None:
        zero = dispatch.cast(call[scale + 1], "float32")
        real = dispatch.sub(real, _for_each_column(call, zero))
    real = dispatch.mul(real, _for_each_column(call, call[scale]))
    return dispatch.transpose(real, (0, 2, 1))


def _for_each_column(call: Call, parameters: Value) -> Any:
    """Return numbers of the directions, or of their columns, in a shape that broadcasts."""
    columns = 1 if parameters.ndim == 1 else Extents((1,))
    return reshape(call, parameters, (Extents((0,)), 1, columns))


HANDLERS: Mapping[str, Handler] = {
    "GRU": gru,
    "LSTM": lstm,
    "RNN": rnn,
    "com.microsoft::DynamicQuantizeLSTM": dynamic_quantize_lstm,
}
