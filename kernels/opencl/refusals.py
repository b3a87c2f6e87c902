"""What no kernel here takes."""

from __future__ import annotations

from collections.abc import Sequence

from dispatch.answer import No, NoCode
from dispatch.consistency import is_consistent
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import ANY, NCHW
from kernels.gpu.plan import MAX_ELEMENTS
from kernels.gpu.traits import Traits

__all__ = ["concrete", "refusal"]


def concrete(problem: Problem) -> Problem:
    """Return the problem in the logical layout where it leaves layouts open."""
    return problem.with_layouts(
        tuple(NCHW if t is not None and t.layout == ANY else "" for t in problem.tensors)
    )


def refusal(operator: str, dtypes: Sequence[str], problem: Problem, traits: Traits) -> No | None:
    """Refuse a problem for another operator, dtype or device, one that contradicts itself.

    Parameters
    ----------
    operator, dtypes
        What the kernel is for.
    """
    if problem.operator != operator or problem.dtype not in dtypes:
        return No(NoCode.DTYPE, "dtype", ", ".join(dtypes), problem.dtype)
    present = [t for t in problem.tensors if t is not None]
    for tensor in present:
        if tensor.layout not in (NCHW, ANY) and operator != "reorder":
            return No(NoCode.LAYOUT, "layout", NCHW, tensor.layout)
        if tensor.dtype == "float64" and not traits.has_f64:
            return No(NoCode.DEVICE, "cl_khr_fp64", "a device that has it", traits.name)
    if not is_consistent(operators()[operator], concrete(problem)):
        return No(NoCode.SHAPE, "tensors and attributes", "what the operator's rule gives")
    largest = max(tensor.size for tensor in present)
    if largest > MAX_ELEMENTS:
        return No(NoCode.SHAPE, "elements", f"<= {MAX_ELEMENTS}", str(largest))
    return None
