"""Control flow, followed while a model is imported: branches that are taken, loops of known length.

A trace has no jumps. As where any program is traced, a loop becomes the nodes of all its rounds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

import dispatch
from dispatch.dtypes import numpy_dtype
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Value
from runtime.onnx.concrete import Concrete
from runtime.onnx.extents import static_shape
from runtime.onnx.handlers.casts import element_type
from runtime.onnx.handlers.sequences import stacked
from runtime.onnx.library import onnx_library

__all__ = ["CONTROL", "Run"]

Run: TypeAlias = Callable[[Any, Sequence[Any]], list[Any]]
"""Runs a GraphProto on values for its inputs; returns its outputs."""

MOST_ROUNDS = 16384
"""Of all loops of a model together; each is recorded."""


def _known(value: Value | None, name: str, default: Any) -> Any:
    """Return the one element of a value that must be known."""
    if value is None:
        return default
    if not isinstance(value, Concrete) or value.array.size != 1:
        raise ModelError(
            f"{name}: expected a constant, got a value that follows from the model's inputs"
        )
    return value.array.item()


def _graph(call: Call, name: str) -> Any:
    """Return an attribute that is a graph."""
    value: Any = call.get(name)
    if not isinstance(value, onnx_library().GraphProto):
        raise ModelError(f"{name}: expected a graph, got {type(value).__name__}")
    return value


def branch(call: Call, run: Run) -> Sequence[Any]:
    """Follow the branch of an If that is taken."""
    taken = bool(_known(call[0], "cond", None))
    return run(_graph(call, "then_branch" if taken else "else_branch"), ())


def loop(call: Call, run: Run) -> Sequence[Any]:
    """Follow the rounds of a Loop: as many as are asked for, while its condition holds."""
    body, scope = _graph(call, "body"), call.scope
    rounds = _known(call.optional(0), "M", None)
    goes_on = bool(_known(call.optional(1), "cond", True))
    state = list(call.inputs[2:])
    collected: list[list[Value]] = [[] for _ in body.output[1 + len(state) :]]
    done = 0
    while goes_on and (rounds is None or done < rounds):
        _begin_round(call)
        given = (scope.concrete(done, np.int64), scope.concrete(True, np.bool_), *state)
        condition, *results = run(body, given)
        goes_on = bool(_known(condition, "cond of the next round", True))
        state = results[: len(state)]
        for values, value in zip(collected, results[len(state) :], strict=True):
            values.append(value)
        done += 1
    declared = body.output[1 + len(state) :]
    return *state, *(_stacked(call, *each) for each in zip(collected, declared, strict=True))


def _begin_round(call: Call) -> None:
    if next(call.scope.rounds) == MOST_ROUNDS:
        raise ModelError(
            f"expected at most {MOST_ROUNDS} rounds of all loops, each is recorded: got more"
        )


def scan(call: Call, run: Run) -> Sequence[Any]:
    """Follow a Scan along its sequences, whose length must be fixed."""
    if call.version < 9:
        raise ModelError("expected operator set 9 or later, where Scan has no batches")
    body, count = _graph(call, "body"), call.get("num_scan_inputs", 0)
    split = len(call.inputs) - count
    if count < 1 or split < 0:
        raise ModelError(f"num_scan_inputs: expected 1 to {len(call.inputs)}, got {count}")
    state, sequences = list(call.inputs[:split]), [call[i] for i in range(split, split + count)]
    axes = _per(call, "scan_input_axes", count)
    backwards = _per(call, "scan_input_directions", count)
    length = _length(call, sequences, axes)
    outputs = len(body.output) - split
    collected: list[list[Value]] = [[] for _ in range(outputs)]
    for step in range(length):
        _begin_round(call)
        elements = [
            dispatch.gather(x, call.scope.concrete(length - 1 - step if back else step), axis)
            for x, axis, back in zip(sequences, axes, backwards, strict=True)
        ]
        results = run(body, (*state, *elements))
        state = results[:split]
        for values, value in zip(collected, results[split:], strict=True):
            values.append(value)
    ends = _per(call, "scan_output_directions", outputs)
    places = _per(call, "scan_output_axes", outputs)
    return *state, *(
        _stacked(call, values[::-1] if back else values, declared, axis)
        for values, declared, axis, back in zip(
            collected, body.output[split:], places, ends, strict=True
        )
    )


def _per(call: Call, name: str, count: int) -> tuple[int, ...]:
    """Return an attribute of a number for each of `count`, 0 by default."""
    given = call.integers(name)
    if given is not None and len(given) != count:
        raise ModelError(f"{name}: expected {count} numbers, got {len(given)}")
    return (0,) * count if given is None else given


def _length(call: Call, sequences: Sequence[Value], axes: Sequence[int]) -> int:
    """Return the extent that all sequences have along their axes."""
    found = set()
    for x, axis in zip(sequences, axes, strict=True):
        shape = static_shape(call, x)
        if shape is None:
            raise ModelError("expected sequences of fixed length, got a dynamic one")
        found.add(shape[normalize_axis(call.operator, "scan_input_axes", axis, x.ndim)])
    if len(found) != 1:
        raise ModelError(f"expected sequences of one length, got {sorted(found)}")
    return int(found.pop())


def _stacked(call: Call, values: Sequence[Value], declared: Any, axis: int = 0) -> Any:
    """Return the values of all rounds along a new axis."""
    if not values:
        return _empty(call, declared, axis)
    return stacked(call, values, axis)


def _empty(call: Call, declared: Any, axis: int) -> Concrete:
    """Return what no round has made, of the shape that the body's output is declared to have."""
    kind = declared.type.tensor_type
    shape = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if not kind.HasField("shape") or None in shape:
        raise ModelError(f"no round is run, and the shape of {declared.name!r} isn't declared")
    shape.insert(normalize_axis(call.operator, "axis", axis, len(shape) + 1), 0)
    return call.scope.concrete(np.zeros(shape, numpy_dtype(element_type(kind.elem_type))))


CONTROL: Mapping[str, Callable[[Call, Run], Sequence[Any]]] = {
    "If": branch,
    "Loop": loop,
    "Scan": scan,
}
"""Operators that have graphs as attributes."""
