"""What ONNX Runtime's optimiser makes of several nodes: products, activations, normalisations.

Of its documentation "Contrib Operator Schemas". The parts are recorded one by one: what is worth
fusing for a device, the passes and the kernels find again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.onnx.handlers.activations import swish_of
from runtime.onnx.handlers.convolution import conv
from runtime.onnx.handlers.matrices import gemm
from runtime.onnx.handlers.normalization import root_mean_square, statistics

__all__ = ["HANDLERS"]

EPSILON_OF_SUMS = 1e-12
"""Default of the normalisations of sums."""

ACTIVATIONS: Mapping[str, tuple[int, Callable[..., Any]]] = {
    "Clip": (2, lambda x, low, high: dispatch.clip(x, low, high)),
    "Elu": (1, lambda x, alpha: dispatch.elu(x, alpha=alpha)),
    "HardSigmoid": (2, lambda x, alpha, beta: dispatch.hard_sigmoid(x, alpha=alpha, beta=beta)),
    "LeakyRelu": (1, lambda x, alpha: dispatch.leaky_relu(x, alpha=alpha)),
    "Relu": (0, dispatch.relu),
    "Sigmoid": (0, dispatch.sigmoid),
    "Tanh": (0, dispatch.tanh),
}
"""How many parameters an activation has, and what records it."""


def _activated(y: Any, name: str, parameters: Sequence[float]) -> Any:
    """Record an activation by its ONNX name; an empty one is none."""
    if not name:
        return y
    if name not in ACTIVATIONS:
        raise ModelError(f"activation: expected one of {', '.join(ACTIVATIONS)}, got {name!r}")
    count, function = ACTIVATIONS[name]
    if len(parameters) < count:
        raise ModelError(
            f"activation: expected {count} parameters of {name}, got {len(parameters)}"
        )
    return function(y, *map(float, parameters[:count]))


def fused_conv(call: Call) -> Any:
    """Record FusedConv: the activation of a convolution and of what is added to it."""
    y, other = conv(call), call.optional(3)
    if other is not None:
        y = dispatch.add(y, other)
    return _activated(y, call.get("activation", ""), call.attributes.get("activation_params", ()))


def fused_gemm(call: Call) -> Any:
    """Record FusedGemm: Gemm and an activation."""
    names = ("activation_alpha", "activation_beta", "activation_gamma")
    parameters = [call.attributes[name] for name in names if name in call.attributes]
    return _activated(gemm(call), call.get("activation", ""), parameters)


def fused_matmul(call: Call) -> Any:
    """Record FusedMatMul: ``alpha * a @ b``, each of a and b transposed or not."""
    a, flip_a = _operand(call, 0, "transBatchA", "transA")
    b, flip_b = _operand(call, 1, "transBatchB", "transB")
    if a.ndim < 2 or b.ndim < 2:
        raise ModelError(f"expected matrices, got {a.spec} and {b.spec}")
    alpha = call.get("alpha", 1.0)
    return dispatch.matmul(a, b, transpose_a=flip_a, transpose_b=flip_b, alpha=alpha)


def _operand(call: Call, index: int, batch: str, last: str) -> tuple[Any, bool]:
    """Return an operand with its batches first, and whether its matrices are to be transposed."""
    x = call[index]
    if call.get(batch, 0) and x.ndim > 2:  # the first dimension is the matrices' rows
        x = dispatch.transpose(x, (*range(1, x.ndim - 1), 0, x.ndim - 1))
    return x, bool(call.get(last, 0))


def gelu(call: Call) -> Any:
    """Record Gelu, or BiasGelu of a sum, exact."""
    return dispatch.gelu(_with_bias(call, 1))


def fast_gelu(call: Call) -> Any:
    """Record FastGelu: Gelu by tanh, of a sum."""
    return dispatch.gelu(_with_bias(call, 1), approximate="tanh")


def quick_gelu(call: Call) -> Any:
    """Record QuickGelu: Swish with another alpha by default."""
    return swish_of(call[0], call.get("alpha", 1.702))


def _with_bias(call: Call, index: int) -> Any:
    bias = call.optional(index)
    return call[0] if bias is None else dispatch.add(call[0], bias)


def skip_layer_norm(call: Call) -> Any:
    """Record SkipLayerNormalization: LayerNormalization of a sum, which is an output, too."""
    total, scale, bias = _sum(call, 4), call[2], call.optional(3)
    epsilon = call.get("epsilon", EPSILON_OF_SUMS)
    y = dispatch.layer_norm(total, scale, bias, axis=total.ndim - 1, epsilon=epsilon)
    found: tuple[Any, ...] = (None, None)
    if call.wants(1) or call.wants(2):
        found = statistics(total, (total.ndim - 1,), epsilon)
    return y, *found, total


def skip_rms_norm(call: Call) -> Any:
    """Record SkipSimplifiedLayerNormalization: RMSNormalization of a sum."""
    total, scale = _sum(call, 3), call[2]
    epsilon = call.get("epsilon", EPSILON_OF_SUMS)
    factor = root_mean_square(total, (total.ndim - 1,), epsilon)
    return dispatch.mul(dispatch.mul(total, factor), scale), None, factor, total


def _sum(call: Call, bias: int) -> Any:
    """Return the sum of the input, the residual and what a bias adds."""
    total = dispatch.add(call[0], call[1])
    extra = call.optional(bias)
    return total if extra is None else dispatch.add(total, extra)


HANDLERS: Mapping[str, Handler] = {
    "com.microsoft::BiasGelu": gelu,
    "com.microsoft::FastGelu": fast_gelu,
    "com.microsoft::FusedConv": fused_conv,
    "com.microsoft::FusedGemm": fused_gemm,
    "com.microsoft::FusedMatMul": fused_matmul,
    "com.microsoft::Gelu": gelu,
    "com.microsoft::QuickGelu": quick_gelu,
    "com.microsoft::SkipLayerNormalization": skip_layer_norm,
    "com.microsoft::SkipSimplifiedLayerNormalization": skip_rms_norm,
}
