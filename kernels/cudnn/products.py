"""Products of matrices as cuDNN and cuBLAS know them: one axis of batches."""

from __future__ import annotations

import math
from dataclasses import dataclass

from dispatch.answer import No, NoCode
from dispatch.problem import Problem

__all__ = ["MatrixProduct", "product_of"]


@dataclass(frozen=True, slots=True)
class MatrixProduct:
    """A product of dense matrices that lie by rows.

    Parameters
    ----------
    rows, columns, inner
        Of the result, and what is summed over.
    batches
        How many matrices each factor has: one, or as many as the result.
    transpose_a, transpose_b
        Whether a factor lies transposed.
    alpha
        The factor of the result.
    """

    rows: int
    columns: int
    inner: int
    batches: tuple[int, int]
    transpose_a: bool
    transpose_b: bool
    alpha: float

    @property
    def batch(self) -> int:
        """How many matrices the result has."""
        return max(self.batches)


def product_of(problem: Problem) -> MatrixProduct | No:
    """Return the product of a consistent problem of ``matmul`` or ``linear``."""
    if problem.operator == "linear":
        return _product(problem, False, True, 1.0)
    attributes = dict(problem.attributes)
    alpha = attributes["alpha"]
    assert isinstance(alpha, float | int)
    transposed = bool(attributes["transpose_a"]), bool(attributes["transpose_b"])
    return _product(problem, *transposed, float(alpha))


def _product(
    problem: Problem, transpose_a: bool, transpose_b: bool, alpha: float
) -> MatrixProduct | No:
    a, b = problem.inputs[:2]
    assert a is not None and b is not None
    (y,) = problem.outputs
    batches = math.prod(a.shape[:-2]), math.prod(b.shape[:-2])
    rows, columns = y.shape[-2:] if y.rank > 1 else (1, y.shape[-1])
    if b.rank == 2 and not transpose_a:  # one product with all rows
        batches, rows = (1, 1), math.prod(y.shape[:-1])
    elif any(
        count not in (1, math.prod(y.shape[:-2])) or (count != 1 and t.shape[:-2] != y.shape[:-2])
        for count, t in zip(batches, (a, b), strict=True)
    ):
        return No(NoCode.SHAPE, "batches", "equal, or one", f"{a.shape[:-2]} and {b.shape[:-2]}")
    inner = a.shape[-2] if transpose_a else a.shape[-1]
    return MatrixProduct(rows, columns, inner, batches, transpose_a, transpose_b, alpha)
