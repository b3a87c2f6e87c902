"""Moves reshapes behind what works on each element, so that it can join an epilogue before them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from dispatch.arguments import ACTIVATIONS
from dispatch.operators import operators
from dispatch.problem import OPERANDS
from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_value, values_of
from runtime.specialise import Specs

__all__ = ["delay_reshapes"]


def delay_reshapes(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph with activations, sums and products before reshapes.

    A convolution of lines is one of images between two reshapes; its activation and residual
    come after the second.
    """
    index = Index(graph)
    taken = values_of(graph)
    shapes = {name: spec.shape for name, spec in specs.items()}
    joining: set[str] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        if operators()[node.operator].epilogue:
            joining.update(node.outputs)
        made = tuple(_delayed(node, index, shapes, taken, joining)) or (node,)
        nodes += made
        for each in made:
            index.maker.update(dict.fromkeys(each.outputs, each))
    return replace(graph, nodes=tuple(nodes))


def _delayed(
    node: Node,
    index: Index,
    shapes: dict[str, tuple[int, ...]],
    taken: set[str],
    joining: set[str],
) -> Iterator[Node]:
    """Yield what takes the place of a node that follows reshapes: itself, and one reshape."""
    if node.epilogue or (node.operator not in ACTIVATIONS and node.operator not in OPERANDS):
        return
    reshapes = [index.made_by(name, "reshape") for name in node.inputs]
    if any(r is None or not index.used_once(r.outputs[0]) for r in reshapes):
        return
    sources = [str(r.inputs[0]) for r in reshapes if r is not None]
    if len({shapes[name] for name in sources}) != 1 or len(set(sources)) != len(sources):
        return
    if joining.isdisjoint(sources):
        return
    value = fresh_value(node.outputs[0], taken)
    shapes[value] = shapes[sources[0]]
    joining.add(value)
    yield replace(node, inputs=tuple(sources), outputs=(value,))
    last = reshapes[0]
    assert last is not None
    yield replace(last, inputs=(value,), outputs=node.outputs)
