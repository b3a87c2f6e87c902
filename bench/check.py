"""Is a result right? Against the operators' own references, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from bench.case import operator_of
from bench.errors import WrongResult
from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from dispatch.problem import EpilogueStep, Problem
from dispatch.quantization import apply_steps
from dispatch.quantized import reference_arguments

__all__ = ["Expected", "check", "expect"]

SLACK = 4.0
"""How far beyond the bound of direct sums a result may lie: fast algorithms are less exact."""

_ATTRIBUTES: Mapping[str, Callable[[EpilogueStep], Mapping[str, Any]]] = {
    "clip": lambda s: {"minimum": s.alpha, "maximum": s.beta},
    "hard_sigmoid": lambda s: {"alpha": s.alpha, "beta": s.beta},
    "leaky_relu": lambda s: {"alpha": s.alpha},
    "elu": lambda s: {"alpha": s.alpha},
    "gelu": lambda s: {"approximate": "tanh" if s.alpha == 1 else "none"},
}


@dataclass(frozen=True)
class Expected:
    """What a problem's outputs must be, and how far off they may be, element by element."""

    outputs: list[Array]
    bounds: list[Array]


def expect(problem: Problem, arrays: Sequence[Array | None]) -> Expected:
    """Compute a problem's outputs in float64 and the bound of the error."""
    schema = operator_of(problem.operator)
    exact = [a if a is None or a.dtype.kind in "biu" else a.astype(np.float64) for a in arrays]
    own, attributes = reference_arguments(problem, exact[: problem.num_operator_inputs])
    outputs = schema.reference(own, attributes)
    if schema.quantized_output:
        stored = apply_steps(outputs[0], problem.epilogue, problem.outputs[0])
        return Expected([stored], [np.ones(1)])
    sizes = schema.magnitude(own, attributes, outputs)
    for step in problem.epilogue:
        outputs[0], sizes[0] = _follow(step, outputs[0], sizes[0], exact)
    bounds = [
        np.zeros(1)
        if numpy_dtype(spec.dtype).kind in "biu"
        else SLACK * schema.error * _epsilon(problem, spec.dtype) * (size + np.abs(y)) + 1e-30
        for spec, size, y in zip(problem.outputs, sizes, outputs, strict=True)
    ]
    return Expected(outputs, bounds)


def _epsilon(problem: Problem, dtype: str) -> float:
    if problem.precision == "medium" and dtype == "float32":
        return float(ml_dtypes.finfo(ml_dtypes.bfloat16).eps)
    return float(ml_dtypes.finfo(numpy_dtype(dtype)).eps)


def _follow(
    step: EpilogueStep, y: Array, size: Array, arrays: Sequence[Array | None]
) -> tuple[Array, Array]:
    if step.name in ("add", "mul"):
        operand = arrays[step.input]
        assert operand is not None
        if step.name == "add":
            return y + operand, size + np.abs(operand)
        return y * operand, size * np.abs(operand)
    if step.name == "linear":
        return step.alpha * y + step.beta, np.abs(step.alpha) * size + np.abs(step.beta)
    translate = _ATTRIBUTES.get(step.name)
    attributes = translate(step) if translate is not None else {}
    # No activation of the project changes faster than 1.2 times its argument.
    return operator_of(step.name).reference([y], attributes)[0], 1.2 * size


def _errors(got: Array, wanted: Array) -> Array:
    """Return how far results are off: infinities and NaN are right where they are expected."""
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    return np.where(same, 0.0, np.abs(got - wanted))


def check(engine: str, problem: Problem, outputs: Sequence[Array], expected: Expected) -> float:
    """Return the largest error as a part of its bound.

    Raises
    ------
    WrongResult
        If an output has another shape, or an element lies outside its bound.
    """
    if len(outputs) != len(expected.outputs):
        raise WrongResult(
            f"{engine}: {problem}: expected {len(expected.outputs)} outputs, got {len(outputs)}"
        )
    worst = 0.0
    for got, wanted, bound in zip(outputs, expected.outputs, expected.bounds, strict=True):
        if got.shape != wanted.shape:
            raise WrongResult(
                f"{engine}: {problem}: expected shape {wanted.shape}, got {got.shape}"
            )
        if not wanted.size:
            continue
        with np.errstate(invalid="ignore"):
            error = _errors(got.astype(np.float64), wanted.astype(np.float64))
            excess = np.where(error == 0, 0, error - bound)
        if not np.all(excess <= 0):  # also catches NaN
            index = np.unravel_index(int(np.argmax(np.nan_to_num(excess, nan=np.inf))), error.shape)
            raise WrongResult(
                f"{engine}: {problem}: wrong at {tuple(map(int, index))}: expected "
                f"{wanted[index]:.9g} within {np.broadcast_to(bound, error.shape)[index]:.2g}, "
                f"got {got[index]:.9g}"
            )
        part = np.where(error == 0, 0, error / np.maximum(bound, 1e-300))
        worst = max(worst, float(part.max()))
    return worst
