"""A problem's tensors in memory: inputs in their layouts, outputs to be written.

Where they start within a page is fixed: a load whose address has the same last
twelve bits as a recent store waits for it on many CPUs, so that a kernel's time
would change with the places that the allocator happens to give. Inputs start
early in their pages and outputs late: a store is then far behind the loads that
it could hold up.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.layouts import empty, from_layout, to_layout
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["empty_outputs", "logical_outputs", "stored_inputs"]

STEP, LATE = 256, 3584
"""Bytes behind a page's start: from one input to the next, and of every output."""


def stored_inputs(problem: Problem, arrays: Sequence[Array | None]) -> list[Array | None]:
    """Return each input in its layout, in aligned memory of its own."""
    return [
        None if a is None or s is None else to_layout(a, s, i * STEP % LATE)
        for i, (a, s) in enumerate(zip(arrays, problem.inputs, strict=True))
    ]


def empty_outputs(problem: Problem) -> list[Array]:
    """Return memory for the outputs, filled with what no kernel writes by chance."""
    outputs = [
        empty((s.nbytes // s.itemsize,), numpy_dtype(s.dtype), LATE) for s in problem.outputs
    ]
    for output in outputs:
        output.view(np.uint8)[:] = 0xFF
    return outputs


def logical_outputs(problem: Problem, stored: Sequence[Array]) -> list[Array]:
    """Return copies of the outputs in the logical layout."""
    return [np.array(from_layout(o, s)) for o, s in zip(stored, problem.outputs, strict=True)]
