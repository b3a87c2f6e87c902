"""Products: matrices, convolutions as products of matrices, and convolutions pixel by pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatch.answer import No, NoCode
from dispatch.dtypes import SHORT_NAMES
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.tensor import TensorSpec
from kernels.gpu.epilogue import NONE, epilogue_of
from kernels.gpu.plan import Launch, Plan, numeric_defines, parameters, table
from kernels.gpu.strided import View, broadcast_view, collapse
from kernels.gpu.tiling import Sizes, Tiling
from kernels.gpu.traits import Traits

__all__ = [
    "Centred",
    "plan_centred_conv2d",
    "plan_centred_conv_transpose2d",
    "plan_centred_matmul",
    "plan_conv2d",
    "plan_conv_integer",
    "plan_conv_transpose2d",
    "plan_depthwise",
    "plan_linear",
    "plan_matmul",
    "plan_matmul_integer",
    "requantized",
]

RANK = 4
"""Axes of batches that don't go together."""


@dataclass(frozen=True, slots=True)
class Centred:
    """What operands of 8 bits are less, and what becomes of their exact sums.

    Parameters
    ----------
    defines, arguments, tables, integers
        What src/products.h is given for that: macros, buffers behind the operands, tables, and
        integers of its struct.
    bias
        The third input is one.
    """

    defines: Mapping[str, str]
    arguments: tuple[int, ...]
    tables: tuple[Array, ...] = ()
    integers: tuple[int, ...] = ()
    bias: bool = False


def requantized(
    points: tuple[int, int], bounds: tuple[int, int], zeros: Array, multipliers: Array
) -> Centred:
    """Return what turns quantised products into stored values.

    Parameters
    ----------
    points
        The zero points of the operand with one scale, and of the result.
    bounds
        The result's smallest and largest stored value.
    zeros, multipliers
        For each channel: the other operand's zero point, int32, and the sums' multiplier, float32.
    """
    arguments = (table(0), table(1))
    return Centred({"CENTRED": "1"}, arguments, (zeros, multipliers), (*points, *bounds), True)


def centred_by_tensors(problem: Problem) -> Centred:
    """Return what subtracts the zero points that are a problem's third and fourth input."""
    point, points = problem.inputs[2:4]
    several = points is not None and points.size > 1
    defines = {
        "CENTRED": "2",
        "HAS_POINT": str(int(point is not None)),
        "HAS_POINTS": str(int(points is not None)),
        "POINTS_STEP": str(int(several)),
    }
    given = tuple(i for i, t in ((2, point), (3, points)) if t is not None)
    return Centred(defines, given)


def plan_matmul(problem: Problem, traits: Traits, tiling: Tiling) -> Plan | No:
    """Plan products of matrices, whose batches broadcast."""
    return _matmul(problem, traits, tiling, dict(problem.attributes), None)


def plan_centred_matmul(
    problem: Problem, traits: Traits, tiling: Tiling, centred: Centred
) -> Plan | No:
    """Plan the same of matrices of 8 bits."""
    attributes = {"transpose_a": 0, "transpose_b": 0, "alpha": 1}
    return _matmul(problem, traits, tiling, attributes, centred)


def plan_matmul_integer(problem: Problem, traits: Traits, tiling: Tiling) -> Plan | No:
    """Plan exact sums of products of integers."""
    return plan_centred_matmul(problem, traits, tiling, centred_by_tensors(problem))


def _matmul(
    problem: Problem,
    traits: Traits,
    tiling: Tiling,
    attributes: dict[str, Any],
    centred: Centred | None,
) -> Plan | No:
    a, b = problem.inputs[:2]
    assert a is not None and b is not None
    transpose_a, transpose_b = attributes["transpose_a"], attributes["transpose_b"]
    alpha = attributes["alpha"]
    a_strides = (1, a.shape[-1]) if transpose_a else (a.shape[-1], 1)
    b_strides = (1, b.shape[-1]) if transpose_b else (b.shape[-1], 1)
    y = problem.outputs[0]
    batch = y.shape[:-2]
    views = [
        View(
            tuple(s * math.prod(t.shape[-2:]) for s in broadcast_view(t.shape[:-2], batch).strides)
        )
        for t in (a, b)
    ]
    inner = a.shape[-2] if transpose_a else a.shape[-1]
    sizes = Sizes(y.shape[-2], y.shape[-1], inner, math.prod(batch), bool(transpose_b))
    given = (batch, views, alpha, traits, tiling, centred)
    return _matrices(problem, sizes, a_strides, b_strides, *given)


