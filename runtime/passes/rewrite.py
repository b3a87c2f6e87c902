"""Ways to change a graph: rename values, replace nodes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

from dispatch.operator import Array
from runtime.graph import Graph, Node, Reference

__all__ = ["fresh_constant", "fresh_value", "rename", "values_of"]


def rename(graph: Graph, names: Mapping[str, str]) -> Graph:
    """Return the graph in which each value of `names` is replaced where it is used."""
    if not names:
        return graph

    def final(name: str) -> str:
        while name in names:
            name = names[name]
        return name

    def renamed(node: Node) -> Node:
        inputs = tuple(None if n is None else final(n) for n in node.inputs)
        attributes = {
            k: Reference(final(v.value), v.scalar) if isinstance(v, Reference) else v
            for k, v in node.attributes.items()
        }
        return replace(node, inputs=inputs, attributes=attributes)

    return replace(
        graph,
        nodes=tuple(map(renamed, graph.nodes)),
        outputs=tuple((name, final(value)) for name, value in graph.outputs),
    )


def fresh_constant(constants: dict[str, Array], stem: str, array: Array) -> str:
    """Add a constant under a name that `constants` doesn't have, and return the name."""
    name, count = stem, 0
    while name in constants:
        count += 1
        name = f"{stem}.{count}"
    array.flags.writeable = False
    constants[name] = array
    return name


def values_of(graph: Graph) -> set[str]:
    """Return the names of all values."""
    made = {name for node in graph.nodes for name in node.outputs}
    return made | {*graph.constants, *(i.name for i in graph.inputs)}


def fresh_value(stem: str, taken: set[str]) -> str:
    """Return a name that isn't `taken`, and add it there."""
    name = next(name for n in itertools.count() if (name := f"{stem}.{n}") not in taken)
    taken.add(name)
    return name
