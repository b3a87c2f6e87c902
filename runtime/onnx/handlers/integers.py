"""Integers whose scales are known only when their values are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import dispatch
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.handlers.casts import cast_to
from runtime.onnx.handlers.convolution import window_of
from runtime.onnx.handlers.matrices import promoted
from runtime.onnx.handlers.quantization import along, convolution

__all__ = ["HANDLERS"]

_Operand: TypeAlias = tuple[Value, Value | None]
"""Integers and their zero point."""


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


def dynamic_quantize_matmul(call: Call) -> Any:
    """Record DynamicQuantizeMatMul: a product with what is quantised by its own range."""
    a, a_scale, a_point = dispatch.dynamic_quantize_linear(call[0])
    return _scaled(call, (a, a_point), (call[1], call.optional(3)), (a_scale, call[2]), 4)


def matmul_integer_to_float(call: Call) -> Any:
    """Record MatMulIntegerToFloat: a product of integers, times their scales."""
    a, b = (call[0], call.optional(4)), (call[1], call.optional(5))
    return _scaled(call, a, b, (call[2], call[3]), 6)


def _scaled(call: Call, a: _Operand, b: _Operand, scales: tuple[Value, Value], bias: int) -> Any:
    """Return the product of operands and zero points, times scales, plus a bias."""
    product = promoted(
        call, a[0], b[0], lambda one, other: dispatch.matmul_integer(one, other, a[1], b[1])
    )
    y = dispatch.cast(product, scales[0].spec.dtype)
    y = dispatch.mul(y, dispatch.mul(*scales))
    extra = call.optional(bias)
    return y if extra is None else dispatch.add(y, extra)


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
    "com.microsoft::DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "com.microsoft::MatMulIntegerToFloat": matmul_integer_to_float,
}
