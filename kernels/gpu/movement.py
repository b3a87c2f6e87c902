"""Operators that move elements: views of one tensor written to views of another."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from dispatch.answer import No, NoCode
from dispatch.dtypes import SHORT_NAMES, numpy_dtype
from dispatch.interpolation import coordinates, nearest, taps
from dispatch.problem import Problem
from dispatch.tensor import LAYOUT_BLOCKS, NCHW, NHWC, TensorSpec
from kernels.gpu.elementwise import raw
from kernels.gpu.mapping import Operand, each_element, map_launch, too_many_axes
from kernels.gpu.plan import Launch, Plan, table
from kernels.gpu.strided import View, broadcast_view, dense, dense_strides
from kernels.gpu.traits import Traits
from kernels.gpu.transposition import transposition_launch

__all__ = [
    "plan_channel_shuffle",
    "plan_concat",
    "plan_copy",
    "plan_expand",
    "plan_lookup",
    "plan_pad",
    "plan_reorder",
    "plan_resize",
    "plan_slice",
    "plan_split",
    "plan_transpose",
]

RANK = 8
"""Axes of the kernels that walk each axis by itself."""
PAD_MODES = {"reflect": "1", "edge": "2", "wrap": "3"}


def _tensors(problem: Problem) -> tuple[TensorSpec, TensorSpec]:
    x, y = problem.inputs[0], problem.outputs[0]
    assert x is not None
    return x, y


def _move(
    extents: tuple[int, ...],
    source: tuple[int, View],
    target: tuple[int, View],
    dtype: str,
    traits: Traits,
) -> Launch:
    moved = raw(dtype)
    (x, x_view), (y, y_view) = source, target
    given, result = Operand(x, moved, x_view), Operand(y, moved, y_view)
    by_tiles = transposition_launch(extents, given, result, traits)
    return by_tiles or map_launch("a", extents, [given], result, traits)


def _one_move(problem: Problem, view: View, traits: Traits) -> Plan | No:
    """Fill the dense output from a view of the input, which has the output's axes."""
    x, y = _tensors(problem)
    refused = too_many_axes(y.shape, (view, dense(y.shape)))
    if refused is not None:
        return refused
    if y.size == 0:
        return Plan(())
    return Plan((_move(y.shape, (0, view), (1, dense(y.shape)), x.dtype, traits),))


def plan_copy(problem: Problem, traits: Traits) -> Plan | No:
    """Plan what gives the same elements in the same order."""
    x, y = _tensors(problem)
    if y.size == 0:
        return Plan(())
    view = View((1,))
    return Plan((_move((x.size,), (0, view), (1, view), x.dtype, traits),))


