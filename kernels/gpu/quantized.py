"""Quantised operators, in the arithmetic of decision 12."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dispatch.answer import No
from dispatch.dtypes import SHORT_NAMES
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.quantization import apply_steps, multipliers, ratio
from dispatch.tensor import Quantization, TensorSpec
from kernels.gpu.mapping import RANKS, too_many_axes
from kernels.gpu.plan import Launch, Plan, numeric_defines, parameters, table
from kernels.gpu.product import (
    Centred,
    plan_centred_conv2d,
    plan_centred_conv_transpose2d,
    plan_centred_matmul,
    requantized,
)
from kernels.gpu.reduction import plan_quantized_pool2d
from kernels.gpu.strided import broadcast_view, collapse
from kernels.gpu.tiling import Tiling
from kernels.gpu.traits import Traits

__all__ = [
    "plan_dequantize",
    "plan_dynamic_quantize",
    "plan_qavg_pool2d",
    "plan_qbinary",
    "plan_qconv2d",
    "plan_qconv_transpose2d",
    "plan_qmatmul",
    "plan_qsoftmax",
    "plan_quantize",
]

RANGES = {"uint8": (0, 255), "int8": (-128, 127)}


def bounds(problem: Problem) -> tuple[int, int]:
    """Return the smallest and largest stored value that the output may have."""
    y = problem.outputs[0]
    ends = np.asarray(RANGES[y.dtype])
    low, high = apply_steps(ends, problem.epilogue, y)
    return int(low), int(high)


def quantization(tensor: TensorSpec | None) -> Quantization:
    """Return a tensor's parameters, which a consistent problem has."""
    assert tensor is not None and tensor.quantization is not None
    return tensor.quantization


def _requantized(problem: Problem, channels: int) -> Centred:
    """Return what turns exact sums of products into stored values."""
    first, second, y = (
        quantization(t) for t in (problem.inputs[0], problem.inputs[1], problem.outputs[0])
    )
    shape = (max(channels, 1),)
    scales = np.broadcast_to(multipliers(first, second, y), shape)
    zeros = np.broadcast_to(np.asarray(second.zero_points, np.int32), shape)
    return requantized(
        (first.zero_points[0], y.zero_points[0]),
        bounds(problem),
        np.ascontiguousarray(zeros),
        np.ascontiguousarray(scales),
    )


def plan_qconv2d(problem: Problem, traits: Traits, tiling: Tiling) -> Plan | No:
    """Plan a quantised convolution as products of matrices of integers."""
    channels = problem.outputs[0].shape[1]
    return plan_centred_conv2d(problem, traits, tiling, _requantized(problem, channels))


def plan_qmatmul(problem: Problem, traits: Traits, tiling: Tiling) -> Plan | No:
    """Plan quantised products of matrices."""
    channels = problem.outputs[0].shape[-1]
    return plan_centred_matmul(problem, traits, tiling, _requantized(problem, channels))


