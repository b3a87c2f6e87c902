"""Schemas of operators that carry a state from step to step, in either direction or both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import numpy as np

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
from dispatch.shapes import check_dtype, check_rank, check_same_dtype, choice, output

__all__ = ["Recurrence", "Step", "schema", "sigmoid"]

Step: TypeAlias = Callable[
    [Array, Array, Array, Sequence[Array], Array | None, Attributes], tuple[Array, ...]
]
"""``step(sums, r, bias, states, peepholes, attributes) -> states``: a step of one sequence.

`sums` (G H,) are the inputs' products with the weights, without a bias; `r` (G H, H) the hidden
state's weights; `bias` (2, G H) the inputs' and the state's; `states` are (H,), the hidden one
first; `peepholes` (P, H).
"""

DIRECTIONS: Mapping[str, int] = {"forward": 1, "reverse": 1, "bidirectional": 2}
_FIRST_STATE = 5
"""Inputs before the initial states."""


@dataclass(frozen=True, slots=True)
class Recurrence:
    """What tells one recurrent operator from another.

    Parameters
    ----------
    name
        The operator's.
    onnx
        ONNX's name of it.
    gates
        Rows of ``w`` and ``r`` for each hidden unit.
    step
        The reference's.
    states
        The hidden one, and others.
    peepholes
        Gates that see the second state; with any, the last input has their weights.
    attributes
        Its own attributes and their defaults, beside the direction.
    check
        ``check(attributes) -> attributes``: checks its own and makes them canonical.
    variants
        Its own attributes that conformance asks.
    """

    name: str
    onnx: str
    gates: int
    step: Step
    states: tuple[str, ...] = ("h",)
    peepholes: int = 0
    attributes: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[Attributes], Attributes] = dict
    variants: Sequence[Attributes] = ({},)


def schema(kind: Recurrence) -> Operator:
    """Return the schema of a recurrent operator.

    Its inputs are ``x``, ``w``, ``r``, and, each optional, ``bias``, ``sequence_lens``, the
    initial states, ``peepholes`` where it has some; its results ``y`` and each state after the
    last step.
    """
    names = ["x", "w", "r", "bias", "sequence_lens", *(f"initial_{s}" for s in kind.states)]
    if kind.peepholes:
        names.append("peepholes")
    return Operator(
        name=kind.name,
        inputs=tuple(Input(name, optional=index > 2) for index, name in enumerate(names)),
        attributes={"direction": "forward", **kind.attributes},
        dtypes=("float32",),
        infer=partial(_infer, kind),
        reference=partial(_reference, kind),
        cases=partial(_cases, kind),
        magnitude=_magnitude,
        flops=_flops,
        onnx=(kind.onnx,),
    )


def _infer(kind: Recurrence, specs: Specs, attributes: Attributes) -> Inferred:
    """Check that all shapes are of one number of directions and one hidden size."""
    name, (x, w, r, bias, lengths, *others) = kind.name, specs
    assert x is not None and w is not None and r is not None
    direction = choice(name, "direction", attributes["direction"], tuple(DIRECTIONS))
    canonical = kind.check({key: attributes[key] for key in kind.attributes})
    for key, tensor in (("x", x), ("w", w), ("r", r)):
        check_rank(name, key, tensor, 3)
    count, size = DIRECTIONS[direction], r.shape[2]
    steps, batch, features = x.shape
    state, rows = (count, batch, size), kind.gates * size
    parts = [
        ("w", w, (count, rows, features)),
        ("r", r, (count, rows, size)),
        ("bias", bias, (count, 2 * rows)),
        *((f"initial_{s}", tensor, state) for s, tensor in zip(kind.states, others, strict=False)),
        *(("peepholes", p, (count, kind.peepholes * size)) for p in others[len(kind.states) :]),
    ]
    for key, part, shape in parts:
        if part is None:
            continue
        check_same_dtype(name, "x", x, **{key: part})
        if part.shape != shape:
            raise InvalidArgument(
                f"{name}: {key}: expected shape {shape} ({direction}, hidden size {size}), "
                f"got {part.shape}"
            )
    if lengths is not None:
        check_dtype(name, "sequence_lens", lengths, ("int32",))
        if lengths.shape != (batch,):
            raise InvalidArgument(
                f"{name}: sequence_lens: expected shape ({batch},), got {lengths.shape}"
            )
    y = output(name, x.dtype, (steps, count, batch, size))
    after = output(name, x.dtype, state)
    return Inferred({"direction": direction, **canonical}, (y, *(after for _ in kind.states)))


def sigmoid(x: Array) -> Array:
    """Return the logistic function of `x`."""
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))


def _one_direction(
    kind: Recurrence, arrays: Arrays, attributes: Attributes, number: int, row: int, length: int
) -> tuple[Array, tuple[Array, ...]]:
    """Return one row's results in one direction: each step's, and the last states."""
    x, w, r, bias, _, *others = arrays
    assert x is not None and w is not None and r is not None
    size, count = r.shape[2], len(kind.states)
    biases = np.zeros((2, kind.gates * size))
    if bias is not None:
        biases = bias[number].reshape(biases.shape)
    weights = others[count] if kind.peepholes else None
    peepholes = None if weights is None else weights[number].reshape(kind.peepholes, size)
    states = tuple(np.zeros(size) if s is None else s[number, row] for s in others[:count])
    y = np.zeros((x.shape[0], size))
    steps = range(length)
    backwards = attributes["direction"] == "reverse" or number == 1
    for at in reversed(steps) if backwards else steps:
        sums = w[number] @ x[at, row]
        states = kind.step(sums, r[number], biases, states, peepholes, attributes)
        y[at] = states[0]
    return y, states


def _reference(kind: Recurrence, arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Go through the steps of each row and direction one by one."""
    x, _, r, _, lengths, *_ = arrays
    assert x is not None and r is not None
    count, size = DIRECTIONS[attributes["direction"]], r.shape[2]
    steps, batch, _ = x.shape
    y = np.zeros((steps, count, batch, size), x.dtype)
    after = np.zeros((len(kind.states), count, batch, size), x.dtype)
    for number in range(count):
        for row in range(batch):
            length = steps if lengths is None else min(max(int(lengths[row]), 0), steps)
            y[:, number, row], after[:, number, row] = _one_direction(
                kind, arrays, attributes, number, row, length
            )
    return [y, *after]


