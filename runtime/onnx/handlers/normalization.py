"""Normalisations and softmax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dispatch
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Entry, Extents, reshape, shape_attribute, static_shape
from runtime.onnx.handlers.casts import cast_to

__all__ = ["HANDLERS", "root_mean_square", "softmax_of", "statistics"]


def batch_norm(call: Call) -> Any:
    """Record BatchNormalization, in training by the statistics of what comes in."""
    if call.get("spatial", 1) != 1:
        raise ModelError("spatial: expected 1, got 0")
    x, scale, bias, *given = (call[i] for i in range(5))
    epsilon = call.get("epsilon", 1e-5)
    if not call.get("training_mode", 0):
        call.only_first_output()
        return dispatch.batch_norm(x, scale, bias, *given, epsilon=epsilon)
    axes = tuple(axis for axis in range(x.ndim) if axis != 1)
    mean = dispatch.mean(x, axes, keepdims=True)
    difference = dispatch.sub(x, mean)
    variance = dispatch.mean(dispatch.mul(difference, difference), axes)
    found = dispatch.mean(x, axes), variance
    kept = call.get("momentum", 0.9)
    running = (
        dispatch.add(dispatch.mul(old, kept), dispatch.mul(new, 1.0 - kept))
        for old, new in zip(given, found, strict=True)
    )
    return dispatch.batch_norm(x, scale, bias, *found, epsilon=epsilon), *running


def layer_norm(call: Call) -> Any:
    """Record LayerNormalization, and the statistics where they are wanted."""
    x, scale, bias = call[0], call[1], call.optional(2)
    axis = normalize_axis("LayerNormalization", "axis", call.get("axis", -1), x.ndim)
    epsilon = call.get("epsilon", 1e-5)
    wanted = _normalized_shape(call, x, axis)
    scale = _expanded(scale, wanted, x.ndim - axis)
    bias = None if bias is None else _expanded(bias, wanted, x.ndim - axis)
    y = dispatch.layer_norm(x, scale, bias, axis=axis, epsilon=epsilon)
    if not (call.wants(1) or call.wants(2)):
        return y
    return y, *statistics(x, tuple(range(axis, x.ndim)), epsilon)


def statistics(x: Any, axes: tuple[int, ...], epsilon: float) -> tuple[Any, Any]:
    """Return the mean over axes, and the reciprocal of the standard deviation there."""
    mean = dispatch.mean(x, axes, keepdims=True)
    difference = dispatch.sub(x, mean)
    variance = dispatch.mean(dispatch.mul(difference, difference), axes, keepdims=True)
    return mean, dispatch.rsqrt(dispatch.add(variance, epsilon))


def _normalized_shape(call: Call, x: Value, axis: int) -> tuple[int, ...] | None:
    shape = static_shape(call, x)
    return None if shape is None else shape[axis:]


def _expanded(parameter: Value, shape: tuple[int, ...] | None, rank: int) -> Any:
    """Broadcast a parameter to what is normalised."""
    if shape is None or parameter.spec.shape == shape:
        if parameter.ndim != rank:
            raise ModelError(f"expected a parameter of {rank} dimensions, got {parameter.spec}")
        return parameter
    return dispatch.expand(parameter, shape)


def instance_norm(call: Call) -> Any:
    """Record InstanceNormalization: each image's channels by their own statistics."""
    x = call[0]
    axes = tuple(range(2, x.ndim))
    scale, bias = (reshape(call, call[i], (Extents((0,)), *(1 for _ in axes))) for i in (1, 2))
    return dispatch.add(dispatch.mul(_standard(x, axes, call.get("epsilon", 1e-5)), scale), bias)


