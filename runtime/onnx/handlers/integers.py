"""Integers whose scales are known only when their values are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
from runtime.onnx.call import Call, Handler
from runtime.onnx.handlers.casts import cast_to
from runtime.onnx.handlers.convolution import window_of
from runtime.onnx.handlers.matrices import promoted
from runtime.onnx.handlers.quantization import along, convolution

__all__ = ["HANDLERS"]


def dynamic_quantize_linear(call: Call) -> Any:
    """Record DynamicQuantizeLinear."""
    return dispatch.dynamic_quantize_linear(cast_to(call[0], "float32"))


def conv_integer(call: Call) -> Any:
    """Record ConvInteger of one or two spatial dimensions."""
    return convolution(
        call,
        call[0],
        call[1],
        lambda image, filters: dispatch.conv_integer(
            image, filters, call.optional(2), call.optional(3), **window_of(call, call[0])
        ),
    )


def matmul_integer(call: Call) -> Any:
    """Record MatMulInteger; zero points of a's rows are subtracted before."""
    a, b, a_point, b_point = call[0], call[1], call.optional(2), call.optional(3)
    one_for_all = a_point is None or a_point.spec.shape in ((), (1,))
    if one_for_all and (b_point is None or b_point.ndim < 2):
        return promoted(
            call,
            a,
            b,
            lambda first, second: dispatch.matmul_integer(first, second, a_point, b_point),
        )
    return promoted(call, _centred(call, 0, 2, -2), _centred(call, 1, 3, -1), dispatch.matmul)


def _centred(call: Call, index: int, zero_point: int, axis: int) -> Any:
    """Return an operand less its zero points, as int32."""
    value = dispatch.cast(call[index], "int32")
    point = call.optional(zero_point)
    if point is None:
        return value
    if point.ndim < 2:
        point = along(call, zero_point, value, axis)
    return dispatch.sub(value, dispatch.cast(point, "int32"))


HANDLERS: Mapping[str, Handler] = {
    "ConvInteger": conv_integer,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulInteger": matmul_integer,
}
