"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.errors import InvalidArgument
from dispatch.operator import (
    Array,
    Arrays,
    Attributes,
    Case,
    Inferred,
    Input,
    Operator,
    Sample,
    Specs,
)
from dispatch.problem import Problem
from dispatch.shapes import check_dtype, check_rank, check_same_dtype, output
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "lstm"]

NAME = "lstm"
DIRECTIONS: Mapping[str, int] = {"forward": 1, "reverse": 1, "bidirectional": 2}


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that all shapes are of one number of directions and one hidden size."""
    x, w, r, bias, lengths, hidden, cell, peepholes = specs
    assert x is not None and w is not None and r is not None
    direction = attributes["direction"]
    if direction not in DIRECTIONS:
        raise InvalidArgument(
            f"{NAME}: direction: expected {' or '.join(DIRECTIONS)}, got {direction!r}"
        )
    for name, tensor in (("x", x), ("w", w), ("r", r)):
        check_rank(NAME, name, tensor, 3)
    count, size = DIRECTIONS[direction], r.shape[2]
    steps, batch, inputs = x.shape
    parts: dict[str, tuple[TensorSpec | None, tuple[int, ...]]] = {
        "w": (w, (count, 4 * size, inputs)),
        "r": (r, (count, 4 * size, size)),
        "bias": (bias, (count, 8 * size)),
        "initial_h": (hidden, (count, batch, size)),
        "initial_c": (cell, (count, batch, size)),
        "peepholes": (peepholes, (count, 3 * size)),
    }
    for name, (part, shape) in parts.items():
        if part is None:
            continue
        check_same_dtype(NAME, "x", x, **{name: part})
        if part.shape != shape:
            raise InvalidArgument(
                f"{NAME}: {name}: expected shape {shape} ({direction}, hidden size {size}), "
                f"got {part.shape}"
            )
    if lengths is not None:
        check_dtype(NAME, "sequence_lens", lengths, ("int32",))
        if lengths.shape != (batch,):
            raise InvalidArgument(
                f"{NAME}: sequence_lens: expected shape ({batch},), got {lengths.shape}"
            )
    state = output(NAME, x.dtype, (count, batch, size))
    y = output(NAME, x.dtype, (steps, count, batch, size))
    return Inferred({"direction": direction}, (y, state, state))


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))


def _one_direction(
    arrays: Arrays, number: int, backwards: bool, length: int, row: int
) -> tuple[Array, Array, Array]:
    """Return one row's results in one direction: each step's, and the last state."""
    x, w, r, bias, _, hidden, cell, peepholes = arrays
    assert x is not None and w is not None and r is not None
    size = r.shape[2]
    weights, recurrent = w[number], r[number]
    offset = np.zeros(4 * size)
    if bias is not None:
        offset = bias[number, : 4 * size] + bias[number, 4 * size :]
    at_input, at_output, at_forget = np.zeros((3, size))
    if peepholes is not None:
        at_input, at_output, at_forget = peepholes[number].reshape(3, size)
    h = np.zeros(size) if hidden is None else hidden[number, row]
    c = np.zeros(size) if cell is None else cell[number, row]
    y = np.zeros((x.shape[0], size))
    steps = range(length)
    for step in reversed(steps) if backwards else steps:
        gates = (weights @ x[step, row] + recurrent @ h + offset).reshape(4, size)
        kept = _sigmoid(gates[2] + at_forget * c)
        c = kept * c + _sigmoid(gates[0] + at_input * c) * np.tanh(gates[3])
        h = _sigmoid(gates[1] + at_output * c) * np.tanh(c)
        y[step] = h
    return y, h, c


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Go through the steps of each row and direction one by one."""
    x, _, r, _, lengths, *_ = arrays
    assert x is not None and r is not None
    direction = attributes["direction"]
    count, size = DIRECTIONS[direction], r.shape[2]
    steps, batch, _ = x.shape
    y = np.zeros((steps, count, batch, size), x.dtype)
    last_h, last_c = np.zeros((2, count, batch, size), x.dtype)
    for number in range(count):
        backwards = direction == "reverse" or number == 1
        for row in range(batch):
            length = steps if lengths is None else min(max(int(lengths[row]), 0), steps)
            y[:, number, row], last_h[number, row], last_c[number, row] = _one_direction(
                arrays, number, backwards, length, row
            )
    return [y, last_h, last_c]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The largest sum of absolute values that a gate sees, once for each step that it went through.

    A step passes an error on by less than itself: gates and their derivatives are
    below 1, and the cases' recurrent weights are small.
    """
    x, w, r, bias, *_ = arrays
    assert x is not None and w is not None and r is not None
    largest = 1.0 + np.abs(x).max(initial=0.0) * np.abs(w).sum(2).max(initial=0.0)
    largest += np.abs(r).sum(2).max(initial=0.0)
    largest += 0.0 if bias is None else 2.0 * np.abs(bias).max(initial=0.0)
    largest += max(np.abs(o).max(initial=0.0) for o in outputs if o is not None)
    return [np.full(o.shape, largest * (1.0 + x.shape[0])) for o in outputs if o is not None]


def flops(problem: Problem) -> float:
    """Two for each product and its sum."""
    x, w, r = problem.inputs[:3]
    assert x is not None and w is not None and r is not None
    return 2.0 * x.shape[0] * x.shape[1] * (w.size + r.size)


def _case(
    label: str,
    sizes: tuple[int, int, int, int],
    direction: str = "forward",
    bias: bool = True,
    state: bool = False,
    peepholes: bool = False,
    lengths: tuple[int, ...] | None = None,
    constant: bool = True,
) -> Case:
    steps, batch, inputs, size = sizes
    count = DIRECTIONS[direction]
    large = 1.5 / max(size, 1) ** 0.5
    samples = (
        Sample((steps, batch, inputs), -2.0, 2.0),
        Sample((count, 4 * size, inputs), -large, large, constant=constant),
        Sample((count, 4 * size, size), -large, large, constant=constant),
        Sample((count, 8 * size), constant=constant) if bias else None,
        None if lengths is None else Sample((batch,), 0, 1, "int32", values=lengths),
        Sample((count, batch, size)) if state else None,
        Sample((count, batch, size), -2.0, 2.0) if state else None,
        Sample((count, 3 * size), constant=constant) if peepholes else None,
    )
    return Case(label, samples, {"direction": direction})


_SIZES: tuple[tuple[int, int, int, int], ...] = (
    (1, 1, 1, 1), (3, 2, 4, 5), (7, 1, 16, 16), (5, 3, 31, 33), (4, 1, 64, 70), (2, 9, 8, 17),
    (0, 2, 3, 4), (3, 0, 4, 5), (3, 2, 0, 4), (3, 2, 4, 0), (20, 1, 40, 48),
)  # fmt: skip


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each direction and optional input, nothing of each; then random ones."""
    for direction in DIRECTIONS:
        for sizes in _SIZES:
            yield _case(f"{direction}, {sizes}", sizes, direction)
        sizes = (6, 4, 9, 13)
        yield _case(f"{direction}, no bias", sizes, direction, bias=False)
        yield _case(f"{direction}, a state", sizes, direction, state=True)
        yield _case(f"{direction}, peepholes", sizes, direction, state=True, peepholes=True)
        some = (6, 0, 3, 1)
        yield _case(f"{direction}, lengths", sizes, direction, lengths=some)
        yield _case(f"{direction}, lengths and a state", sizes, direction, True, True, True, some)
        odd = (9, -3, 2_000_000_000, 6)
        yield _case(f"{direction}, lengths beyond the steps", sizes, direction, lengths=odd)
        yield _case(f"{direction}, weights not constant", sizes, direction, constant=False)
    while True:
        steps, batch, inputs, size = (int(e) for e in rng.integers(1, 24, 4))
        yield _case(
            "random",
            (steps, batch, inputs, size),
            str(rng.choice(list(DIRECTIONS))),
            bias=bool(rng.integers(2)),
            state=bool(rng.integers(2)),
            peepholes=bool(rng.integers(2)),
            constant=bool(rng.integers(2)),
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(
        Input("x"),
        Input("w"),
        Input("r"),
        Input("bias", optional=True),
        Input("sequence_lens", optional=True),
        Input("initial_h", optional=True),
        Input("initial_c", optional=True),
        Input("peepholes", optional=True),
    ),
    attributes={"direction": "forward"},
    dtypes=("float32",),
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    flops=flops,
    onnx=("LSTM",),
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
