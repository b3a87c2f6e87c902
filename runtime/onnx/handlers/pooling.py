"""Pools."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.onnx.handlers.windows import pads_of, pair, spatial, with_height, without_height

__all__ = ["HANDLERS"]


def _pool(call: Call, function: Callable[..., Any], **settings: Any) -> Any:
    x = call[0]
    count = spatial(call, x)
    kernel = pair(call.integers("kernel_shape"), 1, count)
    settings["strides"] = pair(call.integers("strides"), 1, count)
    settings["pads"] = pads_of(call, count)
    settings["ceil_mode"] = call.get("ceil_mode", 0)
    if count == 2:
        return function(x, kernel, **settings)
    return without_height(call, function(with_height(call, x), kernel, **settings))


def max_pool(call: Call) -> Any:
    """Record MaxPool without the indices."""
    call.only_first_output()
    count = spatial(call, call[0])
    dilations = pair(call.integers("dilations"), 1, count)
    return _pool(call, dispatch.max_pool2d, dilations=dilations)


def average_pool(call: Call) -> Any:
    """Record AveragePool without dilations."""
    dilations = call.integers("dilations") or ()
    if any(d != 1 for d in dilations):
        raise ModelError(f"dilations: expected 1 everywhere, got {dilations}")
    return _pool(call, dispatch.avg_pool2d, count_include_pad=call.get("count_include_pad", 0))


def global_average_pool(call: Call) -> Any:
    """Record GlobalAveragePool of any number of spatial dimensions."""
    x = call[0]
    if x.ndim == 4:
        return dispatch.global_avg_pool2d(x)
    return dispatch.mean(x, axes=tuple(range(2, x.ndim)), keepdims=True)


def global_max_pool(call: Call) -> Any:
    """Record GlobalMaxPool of any number of spatial dimensions."""
    x = call[0]
    if x.ndim == 4:
        return dispatch.global_max_pool2d(x)
    return dispatch.max(x, axes=tuple(range(2, x.ndim)), keepdims=True)


def lp_pool(call: Call) -> Any:
    """Record LpPool: the root of the sum of powers, of an average over whole windows."""
    dilations = call.integers("dilations") or ()
    if any(d != 1 for d in dilations) or call.get("ceil_mode", 0):
        raise ModelError("expected no dilations and extents rounded down")
    power = call.get("p", 2)
    kernel = call.integers("kernel_shape") or ()
    powers = _power(call[0], power)
    means = _pool(replace(call, inputs=(powers,)), dispatch.avg_pool2d, count_include_pad=1)
    return _root(dispatch.mul(means, float(math.prod(kernel))), power)


def global_lp_pool(call: Call) -> Any:
    """Record GlobalLpPool."""
    x, power = call[0], call.get("p", 2)
    axes = tuple(range(2, x.ndim))
    return _root(dispatch.sum(_power(x, power), axes, keepdims=True), power)


def _power(x: Any, power: int) -> Any:
    if power < 1:
        raise ModelError(f"p: expected at least 1, got {power}")
    if power == 2:
        return dispatch.mul(x, x)
    size = dispatch.abs(x)
    return size if power == 1 else dispatch.pow(size, float(power))


def _root(x: Any, power: int) -> Any:
    if power == 2:
        return dispatch.sqrt(x)
    return x if power == 1 else dispatch.pow(x, 1 / power)


HANDLERS: Mapping[str, Handler] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalLpPool": global_lp_pool,
    "GlobalMaxPool": global_max_pool,
    "LpPool": lp_pool,
    "MaxPool": max_pool,
}
