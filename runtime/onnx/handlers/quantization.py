"""Quantised values, and operators on them in ONNX's own form and ONNX Runtime's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.quantization import RANGES, STORED
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Extents, reshape
from runtime.onnx.handlers.casts import cast_to, element_type
from runtime.onnx.handlers.convolution import window_of
from runtime.onnx.handlers.matrices import promoted
from runtime.onnx.handlers.normalization import softmax_of
from runtime.onnx.handlers.windows import (
    pads_of,
    pair,
    spatial,
    with_height,
    without_height,
)
from runtime.onnx.meaning import Parameters, meant, parameters, stored

__all__ = ["HANDLERS", "TAKE_QUANTIZED", "along", "convolution"]

# ---- From and to real numbers ------------------------------------------------------------------


def quantize_linear(call: Call) -> Any:
    """Record QuantizeLinear: a scale that isn't known makes it arithmetic."""
    _one_block(call)
    dtype = element_type(call.get("output_dtype", 0)) if call.get("output_dtype", 0) else "uint8"
    x = stored(call[0])
    if x.spec.dtype not in ("float32", "float16", "bfloat16"):
        x = dispatch.cast(x, "float32")
    axis = call.get("axis", 1)
    given = parameters(call, 1, 2, axis, dtype)
    if given is None:
        return _quantized_by_arithmetic(call, x, dtype, axis)
    if given.dtype not in STORED:
        raise ModelError(f"expected a result of uint8 or int8, got {given.dtype}")
    return dispatch.quantize_linear(
        x, given.scale, given.zero_point, axis=given.axis, dtype=given.dtype
    )


def _quantized_by_arithmetic(call: Call, x: Any, dtype: str, axis: int) -> Any:
    point = call.optional(2)
    if point is not None:
        dtype = point.spec.dtype
    if dtype not in STORED:
        raise ModelError(f"expected a result of uint8 or int8, got {dtype}")
    x = cast_to(x, "float32")
    y = dispatch.round(dispatch.div(x, along(call, 1, x, axis)))
    if point is not None:
        y = dispatch.add(y, dispatch.cast(along(call, 2, x, axis), "float32"))
    low, high = RANGES[dtype]
    return dispatch.cast(dispatch.clip(y, low, high), dtype)


def dequantize_linear(call: Call) -> Any:
    """Record DequantizeLinear: a scale that isn't known makes it arithmetic."""
    _one_block(call)
    x, axis = call[0], call.get("axis", 1)
    given = parameters(call, 1, 2, axis, x.spec.dtype)
    dtype = call[1].spec.dtype
    if given is None:
        plain = stored(x)
        y = dispatch.cast(plain, "float32")
        if call.optional(2) is not None:
            y = dispatch.sub(y, dispatch.cast(along(call, 2, plain, axis), "float32"))
        y = dispatch.mul(y, cast_to(along(call, 1, plain, axis), "float32"))
    else:
        y = dispatch.dequantize_linear(meant(x, given))
    return cast_to(y, dtype)


def _one_block(call: Call) -> None:
    if call.get("block_size", 0):
        raise ModelError("block_size: scales of blocks aren't served")


def along(call: Call, index: int, x: Any, axis: int) -> Any:
    """Return a scale or a zero point in a shape that broadcasts along an axis of x."""
    value = call[index]
    if value.ndim == 0:
        return value
    if value.ndim != 1:
        raise ModelError(f"expected a number or a vector, got {value.spec}")
    if value.spec.shape == (1,):
        return reshape(call, value, ())
    after = x.ndim - 1 - axis % x.ndim
    return reshape(call, value, (Extents((0,)), *(1,) * after))


# ---- Products ------------------------------------------------------------------------------------


def qlinear_conv(call: Call) -> Any:
    """Record QLinearConv of one or two spatial dimensions."""
    x, w, y = (_known(call, at, axis) for at, axis in ((1, 1), (4, 0), (6, 1)))
    bias = call.optional(8)
    return convolution(
        call,
        call[0],
        call[3],
        lambda image, filters: dispatch.qconv2d(
            meant(image, x), meant(filters, w), bias, **window_of(call, call[0]), **y.result
        ),
    )


def qlinear_matmul(call: Call) -> Any:
    """Record QLinearMatMul."""
    a, b, y = (_known(call, at, axis) for at, axis in ((1, 0), (4, -1), (6, 0)))
    return promoted(
        call,
        stored(call[0]),
        stored(call[3]),
        lambda first, second: dispatch.qmatmul(meant(first, a), meant(second, b), **y.result),
    )


def _known(call: Call, scale: int, axis: int) -> Parameters:
    given = parameters(call, scale, scale + 1, axis)
    if given is None:
        raise ModelError(
            "scales and zero points: expected constants, got what follows from the model's inputs"
        )
    return given


def convolution(call: Call, x: Value, w: Value, made: Callable[[Any, Any], Any]) -> Any:
    """Make a convolution of images, or of rows as images of one line."""
    if spatial(call, x) == 2:
        return made(x, w)
    row = made(with_height(call, stored(x)), with_height(call, stored(w)))
    return without_height(call, stored(row))


