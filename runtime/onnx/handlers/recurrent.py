"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Extents, reshape

__all__ = ["HANDLERS"]

ACTIVATIONS = ("Sigmoid", "Tanh", "Tanh")
"""Of the gates, the cell and the hidden state, in each direction."""
SEQUENCES_FIRST = (1, 0, 2)
"""From [sequences, steps, ...] to [steps, sequences, ...] and back."""


def lstm(call: Call) -> Any:
    """Record LSTM."""
    return _recorded(call, call[1], call[2])


def dynamic_quantize_lstm(call: Call) -> Any:
    """Record DynamicQuantizeLSTM: an LSTM by the weights' real values.

    ONNX Runtime quantises its activations step by step for speed; they stay real here.
    """
    w, r = (_real_weights(call, weights, scale) for weights, scale in ((1, 8), (2, 10)))
    return _recorded(call, w, r)


def _recorded(call: Call, w: Any, r: Any) -> Any:
    direction = call.get("direction", "forward")
    _refuse_what_is_not_served(call, 2 if direction == "bidirectional" else 1)
    batch_first = bool(call.get("layout", 0))
    x, hidden, cell = call[0], call.optional(5), call.optional(6)
    if batch_first:
        x = dispatch.transpose(x, SEQUENCES_FIRST)
        hidden, cell = (
            None if state is None else dispatch.transpose(state, SEQUENCES_FIRST)
            for state in (hidden, cell)
        )
    y, last_h, last_c = dispatch.lstm(
        x, w, r, call.optional(3), call.optional(4), hidden, cell, call.optional(7),
        direction=direction,
    )  # fmt: skip
    if batch_first:
        y = dispatch.transpose(y, (2, 0, 1, 3))
        last_h, last_c = (dispatch.transpose(state, SEQUENCES_FIRST) for state in (last_h, last_c))
    return y, last_h, last_c


def _refuse_what_is_not_served(call: Call, directions: int) -> None:
    names: Sequence[str] = call.get("activations", [])
    if names and tuple(names) != ACTIVATIONS * directions:
        raise ModelError(f"activations: expected {', '.join(ACTIVATIONS)}, got {', '.join(names)}")
    if call.get("clip", 0.0):
        raise ModelError(f"clip: expected none, got {call.get('clip', 0.0)}")
    if call.get("input_forget", 0):
        raise ModelError("input_forget: expected 0, got 1")


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
    "LSTM": lstm,
    "com.microsoft::DynamicQuantizeLSTM": dynamic_quantize_lstm,
}