def plan_transpose(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a permutation of the axes."""
    x, _ = _tensors(problem)
    permutation: Any = problem.attribute("permutation")
    strides = dense_strides(x.shape)
    return _one_move(problem, View(tuple(strides[axis] for axis in permutation)), traits)


def plan_channel_shuffle(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the exchange of groups and the channels of one."""
    x, y = _tensors(problem)
    groups: Any = problem.attribute("groups")
    if y.size == 0:
        return Plan(())
    channels, pixels = x.shape[1], math.prod(x.shape[2:])
    each = channels // groups
    extents = (x.shape[0], each, groups, pixels)
    source = View((channels * pixels, pixels, each * pixels, 1))
    return Plan((_move(extents, (0, source), (1, dense(extents)), x.dtype, traits),))


def plan_expand(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a broadcast."""
    x, y = _tensors(problem)
    return _one_move(problem, broadcast_view(x.shape, y.shape), traits)


def plan_slice(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a part, with steps of either sign."""
    x, _ = _tensors(problem)
    starts: Any = problem.attribute("starts")
    steps: Any = problem.attribute("steps")
    strides = dense_strides(x.shape)
    offset = sum(start * stride for start, stride in zip(starts, strides, strict=True))
    view = View(tuple(s * step for s, step in zip(strides, steps, strict=True)), offset)
    return _one_move(problem, view, traits)


def plan_split(problem: Problem, traits: Traits) -> Plan | No:
    """Plan one move for each part."""
    x, _ = _tensors(problem)
    axis: Any = problem.attribute("axis")
    strides, launches, start = dense_strides(x.shape), [], 0
    for index, y in enumerate(problem.outputs):
        source = View(strides, start * strides[axis])
        start += y.shape[axis]
        if y.size:
            launches.append(
                _move(y.shape, (0, source), (1 + index, dense(y.shape)), x.dtype, traits)
            )
    return Plan(tuple(launches))


def plan_concat(problem: Problem, traits: Traits) -> Plan | No:
    """Plan one move for each input."""
    y = problem.outputs[0]
    axis: Any = problem.attribute("axis")
    strides, launches, start = dense_strides(y.shape), [], 0
    for index, x in enumerate(problem.inputs):
        assert x is not None
        target = View(strides, start * strides[axis])
        start += x.shape[axis]
        if x.size:
            output = len(problem.inputs), target
            launches.append(_move(x.shape, (index, dense(x.shape)), output, x.dtype, traits))
    return Plan(tuple(launches))


def plan_pad(problem: Problem, traits: Traits) -> Plan | No:
    """Plan elements around a tensor: a value and a copy, or each from where it repeats."""
    x, y = _tensors(problem)
    if y.size == 0:
        return Plan(())
    pads: Any = problem.attribute("pads")
    mode = str(problem.attribute("mode"))
    before = pads[: x.rank]
    if mode == "constant":
        strides = dense_strides(y.shape)
        offset = sum(n * stride for n, stride in zip(before, strides, strict=True))
        target = View(strides, offset)
        refused = too_many_axes(x.shape, (dense(x.shape), target))
        if refused is not None:
            return refused
        value = np.asarray(problem.attribute("value")).astype(numpy_dtype(y.dtype))
        moved = raw(y.dtype)
        bits = int(value.reshape(1).view(moved)[0])
        fill = map_launch(
            "alpha", (y.size,), [], Operand(1, moved, View((1,))), traits, numbers=(bits, 0)
        )
        copy = _move(x.shape, (0, dense(x.shape)), (1, target), x.dtype, traits)
        return Plan((fill, copy) if x.size else (fill,))
    if x.rank > RANK:
        return No(NoCode.RANK, "x.rank", f"<= {RANK}", str(x.rank))
    missing = RANK - x.rank
    launch = each_element(
        "pad",
        (0, 1),
        raw(x.dtype),
        y.size,
        traits,
        {"MODE": PAD_MODES[mode], "RANK": str(RANK)},
        (1,) * missing + x.shape,
        (0,) * missing + dense_strides(x.shape),
        (0,) * missing + before,
        (1,) * missing + y.shape,
    )
    return Plan((launch,))


def plan_lookup(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a table's entry for each element."""
    x, y = _tensors(problem)
    if y.size == 0:
        return Plan(())
    least = 0 if x.dtype == "uint8" else -128
    defines = {"TYPE_B": SHORT_NAMES[x.dtype]}
    launch = each_element(
        "lookup", (0, 1, 2), raw(y.dtype), y.size, traits, defines, least, source="gather"
    )
    return Plan((launch,))


def plan_reorder(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the way from one layout and dtype to another."""
    x, y = _tensors(problem)
    if y.size == 0:
        return Plan(())
    same = x.dtype == y.dtype
    x_dtype, y_dtype = (raw(x.dtype), raw(y.dtype)) if same else (x.dtype, y.dtype)
    if x.layout == y.layout:
        view, count = View((1,)), x.nbytes // x.itemsize
        launch = map_launch(
            "a", (count,), [Operand(0, x_dtype, view)], Operand(1, y_dtype, view), traits
        )
        return Plan((launch,))
    batch, channels, height, width = x.shape
    if _block(x) + _block(y) == 1:  # one of them nchw, the other nhwc
        extents, pixels = (batch, channels, height * width), height * width
        views = {
            NCHW: View((channels * pixels, pixels, 1)),
            NHWC: View((channels * pixels, 1, channels)),
        }
        given, result = Operand(0, x_dtype, views[x.layout]), Operand(1, y_dtype, views[y.layout])
        by_tiles = transposition_launch(extents, given, result, traits)
        if by_tiles is not None:
            return Plan((by_tiles,))
    defines = {"TYPE_A": SHORT_NAMES[x_dtype], "TYPE_Y": SHORT_NAMES[y_dtype]}
    launch = each_element(
        "reorder",
        (0, 1),
        x_dtype,
        y.nbytes // y.itemsize,
        traits,
        defines,
        channels,
        height * width,
        _block(x),
        _block(y),
    )
    return Plan((launch,))


def _block(tensor: TensorSpec) -> int:
    return 0 if tensor.layout == NHWC else LAYOUT_BLOCKS[tensor.layout]


def plan_resize(problem: Problem, traits: Traits) -> Plan | No:
    """Plan interpolation by tables of places and weights."""
    x, y = _tensors(problem)
    if y.size == 0:
        return Plan(())
    if x.rank > RANK:
        return No(NoCode.RANK, "x.rank", f"<= {RANK}", str(x.rank))
    attributes: dict[str, Any] = dict(problem.attributes)
    weighted = attributes["mode"] != "nearest"
    axes = [
        _axis_taps(extent, size, scale, attributes)
        for extent, size, scale in zip(
            x.shape, attributes["sizes"], attributes["scales"], strict=True
        )
    ]
    missing = RANK - x.rank
    first = (0, *itertools.accumulate(places.size for places, _ in axes))[: x.rank]
    counts = tuple(places.shape[1] for places, _ in axes)
    places = np.concatenate([p.reshape(-1) for p, _ in axes]).astype(np.int32)
    wide = "float64" if x.dtype == "float64" else "float32"
    weights = np.concatenate([w.reshape(-1) for _, w in axes]).astype(wide)
    # An axis that is filled up walks the first entry, of one output, over again.
    if missing:
        places, weights = np.append(places, 0).astype(np.int32), np.append(weights, 1).astype(wide)
    filled = len(places) - 1
    launch = each_element(
        "resize",
        (0, table(0), table(1), 1) if weighted else (0, table(0), 1),
        x.dtype if weighted else raw(x.dtype),
        y.size,
        traits,
        {
            "RANK": str(RANK),
            "TYPE_A": SHORT_NAMES[x.dtype if weighted else raw(x.dtype)],
            "WEIGHTED": str(int(weighted)),
        },
        math.prod(counts),
        (1,) * missing + y.shape,
        (0,) * missing + dense_strides(x.shape),
        (1,) * missing + counts,
        (filled,) * missing + first,
    )
    return Plan((launch,), tables=(places, weights) if weighted else (places,))


def _axis_taps(extent: int, size: int, scale: float, attributes: Any) -> tuple[Any, Any]:
    """Return places and weights, of shape (outputs, taps)."""
    if size == extent and scale == 1.0:
        return np.arange(size).reshape(size, 1), np.ones((size, 1))
    at = coordinates(extent, size, scale, attributes["coordinate_mode"])
    if attributes["mode"] == "nearest":
        return nearest(at, extent, attributes["nearest_mode"]).reshape(size, 1), np.ones((size, 1))
    found = taps(
        at,
        extent,
        attributes["mode"],
        attributes["cubic_coefficient"],
        bool(attributes["exclude_outside"]),
    )
    indices, weights = zip(*found, strict=True)
    return np.stack(indices, axis=1), np.stack(weights, axis=1)
