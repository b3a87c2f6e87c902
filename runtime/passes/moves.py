"""Has each element's work done before reshapes and transposes: there it can join an epilogue."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from dispatch.arguments import ACTIVATIONS
from dispatch.operators import operators
from dispatch.problem import OPERANDS
from runtime.graph import Graph, Node
from runtime.passes.images import FROM_LAST, TO_LAST
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_value, values_of
from runtime.specialise import Specs

__all__ = ["delay_moves"]


_MOVES = ("reshape", "transpose")


def delay_moves(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph with activations, sums and products before what moves elements.

    A convolution of lines is one of images between two reshapes; its activation and residual
    come after the second. Where products of channels work on images between two transposes, what
    is added to them is transposed as well, once for many such products in a row.
    """
    index = Index(graph)
    taken = values_of(graph)
    shapes = {name: spec.shape for name, spec in specs.items()}
    joining: set[str] = set()
    nodes: list[Node] = []
    for node in graph.nodes:
        if operators()[node.operator].epilogue or _moves_what_joins(node, index, joining):
            joining.update(node.outputs)
        for each in _settled(node, index, shapes, taken, joining):
            index.maker.update(dict.fromkeys(each.outputs, each))
            nodes.append(each)
    return replace(graph, nodes=tuple(nodes))


def _moves_what_joins(node: Node, index: Index, joining: set[str]) -> bool:
    """Say whether a node is one of several moves in a row behind what has epilogues."""
    return node.operator in _MOVES and node.inputs[0] in joining and index.used_once(node.inputs[0])


def _settled(
    node: Node,
    index: Index,
    shapes: dict[str, tuple[int, ...]],
    taken: set[str],
    joining: set[str],
) -> Iterator[Node]:
    """Yield what takes a node's place when it has passed all moves that it may."""
    made = tuple(_delayed(node, index, shapes, taken, joining))
    for each in made or (node,):
        if made and each.operator == node.operator:
            yield from _settled(each, index, shapes, taken, joining)
        else:
            yield each


def _delayed(
    node: Node,
    index: Index,
    shapes: dict[str, tuple[int, ...]],
    taken: set[str],
    joining: set[str],
) -> Iterator[Node]:
    """Yield what takes the place of a node that follows moves: itself, and one of them."""
    if node.epilogue or (node.operator not in ACTIVATIONS and node.operator not in OPERANDS):
        return
    last = next((m for n in node.inputs if (m := _joining(n, index, joining)) is not None), None)
    if last is None:
        return
    before = str(last.inputs[0])
    sources: list[str] = []
    made: list[Node] = []
    for name in map(str, node.inputs):
        move = index.made_by(name, last.operator)
        if move is not None and (last.operator == "reshape" or move.attributes == last.attributes):
            sources.append(str(move.inputs[0]))
        elif _may_be_transposed(name, last, index, shapes):
            sources.append(fresh_value(name, taken))
            shapes[sources[-1]] = shapes[before]
            attributes = {"permutation": TO_LAST}
            made.append(
                replace(last, inputs=(name,), outputs=(sources[-1],), attributes=attributes)
            )
        else:
            return
    if len({shapes[name] for name in sources}) != 1 or len(set(sources)) != len(sources):
        return
    value = fresh_value(node.outputs[0], taken)
    shapes[value] = shapes[before]
    joining.add(value)
    yield from made
    yield replace(node, inputs=tuple(sources), outputs=(value,))
    yield replace(last, inputs=(value,), outputs=node.outputs)


def _joining(name: str | None, index: Index, joining: set[str]) -> Node | None:
    """Return what moves the result of an operator with epilogues for this use alone."""
    move = index.made_by(name, *_MOVES)
    if move is None or move.inputs[0] not in joining or not index.used_once(str(name)):
        return None
    return move


def _may_be_transposed(
    name: str, last: Node, index: Index, shapes: Mapping[str, tuple[int, ...]]
) -> bool:
    """Say whether an operand is images whose channels may lie last, as those of the other do."""
    return (
        last.attributes.get("permutation") == FROM_LAST
        and index.constant(name) is None
        and shapes[name] == shapes[last.outputs[0]]
    )
