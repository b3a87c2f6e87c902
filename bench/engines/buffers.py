"""A problem's tensors in memory: inputs in their layouts, outputs to be written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.layouts import empty, from_layout, to_layout
from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["empty_outputs", "logical_outputs", "stored_inputs"]


def stored_inputs(problem: Problem, arrays: Sequence[Array | None]) -> list[Array | None]:
    """Return each input in its layout, in aligned memory of its own."""
    return [
        None if a is None or s is None else to_layout(a, s)
        for a, s in zip(arrays, problem.inputs, strict=True)
    ]


def empty_outputs(problem: Problem) -> list[Array]:
    """Return memory for the outputs, filled with what no kernel writes by chance."""
    outputs = [empty((s.nbytes // s.itemsize,), numpy_dtype(s.dtype)) for s in problem.outputs]
    for output in outputs:
        output.view(np.uint8)[:] = 0xFF
    return outputs


def logical_outputs(problem: Problem, stored: Sequence[Array]) -> list[Array]:
    """Return copies of the outputs in the logical layout."""
    return [np.array(from_layout(o, s)) for o, s in zip(stored, problem.outputs, strict=True)]
