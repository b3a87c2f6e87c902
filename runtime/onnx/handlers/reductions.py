"""Reductions over axes, and running sums along one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Extents, reshape
from runtime.onnx.handlers.casts import cast_to

__all__ = ["HANDLERS"]

Reduce = Callable[[Value, Any, bool], Any]
"""From the values, the axes (None: all) and whether they stay with extent 1."""


def reduction(function: Reduce) -> Handler:
    """Return the handler of a reduction: axes are an attribute in old versions, then an input."""

    def record(call: Call) -> Any:
        x, axes = call[0], call.setting(1, "axes")
        if axes == () or axes is None:
            if call.get("noop_with_empty_axes", 0):
                return function(_alone(call, x), (-1,), False)
            axes = None
        return function(x, axes, bool(call.get("keepdims", 1)))

    return record


def _alone(call: Call, x: Value) -> Any:
    """Give each element an axis of its own, so that reducing over it leaves the elements apart."""
    return reshape(call, x, [*(Extents((axis,)) for axis in range(x.ndim)), 1])


def extreme(function: Callable[..., Any]) -> Reduce:
    """Return a reduction that serves bool too."""

    def over(x: Value, axes: Any, keep: bool) -> Any:
        if x.dtype != np.bool_:
            return function(x, axes, keepdims=keep)
        return cast_to(function(cast_to(x, "uint8"), axes, keepdims=keep), "bool")

    return over


def total(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceSum."""
    return dispatch.sum(x, axes, keepdims=keep)


def mean(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceMean."""
    return dispatch.mean(x, axes, keepdims=keep)


def product(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceProd."""
    return dispatch.prod(x, axes, keepdims=keep)


def norm_1(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceL1: the sum of absolute values."""
    return dispatch.sum(dispatch.abs(x), axes, keepdims=keep)


def norm_2(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceL2: the root of the sum of squares."""
    return dispatch.sqrt(sum_of_squares(x, axes, keep))


def sum_of_squares(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceSumSquare."""
    return dispatch.sum(dispatch.mul(x, x), axes, keepdims=keep)


def log_sum(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceLogSum."""
    return dispatch.log(dispatch.sum(x, axes, keepdims=keep))


def log_sum_exp(x: Value, axes: Any, keep: bool) -> Any:
    """Record ReduceLogSumExp around the largest element, so that nothing overflows."""
    largest = dispatch.max(x, axes, keepdims=True)
    # Where all elements are infinite, their difference from the largest would be NaN.
    limit = float(np.finfo(np.float32).max)
    largest = dispatch.clip(largest, -limit, limit)
    shifted = dispatch.exp(dispatch.sub(x, largest))
    inner = dispatch.log(dispatch.sum(shifted, axes, keepdims=keep))
    return dispatch.add(inner, largest if keep else dispatch.sum(largest, axes))


def arg_max(call: Call) -> Any:
    """Record ArgMax."""
    return _index(call, call[0])


def arg_min(call: Call) -> Any:
    """Record ArgMin: the largest of the elements in reverse order."""
    x = call[0]
    if x.dtype.kind == "u":
        top = call.scope.concrete(np.iinfo(x.dtype).max, x.dtype)
        return _index(call, dispatch.sub(top, x))
    if x.dtype.kind == "i":
        return _index(call, dispatch.sub(call.scope.concrete(-1, x.dtype), x))
    return _index(call, dispatch.neg(x))


def _index(call: Call, x: Any) -> Any:
    return dispatch.argmax(
        x,
        call.get("axis", 0),
        keepdims=bool(call.get("keepdims", 1)),
        select_last_index=bool(call.get("select_last_index", 0)),
    )


def cumulative_sum(call: Call) -> Any:
    """Record CumSum, whose axis is an input."""
    axis = call.array(1, "axis")
    if axis is None or axis.size != 1:
        raise ModelError(f"axis: expected one number, got {axis}")
    return dispatch.cumsum(
        call[0],
        int(axis.item()),
        exclusive=bool(call.get("exclusive", 0)),
        reverse=bool(call.get("reverse", 0)),
    )


REDUCTIONS: Mapping[str, Reduce] = {
    "ReduceL1": norm_1,
    "ReduceL2": norm_2,
    "ReduceLogSum": log_sum,
    "ReduceLogSumExp": log_sum_exp,
    "ReduceMax": extreme(dispatch.max),
    "ReduceMean": mean,
    "ReduceMin": extreme(dispatch.min),
    "ReduceProd": product,
    "ReduceSum": total,
    "ReduceSumSquare": sum_of_squares,
}

HANDLERS: Mapping[str, Handler] = {
    **{name: reduction(function) for name, function in REDUCTIONS.items()},
    "ArgMax": arg_max,
    "ArgMin": arg_min,
    "CumSum": cumulative_sum,
}
