"""Problems that contradict themselves, as a damaged or hostile file could hold them.

Each is a good problem with one thing changed. A kernel must refuse it, unless
what is changed makes another good problem by the operator's own `infer`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.consistency import is_consistent
from dispatch.operator import Operator
from dispatch.problem import AttributeValue, EpilogueStep, Problem
from dispatch.tensor import NCHW, Quantization, TensorSpec

__all__ = ["Mutation", "mutations", "sample"]

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
    every = list(mutations(problem))
    order = np.random.default_rng(seed).permutation(len(every))
    # Only as many are checked as are needed: `infer` takes most of the kit's time otherwise.
    wrong = (int(i) for i in order if not is_consistent(operator, every[i][1]))
    return [every[i] for i in sorted(itertools.islice(wrong, count))]


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
