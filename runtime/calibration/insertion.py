"""Which values of a graph are quantised, and the graph in which they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.tensor import Quantization
from runtime.graph import Graph, Node
from runtime.passes.dead import uses
from runtime.passes.rewrite import fresh_constant
from runtime.specialise import Specs

__all__ = ["QUANTIZABLE", "Selection", "insert", "select"]

PRODUCTS = frozenset({"conv2d", "conv_transpose2d", "matmul"})
SUMS = frozenset({"add", "mul"})
AVERAGES = frozenset({"avg_pool2d", "global_avg_pool2d"})
MOVES = frozenset({
    "concat", "global_max_pool2d", "max_pool2d", "reshape", "resize", "slice", "transpose",
})  # fmt: skip
FUNCTIONS = frozenset({
    "clip", "elu", "gelu", "hard_sigmoid", "hard_swish", "leaky_relu", "relu", "sigmoid", "silu",
    "tanh",
})  # fmt: skip
BOUNDS = frozenset({"clip", "relu"})

QUANTIZABLE = PRODUCTS | SUMS | AVERAGES | MOVES | FUNCTIONS
"""Operators that have integer forms."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What becomes integers.

    Parameters
    ----------
    nodes
        First outputs of the nodes that work on integers.
    values
        Values that are quantised, in the graph's order.
    alike
        Value → the one whose scale it shares.
    """

    nodes: frozenset[str]
    values: tuple[str, ...]
    alike: Mapping[str, str]


def select(graph: Graph, specs: Specs, excluded: Collection[str]) -> Selection:
    """Return what becomes integers in a prepared graph.

    Parameters
    ----------
    excluded
        Operators and labels of nodes that stay in floating point.
    """
    makers = {name: node for node in graph.nodes for name in node.outputs}
    users: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in uses(node):
            users.setdefault(name, []).append(node)
    chosen = {
        node.outputs[0]
        for node in graph.nodes
        if node.operator not in excluded
        and node.label not in excluded
        and _served(node, graph, specs)
    }
    # What only moves or maps real values is of no use as integers.
    needed: set[str] = set()
    for node in reversed(graph.nodes):
        if node.outputs[0] in chosen and (
            node.operator not in MOVES | FUNCTIONS
            or any(u.outputs[0] in needed for u in users.get(node.outputs[0], ()))
            or _follows_integers(node, chosen, makers)
        ):
            needed.add(node.outputs[0])
    chosen = needed
    outputs = {value for _, value in graph.outputs}
    quantised: dict[str, None] = {}
    bounded: set[str] = set()
    for node in graph.nodes:
        made = node.outputs[0]
        if made not in chosen:
            continue
        following = users.get(made, [])
        # The bounds that follow are the integer operator's own: rounded once, behind them.
        if (
            node.operator in PRODUCTS | SUMS | AVERAGES
            and len(following) == 1
            and following[0].operator in BOUNDS
            and following[0].outputs[0] in chosen
            and made not in outputs
        ):
            bounded.add(made)
        quantised.update(dict.fromkeys(n for n in data_inputs(node) if n not in graph.constants))
        quantised[made] = None
    values = tuple(name for name in quantised if name not in bounded)
    return Selection(frozenset(chosen), values, _alike(graph, chosen, values))


def _served(node: Node, graph: Graph, specs: Specs) -> bool:
    """Say whether a node has an integer form here: real values, constant weights."""
    if node.operator not in QUANTIZABLE or node.epilogue or len(node.outputs) != 1:
        return False
    tensors = [*data_inputs(node), node.outputs[0]]
    if any(specs[name].dtype != "float32" for name in tensors):
        return False
    if node.operator == "resize" and node.attributes.get("mode", "nearest") != "nearest":
        return False
    if node.operator in PRODUCTS:
        settings = {**operators()[node.operator].attributes, **node.attributes}
        plain = settings.get("alpha", 1.0) == 1.0 and not settings.get("transpose_a", False)
        weights = graph.constants.get(str(node.inputs[1]))
        bias = node.inputs[2]
        return (
            plain
            and weights is not None
            and (node.operator != "matmul" or weights.ndim == 2)
            and (bias is None or bias in graph.constants)
        )
    if node.operator in SUMS:
        # A constant operand makes a function of one tensor, or has no scale of its own.
        return not any(name in graph.constants for name in node.inputs)
    return all(name not in graph.constants for name in data_inputs(node))


def _follows_integers(node: Node, chosen: set[str], makers: Mapping[str, Node]) -> bool:
    """Say whether what a node moves or maps comes from operators on integers."""
    for name in data_inputs(node):
        maker = makers.get(name)
        if maker is None or maker.outputs[0] not in chosen:
            return False
        if maker.operator in MOVES | FUNCTIONS and not _follows_integers(maker, chosen, makers):
            return False
    return True


def data_inputs(node: Node) -> list[str]:
    """Return the inputs of a node that are activations."""
    if node.operator == "concat" or node.operator in SUMS:
        return [name for name in node.inputs if name is not None]
    return [str(node.inputs[0])]


def _alike(graph: Graph, chosen: Collection[str], quantised: Collection[str]) -> dict[str, str]:
    """Return, for each value, the one that stands for all of the same scale."""
    parent = {name: name for name in quantised}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for node in graph.nodes:
        if node.operator in MOVES and node.outputs[0] in chosen:
            for name in data_inputs(node):
                if name in parent and node.outputs[0] in parent:
                    parent[root(name)] = root(node.outputs[0])
    return {name: root(name) for name in parent}


# ---- The graph ----------------------------------------------------------------------------------


def insert(
    graph: Graph,
    selection: Selection,
    meanings: Mapping[str, Mapping[str, Any]],
    *,
    per_channel: bool,
) -> Graph:
    """Return the graph with pairs of quantize_linear and dequantize_linear.

    Parameters
    ----------
    meanings
        Value → the attributes of its quantize_linear.
    per_channel
        Weights have a scale for each output channel.
    """
    writer = _Writer(graph)
    for i in graph.inputs:
        writer.pair(i.name, meanings)
    for node in graph.nodes:
        integer = node.outputs[0] in selection.nodes
        writer.add(node, integer, per_channel)
        for name in node.outputs:
            writer.pair(name, meanings)
    outputs = tuple((name, writer.rounded.get(value, value)) for name, value in graph.outputs)
    return replace(
        graph,
        nodes=tuple(writer.nodes),
        outputs=outputs,
        constants=writer.constants,
        quantizations=writer.quantizations,
    )


class _Writer:
    """The graph while it is written."""

    def __init__(self, graph: Graph) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = dict(graph.constants)
        self.quantizations: dict[str, Quantization] = dict(graph.quantizations)
        self.rounded: dict[str, str] = {}
        self._inputs = {i.name for i in graph.inputs}
        self._weights: dict[tuple[str, int], str] = {}

    def pair(self, value: str, meanings: Mapping[str, Mapping[str, Any]]) -> None:
        """Quantise a value and dequantise it again, if it is to be."""
        meaning = meanings.get(value)
        if meaning is None:
            return
        stored, real = f"{value}.quantized", f"{value}.rounded"
        attributes = {**meaning, "axis": None}
        self.nodes.append(Node("quantize_linear", (value,), (stored,), attributes, label=value))
        self.nodes.append(Node("dequantize_linear", (stored,), (real,), label=value))
        self.rounded[value] = real

    def add(self, node: Node, integer: bool, per_channel: bool) -> None:
        """Add a node: where its inputs are rounded, it takes those."""
        inputs = [
            self.rounded.get(name, name)
            if name is not None and (integer or name not in self._inputs)
            else name
            for name in node.inputs
        ]
        if integer and node.operator in PRODUCTS:
            inputs[1] = self.weights(node, per_channel)
        self.nodes.append(replace(node, inputs=tuple(inputs)))

    def weights(self, node: Node, per_channel: bool) -> str:
        """Return a node's weights, dequantised from int8 by a node."""
        name = str(node.inputs[1])
        plain = node.operator == "matmul" and not node.attributes.get("transpose_b", False)
        axis = 1 if plain or node.operator == "conv_transpose2d" else 0
        known = self._weights.get((name, axis))
        if known is not None:
            return known
        values = self.constants[name]
        others = tuple(a for a in range(values.ndim) if not per_channel or a != axis)
        largest = np.abs(values).max(axis=others, keepdims=True).astype(np.float32)
        scale = np.where(largest > 0, largest / np.float32(127.0), np.float32(1.0))
        scale = np.maximum(scale, np.finfo(np.float32).tiny)
        stored = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
        scales = tuple(float(s) for s in scale.reshape(-1))
        meaning = Quantization(scales, (0,) * len(scales), axis if per_channel else -1)
        kept = fresh_constant(self.constants, f"{name}.quantized", stored)
        self.quantizations[kept] = meaning
        real = f"{kept}.rounded"
        self.nodes.append(Node("dequantize_linear", (kept,), (real,), label=name))
        self._weights[name, axis] = real
        return real