def plan_linear(problem: Problem, traits: Traits, tiling: Tiling) -> Plan | No:
    """Plan the product with a matrix that lies transposed."""
    x, w = problem.inputs[:2]
    assert x is not None and w is not None
    features, inner = w.shape
    sizes = Sizes(math.prod(x.shape[:-1]), features, inner, 1, strided=True)
    views = [View(()), View(())]
    return _matrices(problem, sizes, (inner, 1), (1, inner), (), views, 1, traits, tiling, None)


def _matrices(
    problem: Problem,
    sizes: Sizes,
    a_strides: tuple[int, int],
    b_strides: tuple[int, int],
    batch: tuple[int, ...],
    views: list[View],
    alpha: float,
    traits: Traits,
    tiling: Tiling,
    centred: Centred | None,
) -> Plan | No:
    extents, views = collapse(batch, views)[0], list(collapse(batch, views)[1])
    if len(extents) > RANK:
        return No(NoCode.RANK, "batch axes that don't go together", f"<= {RANK}")
    missing = RANK - len(extents)
    return _gemm(
        problem,
        sizes,
        alpha,
        (
            *a_strides,
            *b_strides,
            *(1,) * missing,
            *extents,
            *(s for view in views for s in (*(0,) * missing, *view.strides)),
        ),
        {
            "CONVOLUTION": "0",
            "RANK": str(RANK),
            "WINDOW": "0",
        },
        (0, 1),
        traits,
        tiling,
        centred,
    )


def plan_conv2d(problem: Problem, traits: Traits, tiling: Tiling) -> Plan | No:
    """Plan a convolution as products of the filters with the image seen through the window."""
    return _conv2d(problem, traits, tiling, None)


def plan_centred_conv2d(
    problem: Problem, traits: Traits, tiling: Tiling, centred: Centred
) -> Plan | No:
    """Plan the same of images and filters of 8 bits."""
    return _conv2d(problem, traits, tiling, centred)


def plan_conv_integer(problem: Problem, traits: Traits, tiling: Tiling) -> Plan | No:
    """Plan exact sums of products of integers."""
    return plan_centred_conv2d(problem, traits, tiling, centred_by_tensors(problem))


def _conv2d(problem: Problem, traits: Traits, tiling: Tiling, centred: Centred | None) -> Plan | No:
    x, w = problem.inputs[:2]
    assert x is not None and w is not None
    attributes: dict[str, Any] = dict(problem.attributes)
    groups = attributes["groups"]
    y = problem.outputs[0]
    outputs, pixels, inner = w.shape[0] // groups, y.shape[2] * y.shape[3], math.prod(w.shape[1:])
    window: tuple[int, ...]
    if w.shape[2:] == (1, 1) == attributes["strides"] and not any(attributes["pads"]):
        defines = {"CONVOLUTION": "1", "RANK": str(RANK), "WINDOW": "0"}
        extents = (*(1,) * (RANK - 2), x.shape[0], groups)
        filters = (*(0,) * (RANK - 1), outputs * inner)
        images = (*(0,) * (RANK - 2), groups * inner * pixels, inner * pixels)
        window = (inner, 1, pixels, 1, *extents, *filters, *images)
    else:
        defines = {"CONVOLUTION": "1", "WINDOW": "1"}
        window = (
            groups,
            w.shape[1],
            *x.shape[2:],
            y.shape[3],
            *w.shape[2:],
            *attributes["strides"],
            *attributes["pads"][:2],
            *attributes["dilations"],
        )
    sizes = Sizes(outputs, pixels, inner, x.shape[0] * groups)
    return _gemm(problem, sizes, 1.0, window, defines, (1, 0), traits, tiling, centred)