def _standard(x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    """Return x with mean 0 and variance 1 over axes."""
    difference = dispatch.sub(x, dispatch.mean(x, axes, keepdims=True))
    variance = dispatch.mean(dispatch.mul(difference, difference), axes, keepdims=True)
    return dispatch.mul(difference, dispatch.rsqrt(dispatch.add(variance, epsilon)))


def group_norm(call: Call) -> Any:
    """Record GroupNormalization: groups of channels by their own statistics.

    Before version 21 scale and bias have an entry a group, then one a channel.
    """
    x, groups = call[0], call.get("num_groups", 0)
    if groups < 1 or x.spec.shape[1] % groups:
        raise ModelError(
            f"num_groups: expected a divisor of the channels of {x.spec}, got {groups}"
        )
    spatial = tuple(range(2, x.ndim))
    grouped: tuple[Entry, ...]
    grouped = (Extents((0,)), groups, Extents((1,), over=groups), *(Extents((a,)) for a in spatial))
    axes = tuple(range(2, x.ndim + 1))
    y = _standard(reshape(call, x, grouped), axes, call.get("epsilon", 1e-5))
    ones = tuple(1 for _ in spatial)
    if call.version < 21:
        scale, bias = (reshape(call, call[i], (Extents((0,)), 1, *ones)) for i in (1, 2))
        y = dispatch.add(dispatch.mul(y, scale), bias)
    joined = (Extents((0,)), Extents((1, 2)), *(Extents((a + 1,)) for a in spatial))
    y = reshape(call, y, joined)
    if call.version < 21:
        return y
    scale, bias = (reshape(call, call[i], (Extents((0,)), *ones)) for i in (1, 2))
    return dispatch.add(dispatch.mul(y, scale), bias)


def rms_norm(call: Call) -> Any:
    """Record RMSNormalization: divided by the root of the mean of squares, times a scale.

    ONNX Runtime's SimplifiedLayerNormalization, an older name of it, gives what it multiplied by.
    """
    x, scale = call[0], call[1]
    axis = normalize_axis(call.operator, "axis", call.get("axis", -1), x.ndim)
    factor = root_mean_square(x, tuple(range(axis, x.ndim)), call.get("epsilon", 1e-5))
    return dispatch.mul(dispatch.mul(x, factor), scale), factor


def root_mean_square(x: Any, axes: tuple[int, ...], epsilon: float) -> Any:
    """Return the reciprocal of the root of the mean of squares over axes."""
    squares = dispatch.mean(dispatch.mul(x, x), axes, keepdims=True)
    return dispatch.rsqrt(dispatch.add(squares, epsilon))


def lp_norm(call: Call) -> Any:
    """Record LpNormalization for p of 1 or 2."""
    x, axis = call[0], call.get("axis", -1)
    size = dispatch.abs(x) if call.get("p", 2) == 1 else dispatch.mul(x, x)
    total = dispatch.sum(size, (axis,), keepdims=True)
    length = total if call.get("p", 2) == 1 else dispatch.sqrt(total)
    # A length of 0 is that of zeros, which stay zeros.
    none = dispatch.equal(length, 0.0)
    return dispatch.div(x, dispatch.where(none, call.scope.concrete(1, x.dtype), length))


def lrn(call: Call) -> Any:
    """Record LRN."""
    return dispatch.lrn(
        call[0],
        call.get("size", 0),
        alpha=call.get("alpha", 1e-4),
        beta=call.get("beta", 0.75),
        bias=call.get("bias", 1.0),
    )


def along_axis(function: Callable[..., Any]) -> Handler:
    """Return the handler of a softmax, or of what takes its axis as softmax does."""

    def record(call: Call) -> Any:
        axis = call.get("axis", -1 if call.version >= 13 else 1)
        return softmax_of(call, call[0], axis, call.version, function)

    return record


def hard_max(x: Value, axis: int) -> Any:
    """Record Hardmax along an axis: 1 at the first largest element, else 0."""
    is_largest = dispatch.equal(x, dispatch.max(x, (axis,), keepdims=True))
    number = dispatch.cumsum(cast_to(is_largest, "int32"), axis)
    is_first = dispatch.logical_and(is_largest, dispatch.equal(number, 1))
    return cast_to(is_first, x.spec.dtype)


def softmax_of(
    call: Call, x: Value, axis: int, version: int, function: Callable[[Any, int], Any]
) -> Any:
    """Return softmax along an axis; before version 13 over all axes from the given one on."""
    if version >= 13:
        return function(x, axis)
    axis = normalize_axis(call.operator, "axis", axis, x.ndim)
    shape = static_shape(call, x)
    wide = [] if shape is None else [a for a in range(axis, x.ndim) if shape[a] != 1]
    if axis == x.ndim - 1:
        return function(x, axis)
    if shape is not None and len(wide) <= 1:
        return function(x, wide[0] if wide else axis)
    flat = reshape(call, x, (Extents(tuple(range(axis))), Extents(tuple(range(axis, x.ndim)))))
    return dispatch.reshape(function(flat, 1), shape_attribute(call, x), allow_zero=True)


HANDLERS: Mapping[str, Handler] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "Hardmax": along_axis(hard_max),
    "InstanceNormalization": instance_norm,
    "LRN": lrn,
    "LayerNormalization": layer_norm,
    "LogSoftmax": along_axis(dispatch.log_softmax),
    "LpNormalization": lp_norm,
    "RMSNormalization": rms_norm,
    "SimplifiedLayerNormalization": rms_norm,
    "Softmax": along_axis(dispatch.softmax),
}
