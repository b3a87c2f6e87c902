"""Folds what scales and shifts an operator's channels into its weights and bias."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dispatch.operator import Array
from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_constant
from runtime.specialise import Specs, problem_of

__all__ = ["Affine", "affine_of_batch_norm", "fold_scales", "per_channel"]

_CHANNELS: Mapping[str, int] = {"conv2d": 1, "conv_transpose2d": 1, "linear": -1, "matmul": -1}
"""Operators with weights, and which axis of their results is the weights' own."""


class Affine(NamedTuple):
    """``scale * y + shift``, one of each for every channel or one for all."""

    scale: Array
    shift: Array


class _Found(NamedTuple):
    """What a node scales and shifts.

    Parameters
    ----------
    base
        The operator with weights.
    moves
        What only moves its result's elements on their way to the node.
    affine
        What the node does to each channel.
    """

    base: Node
    moves: tuple[Node, ...]
    affine: Affine


def fold_scales(graph: Graph, specs: Specs) -> Graph:
    """Fold batch_norm, and mul, div, add and sub with constants, into the operator before.

    That operator is a convolution, a linear one or a product by one matrix, with constant weights;
    its result goes nowhere else, and may be transposed and, where all shapes are numbers, reshaped
    on its way.
    """
    index = Index(graph)
    constants = dict(graph.constants)
    index.constants = constants
    moving = _moving(graph)
    nodes: dict[str, tuple[Node, ...]] = {node.outputs[0]: (node,) for node in graph.nodes}
    for node in graph.nodes:
        found = _found(node, index, specs, moving)
        folded = None if found is None else _folded(found.base, found.affine, constants)
        if found is None or folded is None:
            continue
        for old in (found.base, *found.moves):
            nodes.pop(old.outputs[0], None)
        *chain, last = folded, *found.moves
        last = replace(last, outputs=node.outputs, epilogue=node.epilogue)
        nodes[node.outputs[0]] = (*chain, last)
        index.maker.update((each.outputs[0], each) for each in (*chain, last))
    made = tuple(node for chain in nodes.values() for node in chain)
    return replace(graph, nodes=made, constants=constants)


def _moving(graph: Graph) -> tuple[str, ...]:
    """Return the operators whose effect on axes is known, whatever the inputs' extents."""
    fixed = all(isinstance(extent, int) for i in graph.inputs for extent in i.shape)
    return ("transpose", "reshape") if fixed else ("transpose",)


def _found(node: Node, index: Index, specs: Specs, moving: Sequence[str]) -> _Found | None:
    """Return the operator before `node` and what `node` does to its result's channels."""
    positions = range(2) if node.operator in ("add", "mul") else range(1)
    for position in positions if node.inputs else ():
        value = node.inputs[position]
        moves: list[Node] = []
        while (move := index.made_by(value, *moving)) is not None and index.used_once(str(value)):
            moves.insert(0, move)
            value = move.inputs[0]
        base = index.made_by(value, *_CHANNELS)
        if value is None or base is None or not index.used_once(value):
            continue
        axis: int | None = _CHANNELS[base.operator] % specs[value].rank
        channels = specs[value].shape[axis or 0]
        for move in moves:
            axis = None if axis is None else _moved(axis, move, specs)
        if (moves and node.epilogue) or "float" not in specs[value].dtype:
            continue
        rank = specs[str(node.inputs[position])].rank
        affine = (
            (affine_of_batch_norm(node, index) if axis == 1 else None)
            if node.operator == "batch_norm"
            else _of_arithmetic(node, 1 - position, index, rank, axis, channels)
        )
        if affine is not None:
            return _Found(base, tuple(moves), affine)
    return None


