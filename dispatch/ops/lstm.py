"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.operator import Array, Attributes
from dispatch.recurrence import Recurrence, schema, sigmoid

__all__ = ["OPERATOR", "lstm"]


def step(
    sums: Array,
    r: Array,
    bias: Array,
    states: Sequence[Array],
    peepholes: Array | None,
    attributes: Attributes,
) -> tuple[Array, ...]:
    """Return the hidden state and the cell after a step."""
    h, c = states
    gates = (sums + r @ h + bias.sum(0)).reshape(4, h.size)
    at_input, at_output, at_forget = np.zeros((3, h.size)) if peepholes is None else peepholes
    kept = sigmoid(gates[2] + at_forget * c)
    c = kept * c + sigmoid(gates[0] + at_input * c) * np.tanh(gates[3])
    return sigmoid(gates[1] + at_output * c) * np.tanh(c), c


OPERATOR = schema(
    Recurrence(name="lstm", onnx="LSTM", gates=4, step=step, states=("h", "c"), peepholes=3)
)


def lstm(
    x: Any,
    w: Any,
    r: Any,
    bias: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    initial_c: Any = None,
    peepholes: Any = None,
    *,
    direction: str = "forward",
    out: Any = None,
) -> Any:
    """Go through sequences by long short-term memory, as ONNX's LSTM with its own activations.

    With the gates in ONNX's order, input, output, forget and cell, and h and c the
    state before a step::

        i = sigmoid(Wi x + Ri h + bi + Pi c)      f = sigmoid(Wf x + Rf h + bf + Pf c)
        c' = f c + i tanh(Wc x + Rc h + bc)       o = sigmoid(Wo x + Ro h + bo + Po c')
        h' = o tanh(c')

    Parameters
    ----------
    x : array of float32, shape (T, N, I)
        T steps of N sequences.
    w : array, shape (D, 4 H, I)
        The inputs' weights in each direction. Those that don't change:
        `dispatch.constant`; so of all that follow.
    r : array, shape (D, 4 H, H)
        The hidden state's weights.
    bias : array, shape (D, 8 H), optional
        The inputs' 4 H, then the state's.
    sequence_lens : array of int32, shape (N,), optional
        How many steps each sequence has; the results of further steps are 0.
    initial_h, initial_c : array, shape (D, N, H), optional
        The state that the first step sees; 0 where absent.
    peepholes : array, shape (D, 3 H), optional
        The cell's weights in the input, the output and the forget gate.
    direction
        ``"forward"``, ``"reverse"`` (from the last step to the first) or
        ``"bidirectional"`` (D is 2: both).
    out : tuple of arrays, optional
        Where to write the results.

    Returns
    -------
    y : array, shape (T, D, N, H)
        h after each step.
    last_h, last_c : array, shape (D, N, H)
        The state after the last.

    Raises
    ------
    InvalidArgument
        A shape or direction that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    inputs = (x, w, r, bias, sequence_lens, initial_h, initial_c, peepholes)
    return call(OPERATOR, inputs, (direction,), out)
