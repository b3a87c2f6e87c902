"""Recognises channel_shuffle where it is written as a transpose between two reshapes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.specialise import Specs

__all__ = ["recognise_channel_shuffles"]


def recognise_channel_shuffles(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph with channel_shuffle for channels split, exchanged and joined.

    In nchw the transpose alone moves anything, but it fixes that layout for all around it.
    """
    index = Index(graph)
    return replace(
        graph, nodes=tuple(_shuffled(node, index, specs) or node for node in graph.nodes)
    )


def _shuffled(join: Node, index: Index, specs: Specs) -> Node | None:
    """Return the channel_shuffle that ends with a reshape."""
    if join.operator != "reshape" or join.epilogue:
        return None
    exchange = index.made_by(join.inputs[0], "transpose")
    split = None if exchange is None else index.made_by(exchange.inputs[0], "reshape")
    if exchange is None or split is None:
        return None
    x, y = specs[str(split.inputs[0])], specs[join.outputs[0]]
    permutation: Any = exchange.attributes["permutation"]
    extents = _exchanged(specs[str(exchange.inputs[0])].shape, permutation)
    if x.shape != y.shape or x.rank < 2 or extents is None:
        return None
    before, groups, channels, after = extents
    if (before, groups * channels, after) != (x.shape[0], x.shape[1], math.prod(x.shape[2:])):
        return None
    return Node(
        "channel_shuffle", split.inputs, join.outputs, {"groups": groups}, (), exchange.label
    )


def _exchanged(
    shape: Sequence[int], permutation: Sequence[int]
) -> tuple[int, int, int, int] | None:
    """Return the extents of the two runs of axes that a transpose exchanges, and of what is
    before and behind them; None where it does anything else.
    """
    order = [axis for axis in permutation if shape[axis] != 1]
    axes = sorted(order)
    moved = [at for at, (a, b) in enumerate(zip(order, axes, strict=True)) if a != b]
    if not moved:
        return None
    first, end = moved[0], moved[-1] + 1
    middle = axes.index(order[first])
    if order[first:end] != axes[middle:end] + axes[first:middle]:
        return None
    parts = (axes[:first], axes[first:middle], axes[middle:end], axes[end:])
    before, one, other, after = (math.prod(shape[axis] for axis in part) for part in parts)
    return before, one, other, after
