"""Convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import static_shape
from runtime.onnx.handlers.windows import pads_of, pair, spatial, with_height, without_height

__all__ = ["HANDLERS", "window_of"]


def conv(call: Call) -> Any:
    """Record Conv of one or two spatial dimensions."""
    x, w, bias = call[0], call[1], call.optional(2)
    count = spatial(call, x)
    kernel = call.integers("kernel_shape")
    if kernel is not None and w.ndim == x.ndim and w.spec.shape[2:] != kernel:
        raise ModelError(f"kernel_shape: expected {w.spec.shape[2:]} as W has, got {kernel}")
    settings = window_of(call, x)
    if count == 2:
        return dispatch.conv2d(x, w, bias, **settings)
    y = dispatch.conv2d(with_height(call, x), with_height(call, w), bias, **settings)
    return without_height(call, y)


def window_of(call: Call, x: Value) -> dict[str, Any]:
    """Return the keywords of a convolution of one or two spatial dimensions."""
    count = spatial(call, x)
    return {
        "strides": pair(call.integers("strides"), 1, count),
        "dilations": pair(call.integers("dilations"), 1, count),
        "pads": pads_of(call, count),
        "groups": call.get("group", 1),
    }


def conv_transpose(call: Call) -> Any:
    """Record ConvTranspose of one or two spatial dimensions."""
    x, w, bias = call[0], call[1], call.optional(2)
    count = spatial(call, x)
    strides = pair(call.integers("strides"), 1, count)
    dilations = pair(call.integers("dilations"), 1, count)
    extra = pair(call.integers("output_padding"), 0, count)
    pads = pads_of(call, count)
    if call.integers("output_shape"):
        pads, extra = _pads_for_shape(call, strides, dilations, extra)
    settings = {
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "groups": call.get("group", 1),
        "output_padding": extra,
    }
    if count == 2:
        return dispatch.conv_transpose2d(x, w, bias, **settings)
    y = dispatch.conv_transpose2d(with_height(call, x), with_height(call, w), bias, **settings)
    return without_height(call, y)


def _pads_for_shape(
    call: Call, strides: tuple[int, int], dilations: tuple[int, int], extra: tuple[int, int]
) -> tuple[tuple[int, ...], tuple[int, int]]:
    """Return the padding, and the padding of the result, that give ``output_shape``."""
    x, count = call[0], call[0].ndim - 2
    shape = static_shape(call, x)
    if shape is None:
        raise ModelError("output_shape: expected fixed extents of the input, got dynamic ones")
    wanted = pair((call.integers("output_shape") or ())[-count:], 1, count)
    sizes = pair(call[1].spec.shape[2:], 1, count)
    extents = pair(shape[2:], 1, count)
    upper = call.get("auto_pad", "NOTSET") == "SAME_UPPER"
    begin, end, more = [], [], []
    for axis in range(2):
        full = (extents[axis] - 1) * strides[axis] + (sizes[axis] - 1) * dilations[axis] + 1
        total = full + extra[axis] - wanted[axis]
        more.append(extra[axis] + max(0, -total))
        total = max(0, total)
        small = total // 2
        begin.append(small if upper else total - small)
        end.append(total - begin[-1])
    return (*begin, *end), (more[0], more[1])


HANDLERS: Mapping[str, Handler] = {"Conv": conv, "ConvTranspose": conv_transpose}
