"""Activations."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import dispatch
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.concrete import Concrete

__all__ = ["HANDLERS", "swish_of"]


def clip(call: Call) -> Any:
    """Record Clip: bounds are attributes before version 11, then inputs."""
    x = call[0]
    if call.version < 11:
        return dispatch.clip(x, call.get("min", -math.inf), call.get("max", math.inf))
    low, high = call.optional(1), call.optional(2)
    if all(bound is None or isinstance(bound, Concrete) for bound in (low, high)):
        return dispatch.clip(x, _bound(low, -math.inf), _bound(high, math.inf))
    if low is not None:
        x = dispatch.maximum(x, low)
    return x if high is None else dispatch.minimum(x, high)


def _bound(value: Value | None, default: float) -> float:
    return default if value is None else float(value.array.item())


def leaky_relu(call: Call) -> Any:
    """Record LeakyRelu."""
    return dispatch.leaky_relu(call[0], alpha=call.get("alpha", 0.01))


def elu(call: Call) -> Any:
    """Record Elu."""
    return dispatch.elu(call[0], alpha=call.get("alpha", 1.0))


def selu(call: Call) -> Any:
    """Record Selu: a scaled Elu."""
    alpha = call.get("alpha", 1.6732632423543772)
    gamma = call.get("gamma", 1.0507009873554805)
    return dispatch.mul(dispatch.elu(call[0], alpha=alpha), gamma)


def celu(call: Call) -> Any:
    """Record Celu: an Elu of ``x / alpha``, times alpha."""
    alpha = call.get("alpha", 1.0)
    return dispatch.mul(dispatch.elu(dispatch.div(call[0], alpha)), alpha)


def hard_sigmoid(call: Call) -> Any:
    """Record HardSigmoid."""
    return dispatch.hard_sigmoid(call[0], alpha=call.get("alpha", 0.2), beta=call.get("beta", 0.5))


def hard_swish(call: Call) -> Any:
    """Record HardSwish."""
    return dispatch.hard_swish(call[0])


def gelu(call: Call) -> Any:
    """Record Gelu."""
    return dispatch.gelu(call[0], approximate=call.get("approximate", "none"))


def swish(call: Call) -> Any:
    """Record Swish."""
    return swish_of(call[0], call.get("alpha", 1.0))


def swish_of(x: Any, alpha: float) -> Any:
    """Return ``x * sigmoid(alpha * x)``."""
    if alpha == 1.0:
        return dispatch.silu(x)
    return dispatch.mul(x, dispatch.sigmoid(dispatch.mul(x, alpha)))


def softplus(call: Call) -> Any:
    """Record Softplus so that large elements don't overflow."""
    return _softplus(call[0])


def _softplus(x: Any) -> Any:
    tail = dispatch.log(dispatch.add(dispatch.exp(dispatch.neg(dispatch.abs(x))), 1.0))
    return dispatch.add(dispatch.relu(x), tail)


def mish(call: Call) -> Any:
    """Record Mish: ``x * tanh(softplus(x))``."""
    return dispatch.mul(call[0], dispatch.tanh(_softplus(call[0])))


def softsign(call: Call) -> Any:
    """Record Softsign: ``x / (1 + |x|)``."""
    return dispatch.div(call[0], dispatch.add(dispatch.abs(call[0]), 1.0))


def thresholded_relu(call: Call) -> Any:
    """Record ThresholdedRelu."""
    x = call[0]
    above = dispatch.greater(x, call.get("alpha", 1.0))
    return dispatch.where(above, x, call.scope.concrete(0, x.dtype))


HANDLERS: Mapping[str, Handler] = {
    "Celu": celu,
    "Clip": clip,
    "Elu": elu,
    "Gelu": gelu,
    "HardSigmoid": hard_sigmoid,
    "HardSwish": hard_swish,
    "LeakyRelu": leaky_relu,
    "Mish": mish,
    "Selu": selu,
    "Softplus": softplus,
    "Softsign": softsign,
    "Swish": swish,
    "ThresholdedRelu": thresholded_relu,
}