def _magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The largest sum of absolute values that a gate sees, once for each step that it went through.

    A step passes an error on by less than itself: gates and their derivatives are
    below 1, and the cases' recurrent weights are small.
    """
    x, w, r, bias, *_ = arrays
    assert x is not None and w is not None and r is not None
    states = max(1.0, *(np.abs(o).max(initial=0.0) for o in outputs if o is not None))
    largest = states + np.abs(x).max(initial=0.0) * np.abs(w).sum(2).max(initial=0.0)
    largest += states * np.abs(r).sum(2).max(initial=0.0)
    largest += 0.0 if bias is None else 2.0 * np.abs(bias).max(initial=0.0)
    return [np.full(o.shape, largest * (1.0 + x.shape[0])) for o in outputs if o is not None]


def _flops(problem: Problem) -> float:
    """Two for each product and its sum."""
    x, w, r = problem.inputs[:3]
    assert x is not None and w is not None and r is not None
    return 2.0 * x.shape[0] * x.shape[1] * (w.size + r.size)


def _case(
    kind: Recurrence,
    label: str,
    sizes: tuple[int, int, int, int],
    attributes: Attributes,
    bias: bool = True,
    state: bool = False,
    peepholes: bool = False,
    lengths: tuple[int, ...] | None = None,
    constant: bool = True,
) -> Case:
    steps, batch, features, size = sizes
    count = DIRECTIONS[attributes["direction"]]
    rows, large = kind.gates * size, 1.5 / max(size, 1) ** 0.5
    samples: list[Sample | None] = [
        Sample((steps, batch, features), -2.0, 2.0),
        Sample((count, rows, features), -large, large, constant=constant),
        Sample((count, rows, size), -large, large, constant=constant),
        Sample((count, 2 * rows), constant=constant) if bias else None,
        None if lengths is None else Sample((batch,), 0, 1, "int32", values=lengths),
    ]
    bounds = (1.0, 2.0)[: len(kind.states)]
    samples += [Sample((count, batch, size), -b, b) if state else None for b in bounds]
    if kind.peepholes:
        weights = Sample((count, kind.peepholes * size), constant=constant)
        samples.append(weights if peepholes else None)
    return Case(label, tuple(samples), attributes)


_SIZES: tuple[tuple[int, int, int, int], ...] = (
    (1, 1, 1, 1), (3, 2, 4, 5), (7, 1, 16, 16), (5, 3, 31, 33), (4, 1, 64, 70), (2, 9, 8, 17),
    (0, 2, 3, 4), (3, 0, 4, 5), (3, 2, 0, 4), (3, 2, 4, 0), (20, 1, 40, 48),
)  # fmt: skip


def _cases(kind: Recurrence, rng: np.random.Generator) -> Iterator[Case]:
    """Each direction and optional input, nothing of each; then random ones."""
    for index, direction in enumerate(DIRECTIONS):
        for number, sizes in enumerate(_SIZES):
            own = kind.variants[(index + number) % len(kind.variants)]
            yield _case(kind, f"{sizes}, {direction}", sizes, {"direction": direction, **own})
        for own in kind.variants:
            yield from _optional_cases(kind, direction, {"direction": direction, **own})
    while True:
        steps, batch, features, size = (int(e) for e in rng.integers(1, 24, 4))
        direction = str(rng.choice(list(DIRECTIONS)))
        bias, state, peepholes, constant = (bool(rng.integers(2)) for _ in range(4))
        own = kind.variants[int(rng.integers(len(kind.variants)))]
        yield _case(
            kind,
            "random",
            (steps, batch, features, size),
            {"direction": direction, **own},
            bias=bias,
            state=state,
            peepholes=peepholes,
            constant=constant,
        )


def _optional_cases(kind: Recurrence, direction: str, attributes: Attributes) -> Iterator[Case]:
    case = partial(_case, kind, sizes=(6, 4, 9, 13), attributes=attributes)
    some, odd = (6, 0, 3, 1), (9, -3, 2_000_000_000, 6)
    yield case(f"no bias, {direction}", bias=False)
    yield case(f"a state, {direction}", state=True)
    if kind.peepholes:
        yield case(f"peepholes, {direction}", state=True, peepholes=True)
    yield case(f"lengths, {direction}", lengths=some)
    yield case(f"lengths and a state, {direction}", state=True, peepholes=True, lengths=some)
    yield case(f"lengths beyond the steps, {direction}", lengths=odd)
    yield case(f"weights not constant, {direction}", constant=False)
