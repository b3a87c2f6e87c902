"""Matrix products."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import dispatch
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.concrete import Concrete
from runtime.onnx.extents import Extents, reshape
from runtime.onnx.meaning import stored

__all__ = ["HANDLERS", "promoted"]


def matmul(call: Call) -> Any:
    """Record MatMul."""
    return promoted(call, call[0], call[1], dispatch.matmul)


def promoted(call: Call, a: Any, b: Any, product: Callable[[Any, Any], Any]) -> Any:
    """Give a vector a second dimension, which the product's result loses."""
    rank = max(a.ndim, b.ndim, 2)
    lost: list[int] = []
    if a.ndim == 1:
        a = reshape(call, a, (1, Extents((0,))))
        lost.append(rank - 2)
    if b.ndim == 1:
        b = reshape(call, b, (Extents((0,)), 1))
        lost.append(rank - 1)
    y = product(a, b)
    if not lost:
        return y
    y = stored(y)
    return reshape(call, y, [Extents((axis,)) for axis in range(rank) if axis not in lost])


def gemm(call: Call) -> Any:
    """Record Gemm: ``alpha * a @ b + beta * c``, each of a and b transposed or not."""
    a, b, c = call[0], call[1], call.optional(2)
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    settings = {
        "transpose_a": bool(call.get("transA", 0)),
        "transpose_b": bool(call.get("transB", 0)),
        "alpha": alpha,
    }
    if c is not None and beta != 1.0:
        c = dispatch.mul(c, beta)
    columns = b.spec.shape[0 if settings["transpose_b"] else 1] if b.ndim == 2 else None
    bias = _bias(call, c, columns)
    if c is None or bias is not None:
        return dispatch.matmul(a, b, bias, **settings)
    return dispatch.add(dispatch.matmul(a, b, **settings), c)


def _bias(call: Call, c: Value | None, columns: int | None) -> Value | None:
    """Return c as one row of the product's columns, if it is that."""
    if c is None or not call.scope.static(c) or not call.scope.static(call[1]):
        return None
    if c.spec.shape == (columns,):
        return c
    if isinstance(c, Concrete) and c.array.size == columns and c.shape[-1:] == (columns,):
        return c.like(np.reshape(c.array, (columns,)))
    return None


HANDLERS: Mapping[str, Handler] = {"Gemm": gemm, "MatMul": matmul}