def _gemm(
    problem: Problem,
    sizes: Sizes,
    alpha: float,
    integers: tuple[int, ...],
    defines: dict[str, str],
    operands: tuple[int, int],
    traits: Traits,
    tiling: Tiling,
    centred: Centred | None,
) -> Plan | No:
    epilogue = epilogue_of(problem) if centred is None else NONE
    if isinstance(epilogue, No):
        return epilogue
    y = problem.outputs[0]
    if y.size == 0:
        return Plan(())
    eight = centred or Centred({"CENTRED": "0"}, ())
    bias = problem.inputs[2] if centred is None or centred.bias else None
    types = [problem.inputs[index] for index in operands]
    computed = problem.dtype if centred is None else "int32"
    refused = tiling.refusal(computed, traits)
    if refused is not None:
        return refused
    tile_m, tile_n = tiling.tile(computed, traits)
    tiles_m, tiles_n = -(-sizes.m // tile_m), -(-sizes.n // tile_n)
    every = {
        **numeric_defines(computed),
        **epilogue.defines,
        **defines,
        "DOT": str(int(centred is not None and traits.has_dot)),
        "HAS_BIAS": str(int(bias is not None)),
        **eight.defines,
        "TYPE_Y": SHORT_NAMES[y.dtype],
        **{f"TYPE_{n}": SHORT_NAMES[t.dtype] for n, t in zip("AB", types, strict=True) if t},
        **tiling.defines(computed, traits),
    }
    numbers = (*epilogue.numbers, alpha)
    extents = (sizes.m, sizes.n, sizes.k, tiles_m, tiles_n)
    launch = Launch(
        tiling.source,
        "gemm",
        tuple(sorted(every.items())),
        (*operands, *eight.arguments, *_bias(bias), *epilogue.arguments, len(problem.inputs)),
        parameters(computed, numbers, *extents, eight.integers, *integers),
        (tiles_m * tiles_n * sizes.batches,),
        (tiling.items,),
    )
    slowdown = tiling.slowdown(computed, sizes, traits)
    return Plan((launch,), tables=eight.tables, slowdown=slowdown)


def _bias(bias: TensorSpec | None) -> tuple[int, ...]:
    return () if bias is None else (2,)


def plan_depthwise(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a convolution of one channel with each filter, pixel by pixel."""
    w = problem.inputs[1]
    assert w is not None
    if w.shape[1] != 1:
        return No(NoCode.SHAPE, "w.shape[1]", "1", str(w.shape[1]))
    return _pixels(problem, "direct", w.shape[0], 1, traits)


def plan_conv_transpose2d(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a transposed convolution: each pixel adds up what reaches it."""
    x, w = problem.inputs[:2]
    assert x is not None and w is not None
    groups: Any = problem.attribute("groups")
    return _pixels(problem, "transposed", w.shape[1] * groups, x.shape[1] // groups, traits)


def plan_centred_conv_transpose2d(problem: Problem, traits: Traits, centred: Centred) -> Plan | No:
    """Plan the same of images and filters of 8 bits; channels are those of a group."""
    x, w = problem.inputs[:2]
    assert x is not None and w is not None
    groups: Any = problem.attribute("groups")
    outputs, channels = w.shape[1] * groups, x.shape[1] // groups
    return _pixels(problem, "transposed", outputs, channels, traits, centred)


def _pixels(
    problem: Problem,
    function: str,
    outputs: int,
    channels: int,
    traits: Traits,
    centred: Centred | None = None,
) -> Plan | No:
    epilogue = epilogue_of(problem) if centred is None else NONE
    if isinstance(epilogue, No):
        return epilogue
    x, w, bias = problem.inputs[:3]
    assert x is not None and w is not None
    y = problem.outputs[0]
    if y.size == 0:
        return Plan(())
    attributes: dict[str, Any] = dict(problem.attributes)
    groups, items = attributes["groups"], traits.map_items
    eight = centred or Centred({"CENTRED": "0"}, ())
    computed = problem.dtype if centred is None else "int32"
    every = {
        **numeric_defines(computed),
        **epilogue.defines,
        **eight.defines,
        "GROUP_ITEMS": str(items),
        "TYPE_A": SHORT_NAMES[x.dtype],
        "TYPE_B": SHORT_NAMES[w.dtype],
        "TYPE_Y": SHORT_NAMES[y.dtype],
        "HAS_BIAS": str(int(bias is not None)),
    }
    data = parameters(
        computed,
        epilogue.numbers,
        y.size,
        groups,
        channels,
        outputs // groups,
        x.shape[2:],
        y.shape[2:],
        w.shape[2:],
        attributes["strides"],
        attributes["pads"][:2],
        attributes["dilations"],
        eight.integers,
    )
    launch = Launch(
        "convolution",
        function,
        tuple(sorted(every.items())),
        (0, 1, *eight.arguments, *_bias(bias), *epilogue.arguments, len(problem.inputs)),
        data,
        (-(-y.size // items),),
        (items,),
    )
    return Plan((launch,), tables=eight.tables)
