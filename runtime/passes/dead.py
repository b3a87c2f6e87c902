"""Removes what no output needs."""

from __future__ import annotations

from dataclasses import replace

from runtime.graph import Graph, Node, Reference

__all__ = ["remove_dead", "uses"]


def uses(node: Node) -> list[str]:
    """Return the values that a node needs: its inputs and those its attributes refer to."""
    values = [name for name in node.inputs if name is not None]
    return values + [v.value for v in node.attributes.values() if isinstance(v, Reference)]


def remove_dead(graph: Graph) -> Graph:
    """Return the graph without nodes and constants that no output follows from."""
    needed = {value for _, value in graph.outputs}
    nodes = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.outputs):
            nodes.append(node)
            needed.update(uses(node))
    constants = {name: array for name, array in graph.constants.items() if name in needed}
    quantizations = {name: q for name, q in graph.quantizations.items() if name in constants}
    return replace(
        graph, nodes=tuple(reversed(nodes)), constants=constants, quantizations=quantizations
    )
