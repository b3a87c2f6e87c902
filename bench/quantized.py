"""Quantised products to time: their tensors' parameters, and layers of other tables to take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from dispatch.operator import Operator
from dispatch.quantization import RANGES
from dispatch.tensor import Quantization, TensorSpec

__all__ = ["PRODUCTS", "TABLES", "output_attributes", "quantized_spec", "table_of"]

TABLES: Mapping[str, str] = {"qconv2d": "conv2d", "qmatmul": "matmul"}
"""The table that a quantised operator's layers are taken from where it has none."""
PRODUCTS: Mapping[str, int] = {"qconv2d": 0, "qmatmul": -1}
"""Quantised products, with the axis that the second operand's scales belong to."""
FUSED = ("relu", "clip")
X_SCALE, W_SCALE = 0.04, 0.01


def table_of(operator: str, tables: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return an operator's table of a shape set: a quantised one's own, or the plain operator's.

    What a quantised operator can't fuse is left out, and constant first matrices become second
    ones, both products transposed.
    """
    own = tables.get(operator)
    plain = tables.get(TABLES.get(operator, operator))
    if own is not None or plain is None:
        return own
    turns = operator == "qmatmul" and list(plain.get("constant", ())) == ["a"]
    layers = [_layer(layer, turns) for layer in plain["layers"]]
    return {**plain, "layers": layers, **({"constant": ["b"]} if turns else {})}


def _layer(layer: Mapping[str, Any], turns: bool) -> dict[str, Any]:
    rest = {key: value for key, value in layer.items() if key != "residual"}
    activation = rest.pop("activation", None)
    if (activation[0] if isinstance(activation, list) else activation) in FUSED:
        rest["activation"] = activation
    if turns:
        a, b = rest["a"], rest["b"]
        rest["a"], rest["b"] = [*b[:-2], b[-1], b[-2]], [*a[:-2], a[-1], a[-2]]
    return rest


def quantized_spec(
    schema: Operator, index: int, shape: tuple[int, ...], dtype: str, constant: bool
) -> TensorSpec:
    """Return input `index` of a quantised product.

    The first has one scale, and real zero at the end of its range as after a ReLU; the second
    is int8 with a scale for each column; the bias is int32.
    """
    if index == 0:
        q = Quantization((X_SCALE,), (RANGES[dtype][0],), -1)
        return TensorSpec(dtype, shape, constant=constant, quantization=q)
    if index == 1:
        axis = PRODUCTS[schema.name] % len(shape)
        scales = tuple(W_SCALE * (1.0 + 29 * i % 17 / 17.0) for i in range(shape[axis]))
        q = Quantization(scales, (0,) * len(scales), axis)
        return TensorSpec("int8", shape, constant=constant, quantization=q)
    return TensorSpec("int32", shape, constant=constant)


def output_attributes(depth: int, dtype: str) -> dict[str, Any]:
    """Return the result's parameters, for sums of `depth` products, so that most don't saturate."""
    typical = 60.0 * 60.0 * math.sqrt(depth)
    low = RANGES[dtype][0]
    return {"scale": X_SCALE * W_SCALE * typical / 40.0, "zero_point": low, "dtype": dtype}
