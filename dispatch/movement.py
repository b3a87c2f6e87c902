"""What the operators that move elements without computing share."""

from __future__ import annotations

from dispatch.dtypes import FLOATS, INTEGERS
from dispatch.problem import Problem

__all__ = ["ANY_DTYPE", "no_flops", "output_bytes"]

ANY_DTYPE: tuple[str, ...] = (*FLOATS, *INTEGERS, "bool")
"""Every dtype of the project."""


def no_flops(problem: Problem) -> float:
    """Nothing is computed."""
    return 0.0


def output_bytes(problem: Problem) -> int:
    """Each element of the result, read and written once."""
    return 2 * sum(tensor.nbytes for tensor in problem.outputs)