def _moved(axis: int, move: Node, specs: Specs) -> int | None:
    """Return which axis of a move's result is `axis` of its input; None if none is."""
    x, y = specs[str(move.inputs[0])].shape, specs[move.outputs[0]].shape
    if move.operator == "transpose":
        permutation: Any = problem_of(move, specs).attribute("permutation")
        return int(permutation.index(axis))
    before = math.prod(x[:axis])
    for at, extent in enumerate(y):
        if extent == x[axis] and math.prod(y[:at]) == before:
            return at
    return None


def affine_of_batch_norm(node: Node, index: Index) -> Affine | None:
    """Return what a batch normalisation does to each channel, None if that isn't constant."""
    parameters = [index.constant(name) for name in node.inputs[1:5]]
    if any(p is None for p in parameters) or len(node.inputs) != 5:
        return None
    scale, bias, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))  # type: ignore[arg-type]
    return Affine(factor, bias - mean * factor)


def _of_arithmetic(
    node: Node, position: int, index: Index, rank: int, axis: int | None, channels: int
) -> Affine | None:
    if node.operator not in ("add", "sub", "mul", "div") or node.epilogue:
        return None
    constant = index.constant(node.inputs[position])
    if constant is None or (axis is None and constant.size != 1):
        return None
    values = per_channel(constant, rank, axis or 0, channels)
    if values is None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.operator == "div":
        return Affine(1.0 / values, zero) if np.all(values != 0) else None
    return {
        "add": Affine(one, values),
        "sub": Affine(one, -values),
        "mul": Affine(values, zero),
    }[node.operator]


def per_channel(constant: Array, rank: int, axis: int, channels: int) -> Array | None:
    """Return a constant that broadcasts along every axis but one: as one or `channels` float64.

    None for any other, and for one that would change the result's shape.
    """
    if constant.ndim > rank:
        return None
    shape = (1,) * (rank - constant.ndim) + constant.shape
    wanted = [1] * rank
    if constant.size != 1:
        wanted[axis] = channels
    if shape != tuple(wanted):
        return None
    return constant.astype(np.float64).reshape(-1)


def _folded(base: Node, affine: Affine, constants: dict[str, Array]) -> Node | None:
    """Return the operator with weights and bias that do the scaling and shifting too."""
    x, w, bias = base.inputs[:3]
    weights = constants.get(str(w))
    old = None if bias is None else constants.get(bias)
    if weights is None or (bias is not None and old is None):
        return None
    if base.operator == "matmul" and weights.ndim != 2:
        return None
    groups = int(base.attributes.get("groups", 1))  # type: ignore[arg-type]
    axis = _outputs_axis(base)
    channels = weights.shape[axis] * (groups if base.operator == "conv_transpose2d" else 1)
    scale = np.broadcast_to(affine.scale, (channels,))
    shift = np.broadcast_to(affine.shift, (channels,))
    if not np.all(scale == 1.0):
        scaled = _scaled(weights, scale, axis, groups)
        w = fresh_constant(constants, f"{w}.scaled", scaled)
    moved = shift if old is None else old.astype(np.float64) * scale + shift
    if bias is not None or np.any(moved != 0):
        bias = fresh_constant(constants, f"{w}.bias", moved.astype(weights.dtype))
    return replace(base, inputs=(x, w, bias))


def _outputs_axis(base: Node) -> int:
    """Return the axis of an operator's weights along which its outputs lie."""
    if base.operator == "matmul":
        return 0 if base.attributes.get("transpose_b") else 1
    return 1 if base.operator == "conv_transpose2d" else 0


def _scaled(weights: Array, scale: Array, axis: int, groups: int) -> Array:
    """Multiply each output channel's weights; those of groups lie in one another along axis 0."""
    factor = scale.astype(weights.dtype)
    if axis == 0:
        return np.asarray(weights * factor.reshape(-1, *(1,) * (weights.ndim - 1)))
    grouped = weights.reshape(groups, -1, *weights.shape[1:])
    columns = factor.reshape(groups, 1, weights.shape[1], *(1,) * (weights.ndim - 2))
    return np.asarray(grouped * columns).reshape(weights.shape)
