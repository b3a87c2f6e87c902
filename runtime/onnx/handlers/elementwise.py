"""Arithmetic, comparisons and logic, element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import dispatch
from runtime.onnx.call import Call, Handler
from runtime.onnx.handlers.casts import cast_to

__all__ = ["HANDLERS"]

UNARY = {
    "Abs": dispatch.abs,
    "Atan": dispatch.atan,
    "Ceil": dispatch.ceil,
    "Cos": dispatch.cos,
    "Erf": dispatch.erf,
    "Exp": dispatch.exp,
    "Floor": dispatch.floor,
    "Log": dispatch.log,
    "Neg": dispatch.neg,
    "Not": dispatch.logical_not,
    "Reciprocal": dispatch.reciprocal,
    "Relu": dispatch.relu,
    "Round": dispatch.round,
    "Sigmoid": dispatch.sigmoid,
    "Sign": dispatch.sign,
    "Sin": dispatch.sin,
    "Sqrt": dispatch.sqrt,
    "Tanh": dispatch.tanh,
}

BINARY = {
    "Add": dispatch.add,
    "And": dispatch.logical_and,
    "Div": dispatch.div,
    "Equal": dispatch.equal,
    "Greater": dispatch.greater,
    "GreaterOrEqual": dispatch.greater_equal,
    "Less": dispatch.less,
    "LessOrEqual": dispatch.less_equal,
    "Mul": dispatch.mul,
    "Or": dispatch.logical_or,
    "PRelu": dispatch.prelu,
    "Sub": dispatch.sub,
    "Xor": dispatch.logical_xor,
}

VARIADIC = {"Max": dispatch.maximum, "Min": dispatch.minimum, "Sum": dispatch.add}


def unary(function: Callable[..., Any]) -> Handler:
    """Return the handler of a function of one array."""
    return lambda call: function(call[0])


def binary(function: Callable[..., Any]) -> Handler:
    """Return the handler of a function of two arrays that broadcast."""
    return lambda call: function(call[0], call[1])


def variadic(function: Callable[..., Any]) -> Handler:
    """Return the handler that applies a function of two arrays from left to right."""
    return lambda call: reduce(function, call.every())


def mean(call: Call) -> Any:
    """Record Mean."""
    values = call.every()
    return dispatch.div(reduce(dispatch.add, values), float(len(values)))


def power(call: Call) -> Any:
    """Record Pow; the exponent may be of another dtype, the result has the base's."""
    base, exponent = call[0], call[1]
    if base.dtype == exponent.dtype:
        return dispatch.pow(base, exponent)
    if exponent.dtype.kind == "f" and base.dtype.kind in "iu":
        raised = dispatch.pow(cast_to(base, exponent.spec.dtype), exponent)
        return cast_to(raised, base.spec.dtype)
    return dispatch.pow(base, cast_to(exponent, base.spec.dtype))


def modulus(call: Call) -> Any:
    """Record Mod: with the divisor's sign, or the dividend's."""
    return (dispatch.fmod if call.get("fmod", 0) else dispatch.mod)(call[0], call[1])


def tangent(call: Call) -> Any:
    """Record Tan."""
    return dispatch.div(dispatch.sin(call[0]), dispatch.cos(call[0]))


def where(call: Call) -> Any:
    """Record Where."""
    return dispatch.where(call[0], call[1], call[2])


def is_nan(call: Call) -> Any:
    """Record IsNaN: what isn't equal to itself."""
    return dispatch.not_equal(call[0], call[0])


def is_infinite(call: Call) -> Any:
    """Record IsInf for one sign or both."""
    x = call[0]
    positive, negative = call.get("detect_positive", 1), call.get("detect_negative", 1)
    infinity = float("inf")
    if positive and negative:
        return dispatch.equal(dispatch.abs(x), infinity)
    if positive or negative:
        return dispatch.equal(x, infinity if positive else -infinity)
    return dispatch.less(x, x)  # no element is


HANDLERS: Mapping[str, Handler] = {
    **{name: unary(function) for name, function in UNARY.items()},
    **{name: binary(function) for name, function in BINARY.items()},
    **{name: variadic(function) for name, function in VARIADIC.items()},
    "IsInf": is_infinite,
    "IsNaN": is_nan,
    "Mean": mean,
    "Mod": modulus,
    "Pow": power,
    "Tan": tangent,
    "Where": where,
}
