"""Folds what scales and shifts a convolution's channels into its weights and bias."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from dispatch.operator import Array
from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_constant
from runtime.specialise import Specs

__all__ = ["fold_scales"]

_BASES = ("conv2d", "conv_transpose2d", "linear")


class _Affine(NamedTuple):
    """``scale * y + shift``, one of each for every channel or one for all."""

    scale: Array
    shift: Array


def fold_scales(graph: Graph, specs: Specs) -> Graph:
    """Fold batch_norm, and mul, div, add and sub with constants, into the operator before.

    That operator is a convolution or a linear one with constant weights whose
    result goes nowhere else.
    """
    index = Index(graph)
    constants = dict(graph.constants)
    nodes: dict[str, Node] = {node.outputs[0]: node for node in graph.nodes}
    for node in graph.nodes:
        found = _pair(node, index, specs)
        if found is None:
            continue
        base, affine = found
        folded = _folded(base, affine, constants)
        if folded is None:
            continue
        del nodes[base.outputs[0]]
        made = replace(folded, outputs=node.outputs, epilogue=node.epilogue)
        nodes[node.outputs[0]] = index.maker[node.outputs[0]] = made
        index.constants = constants
    return replace(graph, nodes=tuple(nodes.values()), constants=constants)


def _pair(node: Node, index: Index, specs: Specs) -> tuple[Node, _Affine] | None:
    """Return the node before and what `node` does to its result's channels."""
    positions = range(2) if node.operator in ("add", "mul") else range(1)
    for position in positions:
        value = node.inputs[position]
        base = index.made_by(value, *_BASES)
        if value is None or base is None or not index.used_once(value):
            continue
        channels = specs[value].shape[1 if base.operator != "linear" else -1]
        affine = (
            _of_batch_norm(node, index)
            if node.operator == "batch_norm" and base.operator != "linear"
            else _of_arithmetic(node, 1 - position, index, specs[value].rank, base, channels)
        )
        if affine is not None:
            return base, affine
    return None


def _of_batch_norm(node: Node, index: Index) -> _Affine | None:
    parameters = [index.constant(name) for name in node.inputs[1:5]]
    if any(p is None for p in parameters) or len(node.inputs) != 5:
        return None
    scale, bias, mean, variance = (np.asarray(p, np.float64) for p in parameters)
    factor = scale / np.sqrt(variance + float(node.attributes.get("epsilon", 1e-5)))  # type: ignore[arg-type]
    return _Affine(factor, bias - mean * factor)


def _of_arithmetic(
    node: Node, position: int, index: Index, rank: int, base: Node, channels: int
) -> _Affine | None:
    if node.operator not in ("add", "sub", "mul", "div") or node.epilogue:
        return None
    constant = index.constant(node.inputs[position])
    if constant is None:
        return None
    values = per_channel(constant, rank, -1 if base.operator == "linear" else 1, channels)
    if values is None:
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.operator == "div":
        return _Affine(1.0 / values, zero) if np.all(values != 0) else None
    return {
        "add": _Affine(one, values),
        "sub": _Affine(one, -values),
        "mul": _Affine(values, zero),
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


def _folded(base: Node, affine: _Affine, constants: dict[str, Array]) -> Node | None:
    """Return the operator with weights and bias that do the scaling and shifting too."""
    x, w, bias = base.inputs[:3]
    weights = constants.get(str(w))
    old = None if bias is None else constants.get(bias)
    if weights is None or (bias is not None and old is None):
        return None
    groups = int(base.attributes.get("groups", 1)) if base.operator != "linear" else 1  # type: ignore[arg-type]
    if base.operator == "conv_transpose2d":
        channels = weights.shape[1] * groups
    else:
        channels = weights.shape[0]
    scale = np.broadcast_to(affine.scale, (channels,))
    shift = np.broadcast_to(affine.shift, (channels,))
    if not np.all(scale == 1.0):
        scaled = _scaled(base.operator, weights, scale, groups)
        w = fresh_constant(constants, f"{w}.scaled", scaled)
    moved = shift if old is None else old.astype(np.float64) * scale + shift
    if bias is not None or np.any(moved != 0):
        bias = fresh_constant(constants, f"{w}.bias", moved.astype(weights.dtype))
    return replace(base, inputs=(x, w, bias))


def _scaled(operator: str, weights: Array, scale: Array, groups: int) -> Array:
    """Multiply each output channel's weights."""
    factor = scale.astype(weights.dtype)
    if operator == "conv_transpose2d":
        inputs, outputs, height, width = weights.shape
        grouped = weights.reshape(groups, inputs // groups, outputs, height, width)
        return np.asarray(grouped * factor.reshape(groups, 1, outputs, 1, 1)).reshape(weights.shape)
    return np.asarray(weights * factor.reshape(-1, *(1,) * (weights.ndim - 1)))
