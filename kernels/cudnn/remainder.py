"""What a library doesn't fuse: one launch of map.h behind what it computes.

A problem is parted: the library computes its first part, the launch adds the bias and applies the
steps that are left. Between the two lies what was computed, in float32 or wider: in the output
itself, or in scratch where the output's dtype is narrower, which would round it twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dispatch.answer import No, NoCode
from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import TensorSpec
from kernels.cudnn.graph import IMAGES, image_strides
from kernels.gpu.elementwise import ELEMENTWISE
from kernels.gpu.mapping import Operand, map_launch, too_many_axes
from kernels.gpu.plan import MAX_ELEMENTS, SCRATCH, Launch
from kernels.gpu.strided import View, dense_strides
from kernels.gpu.traits import Traits

__all__ = ["Parted", "bare", "launch_of", "partings"]

WIDE = ("float32", "float64")
BIAS = 2
"""The bias among the inputs of every operator here."""
_LETTERS = "abc"
"""What an expression calls its inputs."""


@dataclass(frozen=True, slots=True)
class Parted:
    """A problem in two parts.

    Parameters
    ----------
    first
        What the library computes: the problem, perhaps without its bias, with the first steps
        alone, and a result that isn't narrower than float32 if something is left. Its inputs keep
        their indices.
    bias
        Whether the bias is left.
    steps
        The steps that are left.
    """

    first: Problem
    bias: bool
    steps: tuple[EpilogueStep, ...]


def _parted(problem: Problem, bias: bool, count: int) -> Parted:
    (y,), steps = problem.outputs, problem.epilogue[count:]
    inputs = tuple(None if bias and i == BIAS else t for i, t in enumerate(problem.inputs))
    is_narrow = y.dtype not in WIDE and (bias or bool(steps))
    result = replace(y, dtype="float32") if is_narrow else y
    first = replace(problem, inputs=inputs, outputs=(result,), epilogue=problem.epilogue[:count])
    return Parted(first, bias, steps)


def partings(problem: Problem) -> Iterator[Parted]:
    """Yield the ways to leave something for the launch, least first."""
    for count in reversed(range(len(problem.epilogue))):
        yield _parted(problem, False, count)
    if problem.inputs[BIAS] is not None:
        yield _parted(problem, True, 0)


def bare(problem: Problem) -> Parted:
    """Return a problem with its bias and all its steps left."""
    return _parted(problem, problem.inputs[BIAS] is not None, 0)


def launch_of(problem: Problem, parted: Parted, traits: Traits) -> Launch | No | None:
    """Return the launch of what is left, None if that is nothing.

    Parameters
    ----------
    problem
        The whole, in concrete layouts.
    """
    (y,), (computed,) = problem.outputs, parted.first.outputs
    if y == computed and not parted.bias and not parted.steps:
        return None
    refused = _limits(y, parted)
    if refused is not None:
        return refused
    output, own = len(problem.inputs), _strides(y)
    read = [(output if y == computed else SCRATCH, computed, own)]
    expression, numbers = "a", (0.0, 0.0)
    if parted.bias:
        bias = problem.inputs[BIAS]
        assert bias is not None
        read.append((BIAS, bias, _bias_strides(problem)))
        expression = "a + b"
    for step in parted.steps:
        template = _template(step)
        if step.input >= 0:
            operand = problem.inputs[step.input]
            assert operand is not None
            read.append((step.input, operand, _strides(operand)))
            template = _with(template, "b", _LETTERS[len(read) - 1])
        elif "alpha" in template:
            numbers = step.alpha, step.beta
        expression = _with(template, "a", f"({expression})")
    # Walked as the output lies, so that neighbours in memory are neighbours among work-items.
    order = sorted(range(y.rank), key=lambda axis: -own[axis])
    extents = tuple(y.shape[axis] for axis in order)
    *inputs, result = (
        Operand(argument, spec.dtype, View(tuple(strides[axis] for axis in order)))
        for argument, spec, strides in (*read, (output, y, own))
    )
    views = [operand.view for operand in (*inputs, result)]
    return too_many_axes(extents, views) or map_launch(
        expression, extents, inputs, result, traits, computed=computed.dtype, numbers=numbers
    )


def _with(template: str, letter: str, value: str) -> str:
    return re.sub(rf"\b{letter}\b", value, template)


def _limits(y: TensorSpec, parted: Parted) -> No | None:
    operands = parted.bias + sum(step.input >= 0 for step in parted.steps)
    numbered = sum("alpha" in _template(step) for step in parted.steps)
    for subject, most, got in (
        ("operands left", len(_LETTERS) - 1, operands),
        ("steps with numbers left", 1, numbered),
        ("elements", MAX_ELEMENTS, y.size),
    ):
        if got > most:
            return No(NoCode.EPILOGUE, subject, f"<= {most}", str(got))
    return None


def _template(step: EpilogueStep) -> str:
    """Return a step as an expression of src/map.h: of `a`, and `b` or `alpha` and `beta`."""
    if step.name == "linear":
        return "linear_of(a, alpha, beta)"
    if step.name == "gelu" and step.alpha == 1.0:
        return "gelu_tanh_of(a)"
    return ELEMENTWISE[step.name].floats


def _strides(spec: TensorSpec) -> tuple[int, ...]:
    return image_strides(spec) if spec.rank == 4 else dense_strides(spec.shape)


def _bias_strides(problem: Problem) -> tuple[int, ...]:
    """Return the strides of a bias along the output: of an image's channels, or the last axis."""
    rank = problem.outputs[0].rank
    axis = 1 if problem.operator in IMAGES else rank - 1
    return tuple(int(each == axis) for each in range(rank))
