"""Inverses of trigonometric functions, hyperbolic functions and their inverses, by others.

By formulas that lose nothing near zero, nor near one where the result is small there (Kahan,
"Branch Cuts for Complex Elementary Functions", 1987).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
from runtime.onnx.call import Call, Handler

__all__ = ["HANDLERS"]


def arcsine(call: Call) -> Any:
    """Record Asin: ``2 atan(x / (1 + sqrt(1 - x²)))``."""
    x = call[0]
    root = dispatch.sqrt(dispatch.mul(dispatch.sub(1.0, x), dispatch.add(x, 1.0)))
    return _twice(dispatch.atan(dispatch.div(x, dispatch.add(root, 1.0))))


def arccosine(call: Call) -> Any:
    """Record Acos: ``2 atan(sqrt((1 - x) / (1 + x)))``."""
    x = call[0]
    ratio = dispatch.div(dispatch.sub(1.0, x), dispatch.add(x, 1.0))
    return _twice(dispatch.atan(dispatch.sqrt(ratio)))


def hyperbolic_cosine(call: Call) -> Any:
    """Record Cosh."""
    return _cosh(call[0])


def hyperbolic_sine(call: Call) -> Any:
    """Record Sinh: ``tanh(x / 2) (cosh(x) + 1)``."""
    x = call[0]
    return dispatch.mul(dispatch.tanh(_half(x)), dispatch.add(_cosh(x), 1.0))


def _cosh(x: Any) -> Any:
    """Return the hyperbolic cosine, of roots of exponentials: they overflow where it does."""
    root = dispatch.exp(_half(dispatch.abs(x)))
    rising = dispatch.mul(root, _half(root))
    return dispatch.add(rising, dispatch.div(0.25, rising))


def inverse_hyperbolic_cosine(call: Call) -> Any:
    """Record Acosh: ``2 log1p(sqrt(t) + (sqrt(1 + t) - 1))`` for ``t = (x - 1) / 2``."""
    t = _half(dispatch.sub(call[0], 1.0))
    root = _root_above_one(t)
    rest = dispatch.where(dispatch.less(t, 1.0), dispatch.div(t, root), dispatch.sub(root, 2.0))
    return _twice(_log1p(dispatch.add(dispatch.sqrt(t), rest)))


def inverse_hyperbolic_sine(call: Call) -> Any:
    """Record Asinh: ``log1p(a + a² / (1 + sqrt(1 + a²)))`` of a below 1, with the sign of x.

    From 1 on ``log(a) + log(1 + sqrt(1 + 1 / a²))``, which doesn't overflow.
    """
    x = call[0]
    a = dispatch.abs(x)
    small, large = dispatch.minimum(a, 1.0), dispatch.maximum(a, 1.0)
    square = dispatch.mul(small, small)
    below = _log1p(dispatch.add(small, dispatch.div(square, _root_above_one(square))))
    inverse = dispatch.reciprocal(large)
    above = dispatch.log(_root_above_one(dispatch.mul(inverse, inverse)))
    value = dispatch.where(dispatch.less(a, 1.0), below, dispatch.add(dispatch.log(large), above))
    return dispatch.mul(value, dispatch.sign(x))


def _root_above_one(x: Any) -> Any:
    """Return ``1 + sqrt(1 + x)``."""
    return dispatch.add(dispatch.sqrt(dispatch.add(x, 1.0)), 1.0)


def inverse_hyperbolic_tangent(call: Call) -> Any:
    """Record Atanh: ``log1p(2a / (1 - a)) / 2`` with the sign of x."""
    x = call[0]
    a = dispatch.abs(x)
    value = _log1p(dispatch.div(_twice(a), dispatch.sub(1.0, a)))
    return dispatch.mul(_half(value), dispatch.sign(x))


def _log1p(z: Any) -> Any:
    """Return ``log(1 + z)``: what rounding took from ``1 + z`` is given back by a quotient."""
    whole = dispatch.add(z, 1.0)
    kept = dispatch.sub(whole, 1.0)
    plain = dispatch.log(whole)
    corrected = dispatch.mul(plain, dispatch.div(z, kept))
    # Where nothing was lost, which is so of infinity, or all was.
    value = dispatch.where(dispatch.equal(kept, z), plain, corrected)
    return dispatch.where(dispatch.equal(kept, 0.0), z, value)


def _half(x: Any) -> Any:
    return dispatch.mul(x, 0.5)


def _twice(x: Any) -> Any:
    return dispatch.add(x, x)


HANDLERS: Mapping[str, Handler] = {
    "Acos": arccosine,
    "Acosh": inverse_hyperbolic_cosine,
    "Asin": arcsine,
    "Asinh": inverse_hyperbolic_sine,
    "Atanh": inverse_hyperbolic_tangent,
    "Cosh": hyperbolic_cosine,
    "Sinh": hyperbolic_sine,
}
