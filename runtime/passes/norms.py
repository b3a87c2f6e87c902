"""Recognises layer_norm where it is written out in means and differences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.specialise import Specs

__all__ = ["recognise_layer_norm"]


def recognise_layer_norm(graph: Graph, specs: Specs) -> Graph:
    """Return the graph with layer_norm over the last axis in place of its parts.

    The parts are ``(x - mean) / sqrt(mean((x - mean) ** 2) + epsilon) * scale``,
    and a bias where one is added.
    """
    index = Index(graph)
    nodes = []
    for node in graph.nodes:
        made = _scaled(node, index, specs) or _biased(node, index, specs) or node
        index.maker[node.outputs[0]] = made
        nodes.append(made)
    return replace(graph, nodes=tuple(nodes))


def _operands(node: Node) -> Iterable[tuple[str | None, str | None]]:
    yield node.inputs[0], node.inputs[1]
    yield node.inputs[1], node.inputs[0]


def _scaled(node: Node, index: Index, specs: Specs) -> Node | None:
    """Return layer_norm where `node` multiplies what is normalised by a constant."""
    if node.operator != "mul" or node.epilogue:
        return None
    for value, scale in _operands(node):
        found = _normalised(index.made_by(value, "div"), index, specs)
        if found is not None and _along_last(scale, found[0], index, specs):
            attributes = {"axis": -1, "epsilon": found[1]}
            return Node(
                "layer_norm", (found[0], scale, None), node.outputs, attributes, (), node.label
            )
    return None


def _biased(node: Node, index: Index, specs: Specs) -> Node | None:
    """Return layer_norm where `node` adds a constant to one without a bias."""
    if node.operator != "add" or node.epilogue:
        return None
    for value, bias in _operands(node):
        norm = index.made_by(value, "layer_norm")
        if norm is None or norm.inputs[2] is not None or norm.attributes.get("axis", -1) != -1:
            continue
        x = norm.inputs[0]
        if x is not None and _along_last(bias, x, index, specs):
            return replace(norm, inputs=(*norm.inputs[:2], bias), outputs=node.outputs)
    return None


def _normalised(node: Node | None, index: Index, specs: Specs) -> tuple[str, float] | None:
    """Return x and epsilon where a node is ``(x - mean) / sqrt(variance + epsilon)``."""
    if node is None:
        return None
    apart = index.made_by(node.inputs[0], "sub")
    root = index.made_by(node.inputs[1], "sqrt")
    total = None if root is None else index.made_by(root.inputs[0], "add")
    if apart is None or total is None:
        return None
    for value, constant in _operands(total):
        epsilon = index.number(constant)
        variance = index.made_by(value, "mean")
        mean = index.made_by(apart.inputs[1], "mean")
        x = apart.inputs[0]
        if epsilon is None or epsilon < 0 or variance is None or mean is None or x is None:
            continue
        if mean.inputs[0] != x or not _is_square(variance.inputs[0], apart.outputs[0], index):
            continue
        if _over_last(mean, specs) and _over_last(variance, specs):
            return x, epsilon
    return None


def _is_square(value: str | None, of: str, index: Index) -> bool:
    node = index.made_by(value, "mul", "pow")
    if node is None or node.inputs[0] != of:
        return False
    return node.inputs[1] == of if node.operator == "mul" else index.number(node.inputs[1]) == 2.0


def _over_last(mean: Node, specs: Specs) -> bool:
    rank = specs[str(mean.inputs[0])].rank
    axes = mean.attributes.get("axes")
    entries = (axes,) if isinstance(axes, int) else axes
    if not isinstance(entries, tuple) or not mean.attributes.get("keepdims"):
        return False
    return len(entries) == 1 and int(entries[0]) % rank == rank - 1


def _along_last(value: str | None, x: str, index: Index, specs: Specs) -> bool:
    """Say whether a constant has one element for each along x's last axis."""
    constant = index.constant(value)
    return constant is not None and constant.shape == specs[x].shape[-1:]
