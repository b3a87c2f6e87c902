"""Elman's recurrent layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.operator import Array, Attributes
from dispatch.recurrence import Recurrence, schema
from dispatch.shapes import choice

__all__ = ["OPERATOR", "rnn"]

NAME = "rnn"
FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0.0),
}


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
    return (FUNCTIONS[attributes["nonlinearity"]](sums + r @ h + bias.sum(0)),)


def check(attributes: Attributes) -> Attributes:
    """Refuse functions that aren't served."""
    name = "nonlinearity"
    return {name: choice(NAME, name, attributes[name], tuple(FUNCTIONS))}


OPERATOR = schema(
    Recurrence(
        name=NAME,
        onnx="RNN",
        gates=1,
        step=step,
        attributes={"nonlinearity": "tanh"},
        check=check,
        variants=({"nonlinearity": "tanh"}, {"nonlinearity": "relu"}),
    )
)


def rnn(
    x: Any,
    w: Any,
    r: Any,
    bias: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    direction: str = "forward",
    nonlinearity: str = "tanh",
    out: Any = None,
) -> Any:
    """Go through sequences by ``h' = nonlinearity(W x + R h + b)``, as ONNX's RNN.

    Parameters
    ----------
    x : array of float32, shape (T, N, I)
        T steps of N sequences.
    w : array, shape (D, H, I)
        The inputs' weights in each direction. Those that don't change:
        `dispatch.constant`; so of all that follow.
    r : array, shape (D, H, H)
        The hidden state's weights.
    bias : array, shape (D, 2 H), optional
        The inputs' H, then the state's.
    sequence_lens : array of int32, shape (N,), optional
        How many steps each sequence has; the results of further steps are 0.
    initial_h : array, shape (D, N, H), optional
        The state that the first step sees; 0 where absent.
    direction
        ``"forward"``, ``"reverse"`` (from the last step to the first) or
        ``"bidirectional"`` (D is 2: both).
    nonlinearity
        ``"tanh"`` or ``"relu"``, in each direction.
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
        A shape, direction or nonlinearity that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    inputs = (x, w, r, bias, sequence_lens, initial_h)
    return call(OPERATOR, inputs, (direction, nonlinearity), out)
