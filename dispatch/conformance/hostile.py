"""Problems that contradict themselves, as a damaged or hostile file could hold them.

Each is a good problem with one thing changed. A kernel must refuse it, unless
what is changed makes another good problem by the operator's own `infer`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.operator import Operator
from dispatch.problem import OPERANDS, AttributeValue, EpilogueStep, Problem
from dispatch.quantization import given_attributes
from dispatch.tensor import NCHW, Quantization, TensorSpec

__all__ = ["Mutation", "is_consistent", "mutations", "sample"]

Mutation = tuple[str, Problem]
"""What was changed, and the changed problem."""

HUGE = 2**62
LARGE = 2**40
OTHER_DTYPES = {
    "float32": "float64",
    "int64": "int32",
    "bool": "uint8",
    "uint8": "int8",
    "int8": "int16",
    "int32": "int16",
}


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


def mutations(problem: Problem) -> Iterator[Mutation]:
    """Give a problem's neighbours: one tensor, attribute or step of each is changed."""
    for index, tensor in enumerate(problem.inputs):
        yield f"inputs[{index}] absent", _with_input(problem, index, None)
        for what, changed in _tensors(tensor):
            yield f"inputs[{index}] {what}", _with_input(problem, index, changed)
    for index, output in enumerate(problem.outputs):
        for what, changed in _tensors(output):
            outputs = (*problem.outputs[:index], changed, *problem.outputs[index + 1 :])
            yield f"outputs[{index}] {what}", replace(problem, outputs=outputs)
    yield "one more output", replace(problem, outputs=(*problem.outputs, problem.outputs[-1]))
    if len(problem.outputs) > 1:
        yield "one output less", replace(problem, outputs=problem.outputs[:-1])
    for index, (name, value) in enumerate(problem.attributes):
        before, after = problem.attributes[:index], problem.attributes[index + 1 :]
        yield f"{name} missing", replace(problem, attributes=before + after)
        for wrong in _values(value):
            attributes = (*before, (name, wrong), *after)
            yield f"{name} {wrong!r}", replace(problem, attributes=attributes)
    for index, step in enumerate(problem.epilogue):
        for other in _steps(step, problem):
            steps = (*problem.epilogue[:index], other, *problem.epilogue[index + 1 :])
            yield f"epilogue {other}", replace(problem, epilogue=steps)


def sample(operator: Operator, problem: Problem, count: int, seed: int) -> list[Mutation]:
    """Return up to `count` of a problem's neighbours that contradict themselves."""
    wrong = [each for each in mutations(problem) if not is_consistent(operator, each[1])]
    chosen = np.random.default_rng(seed).permutation(len(wrong))[:count]
    return [wrong[index] for index in sorted(chosen)]


def _tensors(tensor: TensorSpec | None) -> Iterator[tuple[str, TensorSpec]]:
    if tensor is None:
        return
    yield "of another dtype", replace(tensor, dtype=OTHER_DTYPES.get(tensor.dtype, "float32"))
    for axis, extent in enumerate(tensor.shape):
        for other in {extent + 1, max(extent - 1, 0), 0, 2 * extent, LARGE} - {extent}:
            shape = (*tensor.shape[:axis], other, *tensor.shape[axis + 1 :])
            yield f"of shape {shape}", replace(tensor, shape=shape)
    yield from _quantizations(tensor)
    if tensor.layout != NCHW:  # other layouts are of one rank
        return
    yield "of rank 0", replace(tensor, shape=())
    yield "of one dimension more", replace(tensor, shape=(*tensor.shape, 1))
    yield "of one dimension more in front", replace(tensor, shape=(2, *tensor.shape))
    if tensor.shape:
        yield "of one dimension less", replace(tensor, shape=tensor.shape[:-1])


def _quantizations(tensor: TensorSpec) -> Iterator[tuple[str, TensorSpec]]:
    """Give the tensor with other scales, zero points and axes, or without any."""
    q = tensor.quantization
    if q is None:
        yield "quantised", replace(tensor, quantization=Quantization((0.5,), (0,)))
        return
    changed: dict[str, Quantization | None] = {
        "not quantised": None,
        "with a scale too many": replace(q, scales=(*q.scales, 1.0)),
        "without scales": replace(q, scales=()),
        "with a zero point too many": replace(q, zero_points=(*q.zero_points, 0)),
        "without zero points": replace(q, zero_points=()),
    }
    for axis in range(-2, tensor.rank + 1):
        changed[f"quantised along axis {axis}"] = replace(q, axis=axis)
        if 0 <= axis < tensor.rank:
            count = tensor.shape[axis]
            along = Quantization(q.scales[:1] * count, q.zero_points[:1] * count, axis)
            changed[f"with scales along axis {axis}"] = along
    if q.scales:
        for scale in (0.0, -1.0, 1e-50, 1e-38, 1e38, 1e39):
            changed[f"with scale {scale}"] = replace(q, scales=(*q.scales[:-1], scale))
        for point in (-129, -128, -1, 1, 128, 255, 256, HUGE):
            points = (*q.zero_points[:-1], point)
            changed[f"with zero point {point}"] = replace(q, zero_points=points)
    for what, other in changed.items():
        yield what, replace(tensor, quantization=other)


def _values(value: AttributeValue) -> Iterator[Any]:
    """Other values of an attribute, most of them wrong."""
    if isinstance(value, str):
        yield from ("no such choice", 1)
    elif isinstance(value, tuple):
        yield from ("text", (*value, *value[-1:], 1), value[:-1], ())
        for index, entry in enumerate(value):
            for other in _values(entry):
                yield (*value[:index], other, *value[index + 1 :])
    elif isinstance(value, float):
        yield "text"
    else:
        yield from (value + 1, value - 1, -1, 0, 2 * value + 2, LARGE, HUGE, -HUGE, 0.5)


def _steps(step: EpilogueStep, problem: Problem) -> Iterator[EpilogueStep]:
    yield replace(step, name="no such step")
    yield replace(step, name="gelu")
    if step.input >= 0:
        yield from (replace(step, input=other) for other in (-1, 0, len(problem.inputs)))


def _with_input(problem: Problem, index: int, tensor: TensorSpec | None) -> Problem:
    inputs = (*problem.inputs[:index], tensor, *problem.inputs[index + 1 :])
    return replace(problem, inputs=inputs)


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
    if sorted(attributes) != ["counts", "starts", "steps"] or not _are_slices(
        attributes, problem.inputs[0]
    ):
        return {}
    starts, counts, steps = (attributes[name] for name in ("starts", "counts", "steps"))
    ends = [start + count * step for start, count, step in zip(starts, counts, steps, strict=True)]
    least = [-extent - 1 for extent in problem.inputs[0].shape]  # type: ignore[union-attr]
    ends = [low if end < 0 else end for end, low in zip(ends, least, strict=True)]
    return {"starts": starts, "ends": ends, "axes": None, "steps": steps}


def _are_slices(attributes: Mapping[str, Any], x: TensorSpec | None) -> bool:
    """Say whether every index lies within `x`, in the canonical form."""
    columns: Sequence[Any] = list(attributes.values())
    if x is None or not all(
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