# ---- Element by element, and averages: ONNX Runtime's own operators ----------------------------


def _qlinear_binary(function: Callable[..., Any]) -> Handler:
    def record(call: Call) -> Any:
        a, b, y = (_known(call, at, 0) for at in (1, 4, 6))
        return function(meant(call[0], a), meant(call[3], b), **y.result)

    return record


def qlinear_global_average_pool(call: Call) -> Any:
    """Record QLinearGlobalAveragePool of images, channels first."""
    if call.get("channels_last", 0):
        raise ModelError("channels_last: expected 0, got 1")
    x, y = _known(call, 1, 1), _known(call, 3, 1)
    return dispatch.qglobal_avg_pool2d(meant(call[0], x), **y.result)


def qlinear_average_pool(call: Call) -> Any:
    """Record QLinearAveragePool of images, channels first."""
    if call.get("channels_last", 0):
        raise ModelError("channels_last: expected 0, got 1")
    x, y = _known(call, 1, 1), _known(call, 3, 1)
    return dispatch.qavg_pool2d(
        meant(call[0], x),
        pair(call.integers("kernel_shape"), 1, 2),
        strides=pair(call.integers("strides"), 1, 2),
        pads=pads_of(call, 2),
        ceil_mode=bool(call.get("ceil_mode", 0)),
        count_include_pad=bool(call.get("count_include_pad", 0)),
        **y.result,
    )


def qlinear_softmax(call: Call) -> Any:
    """Record QLinearSoftmax, whose ``opset`` says what its axis means."""
    x, y = _known(call, 1, 1), _known(call, 3, 1)
    return softmax_of(
        call,
        stored(call[0]),
        call.get("axis", -1),
        call.get("opset", 13),
        lambda plain, axis: stored(dispatch.qsoftmax(meant(plain, x), axis, **y.result)),
    )


def _between(function: Callable[..., Any], name: str = "", default: Any = 0.0) -> Handler:
    """Record a function of one tensor as what it is between the integers' real values."""

    def record(call: Call) -> Any:
        x, y = _known(call, 1, 1), _known(call, 3, 1)
        real = dispatch.dequantize_linear(meant(call[0], x))
        settings = {name: call.get(name, default)} if name else {}
        return _quantized(function(real, **settings), y)

    return record


def _quantized(real: Any, y: Parameters) -> Any:
    result = y.result
    return dispatch.quantize_linear(real, result["scale"], result["zero_point"], dtype=y.dtype)


def qlinear_concat(call: Call) -> Any:
    """Record QLinearConcat: a result's scale, its zero point, then three inputs for each part."""
    y = _known(call, 0, 1)
    parts = [
        dispatch.dequantize_linear(meant(call[at], _known(call, at + 1, 1)))
        for at in range(2, len(call.inputs), 3)
    ]
    return _quantized(dispatch.concat(parts, axis=call.get("axis")), y)


def qgemm(call: Call) -> Any:
    """Record QGemm: its result is quantised, or real where it has no scale."""
    a, b = _known(call, 1, 0), _known(call, 4, 1 - call.get("transB", 0))
    first, second, bias = stored(call[0]), stored(call[3]), call.optional(6)
    if call.get("alpha", 1.0) != 1.0:
        raise ModelError(f"alpha: expected 1, got {call.get('alpha', 1.0)}")
    if call.get("transA", 0):
        first = dispatch.transpose(first, (1, 0))
    if call.get("transB", 0):
        second = dispatch.transpose(second, (1, 0))
        b = Parameters(b.scale, b.zero_point, None if b.axis is None else 1)
    left, right = meant(first, a), meant(second, b)
    if call.optional(7) is not None:
        return dispatch.qmatmul(left, right, bias, **_known(call, 7, 0).result)
    real = dispatch.matmul(dispatch.dequantize_linear(left), dispatch.dequantize_linear(right))
    if bias is None:
        return real
    unit = (a.scale * b.scale).astype(np.float32)
    return dispatch.add(real, dispatch.mul(dispatch.cast(bias, "float32"), unit))


HANDLERS: Mapping[str, Handler] = {
    "DequantizeLinear": dequantize_linear,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize_linear,
    "com.microsoft::DequantizeLinear": dequantize_linear,
    "com.microsoft::QGemm": qgemm,
    "com.microsoft::QLinearAdd": _qlinear_binary(dispatch.qadd),
    "com.microsoft::QLinearAveragePool": qlinear_average_pool,
    "com.microsoft::QLinearConcat": qlinear_concat,
    "com.microsoft::QLinearGlobalAveragePool": qlinear_global_average_pool,
    "com.microsoft::QLinearLeakyRelu": _between(dispatch.leaky_relu, "alpha", 0.01),
    "com.microsoft::QLinearMul": _qlinear_binary(dispatch.qmul),
    "com.microsoft::QLinearSigmoid": _between(dispatch.sigmoid),
    "com.microsoft::QLinearSoftmax": qlinear_softmax,
    "com.microsoft::QuantizeLinear": quantize_linear,
}

TAKE_QUANTIZED = frozenset(HANDLERS)
"""These take quantised values; all others the plain integers that ONNX has there."""
