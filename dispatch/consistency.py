"""Whether a problem is one: what the operator's own `infer` makes of its inputs.

Callers' arguments are checked before they become a problem. A problem that was
read from a file, or that a kernel is asked for by a test, may hold anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.operator import Operator
from dispatch.problem import OPERANDS, EpilogueStep, Problem
from dispatch.quantization import given_attributes
from dispatch.tensor import Quantization, TensorSpec

__all__ = ["is_consistent"]


def is_consistent(operator: Operator, problem: Problem) -> bool:
    """Say whether a problem is what `infer` makes of its inputs and attributes."""
    given = _GIVEN.get(operator.name, given_attributes)(problem)
    own = problem.inputs[: problem.num_operator_inputs]
    try:
        inferred = operator.infer(own, given)
    except Exception:  # noqa: BLE001  `infer` is written for arguments of the right number
        return False
    canonical = given if operator.name in _GIVEN else inferred.attributes
    written = given if operator.name in _GIVEN else dict(problem.attributes)
    return (
        problem.dtype in operator.dtypes
        and _quantized_as_declared(operator, problem)
        and dict(canonical) == dict(written)
        and [_value(t) for t in inferred.outputs] == [_value(t) for t in problem.outputs]
        and all(_fits(operator, step, problem) for step in problem.epilogue)
    )


def _value(tensor: TensorSpec) -> tuple[str, tuple[int, ...], Quantization | None]:
    q = tensor.quantization
    if q is not None:
        with np.errstate(over="ignore"):
            q = replace(q, scales=tuple(np.asarray(q.scales, np.float32).tolist()))
    return tensor.dtype, tensor.shape, q


def _quantized_as_declared(operator: Operator, problem: Problem) -> bool:
    """Say whether the tensors that the operator takes as plain ones are."""
    declared = [i.quantized for i in operator.inputs]
    return not any(
        tensor is not None and tensor.quantization is not None
        for index, tensor in enumerate(problem.inputs)
        if index >= len(declared) or not declared[index]
    )


def _fits(operator: Operator, step: EpilogueStep, problem: Problem) -> bool:
    if step.name not in operator.epilogue:
        return False
    if step.name not in OPERANDS:
        return step.input == -1
    operand = problem.inputs[step.input] if 0 <= step.input < len(problem.inputs) else None
    return operand is not None and _value(operand) == _value(problem.outputs[0])


def _slice(problem: Problem) -> Mapping[str, Any]:
    """Give the public function's arguments; what isn't canonical gives other counts or fails."""
    attributes: dict[str, Any] = dict(problem.attributes)
    x = problem.inputs[0]
    if x is None or sorted(attributes) != ["counts", "starts", "steps"]:
        return {}
    if not _are_slices(attributes, x):
        return {}
    starts, counts, steps = (attributes[name] for name in ("starts", "counts", "steps"))
    ends = [start + count * step for start, count, step in zip(starts, counts, steps, strict=True)]
    least = [-extent - 1 for extent in x.shape]
    ends = [low if end < 0 else end for end, low in zip(ends, least, strict=True)]
    return {"starts": starts, "ends": ends, "axes": None, "steps": steps}


def _are_slices(attributes: Mapping[str, Any], x: TensorSpec) -> bool:
    """Say whether every index lies within `x`, in the canonical form."""
    columns: Sequence[Any] = list(attributes.values())
    if not all(
        isinstance(each, tuple) and len(each) == x.rank and all(type(e) is int for e in each)
        for each in columns
    ):
        return False
    for extent, start, count, step in zip(
        x.shape, attributes["starts"], attributes["counts"], attributes["steps"], strict=True
    ):
        last = start + (count - 1) * step
        inside = 0 <= start < extent and 0 <= last < extent if count > 0 else start == 0
        if count < 0 or step == 0 or (count <= 1 and step != 1) or not inside:
            return False
    return True


def _reorder(problem: Problem) -> Mapping[str, Any]:
    y = problem.outputs[0]
    return {"layout": y.layout, "dtype": y.dtype}


_GIVEN: Mapping[str, Callable[[Problem], Mapping[str, Any]]] = {
    "slice": _slice,
    "reorder": _reorder,
}
"""Operators whose canonical attributes aren't the public function's arguments."""
