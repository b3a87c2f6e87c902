"""Values that are known without running a kernel: those that follow from shapes and constants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array, Operator
from dispatch.problem import Problem
from dispatch.quantized import reference_arguments

__all__ = ["KNOWN_LIMIT", "evaluated", "known_outputs"]

KNOWN_LIMIT = 4096
"""Elements: what is larger isn't the arithmetic of shapes, and isn't worked out on the way."""


def known_outputs(
    operator: Operator, arrays: Sequence[Array | None], problem: Problem
) -> list[Array | None]:
    """Return a call's outputs by the operator's reference, None for each that is too large.

    Parameters
    ----------
    arrays
        One entry for each input, None for an absent one.
    problem
        What the call amounts to; calls with an epilogue aren't worked out.
    """
    unknown: list[Array | None] = [None] * len(problem.outputs)
    tensors = [t for t in problem.tensors if t is not None]
    if problem.epilogue or any(t.size > KNOWN_LIMIT for t in tensors):
        return unknown
    return list(evaluated(operator, arrays, problem))


def evaluated(operator: Operator, arrays: Sequence[Array | None], problem: Problem) -> list[Array]:
    """Return a call's outputs by the operator's reference, in the problem's dtypes.

    Parameters
    ----------
    arrays
        One entry for each input, None for an absent one; stored values where it
        is quantised.
    """
    wide = [
        a.astype(np.float64) if a is not None and "float" in str(a.dtype) else a for a in arrays
    ]
    given, attributes = reference_arguments(problem, wide)
    with np.errstate(all="ignore"):
        outputs = operator.reference(given, attributes)
        return [
            np.ascontiguousarray(np.asarray(o).astype(numpy_dtype(spec.dtype))).reshape(spec.shape)
            for o, spec in zip(outputs, problem.outputs, strict=True)
        ]
