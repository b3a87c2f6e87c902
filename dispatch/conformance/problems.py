"""From a conformance case to a problem and its inputs."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from dispatch.conformance.values import draw
from dispatch.operator import Array, Case, Operator
from dispatch.problem import OPERANDS, Problem
from dispatch.tensor import TensorSpec

__all__ = ["Question", "ask", "layouts_of"]


@dataclass(frozen=True, eq=False, slots=True)
class Question:
    """A case in one dtype: the problem in the logical layout, and the inputs' values.

    Parameters
    ----------
    operator, case
        What it was made of.
    problem
        With every layout ``nchw``.
    arrays
        The inputs in the problem's dtypes, None for an absent one.
    """

    operator: Operator
    case: Case
    problem: Problem
    arrays: tuple[Array | None, ...]


def ask(
    operator: Operator, case: Case, dtype: str, device: str, seed: int, device_id: int = 0
) -> Question:
    """Make the problem of a case and draw its inputs.

    Raises
    ------
    UnsupportedDtype
        If the operator doesn't take what the case makes of the dtype.
    """
    rng = np.random.default_rng([seed, zlib.crc32(f"{operator.name} {case.label}".encode())])
    arrays = tuple(None if s is None else draw(s, dtype, rng) for s in case.inputs)
    specs = tuple(
        None
        if s is None
        else TensorSpec(s.dtype or dtype, s.shape, constant=s.constant, quantization=s.quantization)
        for s in case.inputs
    )
    own = len(specs) - sum(step.name in OPERANDS for step in case.epilogue)
    inferred = operator.infer(specs[:own], {**operator.attributes, **case.attributes})
    problem = Problem(
        operator=operator.name,
        inputs=specs,
        outputs=inferred.outputs,
        attributes=tuple(sorted(inferred.attributes.items())),
        epilogue=case.epilogue,
        num_operator_inputs=own,
        device=device,
        precision="highest",
        device_id=device_id,
    )
    return Question(operator, case, problem, arrays)


def layouts_of(operator: Operator, problem: Problem, layout: str) -> tuple[str, ...]:
    """Return `layout` for each image of the problem, "" for weights and what isn't one."""
    names = [i.name for i in operator.inputs]
    result = []
    for index, tensor in enumerate(problem.inputs):
        weight = index < len(names) and names[index] == "w"
        image = tensor is not None and tensor.rank == 4 and not weight
        result.append(layout if image else "")
    result += [layout if tensor.rank == 4 else "" for tensor in problem.outputs]
    return tuple(result)