def plan_qconv_transpose2d(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a quantised transposed convolution; the scales are those of every group's channels."""
    w = problem.inputs[1]
    assert w is not None
    return plan_centred_conv_transpose2d(problem, traits, _requantized(problem, w.shape[1]))


def plan_qsoftmax(problem: Problem, traits: Traits) -> Plan | No:
    """Plan softmax of stored values, in float64 where the device has it, rounded once."""
    x, y = problem.inputs[0], problem.outputs[0]
    assert x is not None
    if x.size == 0:
        return Plan(())
    axis: Any = problem.attribute("axis")
    length, inner = x.shape[axis], math.prod(x.shape[axis + 1 :])
    q_x, q_y = quantization(x), quantization(y)
    computed, items = "float64" if traits.has_f64 else "float32", traits.row_items
    every = {
        **numeric_defines(computed),
        **traits.row_defines(),
        "TYPE_A": SHORT_NAMES[x.dtype],
        "TYPE_Y": SHORT_NAMES[y.dtype],
    }
    ends = (q_y.zero_points[0], *RANGES[y.dtype])
    numbers = (q_x.scales[0], q_y.scales[0])
    launch = Launch(
        "qsoftmax",
        "qsoftmax",
        tuple(sorted(every.items())),
        (0, 1),
        parameters(computed, numbers, length, inner, *ends),
        (x.size // length,),
        (items,),
    )
    return Plan((launch,))


def plan_dynamic_quantize(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the search for the range by one group, then the stored values."""
    x = problem.inputs[0]
    assert x is not None
    items = traits.row_items
    every = {**numeric_defines(x.dtype), **traits.row_defines()}
    defines = tuple(sorted(every.items()))
    data = parameters("int32", (), x.size)
    search = Launch("dynamic", "find_range", defines, (0, 2, 3), data, (1,), (items,))
    if x.size == 0:
        return Plan((search,))
    groups = (-(-x.size // items),)
    store = Launch("dynamic", "quantize", defines, (0, 1, 2, 3), data, groups, (items,))
    return Plan((search, store))


def plan_qavg_pool2d(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the averages of a sliding window, or of whole images."""
    x, y = quantization(problem.inputs[0]), quantization(problem.outputs[0])
    given = (x.zero_points[0], y.zero_points[0], *bounds(problem))
    return plan_quantized_pool2d(problem, traits, float(ratio(x, y)), given)


def plan_quantize(problem: Problem, traits: Traits) -> Plan | No:
    """Plan stored values of real ones."""
    y = problem.outputs[0]
    return _by_channel(problem, "quantize", y, RANGES[y.dtype], traits)


def plan_dequantize(problem: Problem, traits: Traits) -> Plan | No:
    """Plan real values of stored ones."""
    x = problem.inputs[0]
    assert x is not None
    return _by_channel(problem, "dequantize", x, (0, 0), traits)


def _by_channel(
    problem: Problem,
    function: str,
    quantized: TensorSpec,
    ends: tuple[int, int],
    traits: Traits,
) -> Plan:
    if quantized.size == 0:
        return Plan(())
    q = quantization(quantized)
    inner = 1 if q.axis == -1 else math.prod(quantized.shape[q.axis + 1 :])
    scales, zeros = np.asarray(q.scales, np.float32), np.asarray(q.zero_points, np.int32)
    data = parameters("int32", (), quantized.size, len(q.scales), inner, ends)
    return _launch(problem, function, (0, table(0), table(1), 1), data, {}, (scales, zeros), traits)


def plan_qbinary(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the sum or the product of two tensors that broadcast."""
    a, b = problem.inputs[:2]
    y = problem.outputs[0]
    assert a is not None and b is not None
    views = [broadcast_view(t.shape, y.shape) for t in (a, b)]
    refused = too_many_axes(y.shape, views)
    if refused is not None or y.size == 0:
        return refused or Plan(())
    q_a, q_b, q_y = quantization(a), quantization(b), quantization(y)
    multiplies = problem.operator == "qmul"
    if multiplies:
        ratios = (float(multipliers(q_a, q_b, q_y).reshape(-1)[0]), 0.0)
    else:
        ratios = (float(ratio(q_a, q_y)), float(ratio(q_b, q_y)))
    rank = RANKS[-1]
    extents, joined = collapse(y.shape, views)
    missing = rank - len(extents)
    data = parameters(
        "float32",
        ratios,
        y.size,
        q_a.zero_points[0],
        q_b.zero_points[0],
        q_y.zero_points[0],
        bounds(problem),
        (1,) * missing + extents,
        *((0,) * missing + view.strides for view in joined),
    )
    defines = {"MULTIPLIES": str(int(multiplies)), "TYPE_B": SHORT_NAMES[b.dtype]}
    return _launch(problem, "binary", (0, 1, 2), data, defines, (), traits)


def _launch(
    problem: Problem,
    function: str,
    arguments: tuple[int, ...],
    data: bytes,
    defines: dict[str, str],
    tables: tuple[Array, ...],
    traits: Traits,
) -> Plan:
    y, items = problem.outputs[0], traits.map_items
    every: dict[str, Any] = {
        **numeric_defines("int32"),
        "GROUP_ITEMS": str(items),
        "MULTIPLIES": "0",
        "RANK": str(RANKS[-1]),
        "TYPE_A": SHORT_NAMES[problem.dtype],
        "TYPE_B": SHORT_NAMES[problem.dtype],
        "TYPE_Y": SHORT_NAMES[y.dtype],
        **defines,
    }
    launch = Launch(
        "quantized",
        function,
        tuple(sorted(every.items())),
        arguments,
        data,
        (-(-y.size // items),),
        (items,),
    )
    return Plan((launch,), tables=tables)
