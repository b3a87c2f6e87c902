"""Gated recurrent units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.operator import Array, Attributes
from dispatch.recurrence import Recurrence, schema, sigmoid
from dispatch.shapes import flag

__all__ = ["OPERATOR", "gru"]

NAME = "gru"


def step(
    sums: Array,
    r: Array,
    bias: Array,
    states: Sequence[Array],
    peepholes: Array | None,
    attributes: Attributes,
) -> tuple[Array, ...]:
    """Return the hidden state after a step."""
    (h,) = states
    of_inputs = (sums + bias[0]).reshape(3, h.size)
    of_state = (r @ h + bias[1]).reshape(3, h.size)
    update, reset = sigmoid(of_inputs[:2] + of_state[:2])
    if attributes["linear_before_reset"]:
        seen = reset * of_state[2]
    else:
        seen = r[2 * h.size :] @ (reset * h) + bias[1, 2 * h.size :]
    return ((1.0 - update) * np.tanh(of_inputs[2] + seen) + update * h,)


def check(attributes: Attributes) -> Attributes:
    """Make `linear_before_reset` 0 or 1."""
    name = "linear_before_reset"
    return {name: flag(NAME, name, attributes[name])}


OPERATOR = schema(
    Recurrence(
        name=NAME,
        onnx="GRU",
        gates=3,
        step=step,
        attributes={"linear_before_reset": False},
        check=check,
        variants=({"linear_before_reset": False}, {"linear_before_reset": True}),
    )
)


def gru(
    x: Any,
    w: Any,
    r: Any,
    bias: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    direction: str = "forward",
    linear_before_reset: bool = False,
    out: Any = None,
) -> Any:
    """Go through sequences by gated recurrent units, as ONNX's GRU with its own activations.

    With the gates in ONNX's order, update, reset and candidate, and h the state before a
    step::

        z = sigmoid(Wz x + Rz h + bz)      s = sigmoid(Ws x + Rs h + bs)
        n = tanh(Wn x + wn + Rn (s h) + rn)
        h' = (1 - z) n + z h

    where wn and rn are the two halves' bias of the candidate. With `linear_before_reset`
    the candidate is tanh(Wn x + wn + s (Rn h + rn)), as PyTorch has it.

    Parameters
    ----------
    x : array of float32, shape (T, N, I)
        T steps of N sequences.
    w : array, shape (D, 3 H, I)
        The inputs' weights in each direction. Those that don't change:
        `dispatch.constant`; so of all that follow.
    r : array, shape (D, 3 H, H)
        The hidden state's weights.
    bias : array, shape (D, 6 H), optional
        The inputs' 3 H, then the state's.
    sequence_lens : array of int32, shape (N,), optional
        How many steps each sequence has; the results of further steps are 0.
    initial_h : array, shape (D, N, H), optional
        The state that the first step sees; 0 where absent.
    direction
        ``"forward"``, ``"reverse"`` (from the last step to the first) or
        ``"bidirectional"`` (D is 2: both).
    linear_before_reset
        The reset gate acts after the state's product instead of before it.
    out : tuple of arrays, optional
        Where to write the results.

    Returns
    -------
    y : array, shape (T, D, N, H)
        h after each step.
    last_h : array, shape (D, N, H)
        The state after the last.

    Raises
    ------
    InvalidArgument
        A shape, direction or flag that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    inputs = (x, w, r, bias, sequence_lens, initial_h)
    return call(OPERATOR, inputs, (direction, linear_before_reset), out)
