"""Makes what is worked out twice once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime.graph import Graph, Node
from runtime.passes.rewrite import rename

__all__ = ["merge_common"]


def merge_common(graph: Graph) -> Graph:
    """Return the graph with one node of those that are the same call on the same values."""
    graph = _merge_constants(graph)
    seen: dict[Any, Node] = {}
    names: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        inputs = tuple(None if n is None else names.get(n, n) for n in node.inputs)
        attributes = tuple(sorted((k, _typed(v)) for k, v in node.attributes.items()))
        key = (node.operator, inputs, attributes, node.epilogue)
        first = seen.setdefault(key, node)
        if first is node:
            nodes.append(node)
        else:
            names.update(zip(node.outputs, first.outputs, strict=True))
    return rename(replace(graph, nodes=tuple(nodes)), names)


def _typed(value: Any) -> str:
    """Return what tells values apart, 1 from 1.0 and True too."""
    return repr(value)


def _merge_constants(graph: Graph) -> Graph:
    """Merge constants that are equal; only small ones are compared."""
    seen: dict[Any, str] = {}
    names: dict[str, str] = {}
    for name, array in graph.constants.items():
        if array.size > 4096:
            continue
        meaning = graph.quantizations.get(name)
        key = (str(array.dtype), array.shape, array.tobytes(), meaning)
        first = seen.setdefault(key, name)
        if first != name:
            names[name] = first
    kept = {name: array for name, array in graph.constants.items() if name not in names}
    quantizations = {name: q for name, q in graph.quantizations.items() if name in kept}
    return rename(replace(graph, constants=kept, quantizations=quantizations), names)
