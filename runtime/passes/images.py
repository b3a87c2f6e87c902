"""Writes transposes of pixels in a row as transposes of images, which layouts can do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_value, values_of
from runtime.specialise import Specs

__all__ = ["FROM_LAST", "TO_LAST", "unroll_images"]

TO_LAST, FROM_LAST = (0, 2, 3, 1), (0, 3, 1, 2)
"""What moves images' channels behind their pixels, and back."""


def unroll_images(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph that transposes images where it transposed rows of their pixels.

    So become images tokens, and tokens images: ``(n, c, h, w)`` to ``(n, h w, c)`` and back. The
    reshape moves to the tokens' side.
    """
    index = Index(graph)
    taken = values_of(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += tuple(_unrolled(node, index, specs, taken)) or (node,)
    return replace(graph, nodes=tuple(nodes))


def _unrolled(node: Node, index: Index, specs: Specs, taken: set[str]) -> Iterator[Node]:
    """Yield a reshape and a transpose of images in place of a node that ends such a pair."""
    if node.operator not in ("reshape", "transpose") or node.epilogue:
        return
    value, y = str(node.inputs[0]), specs[node.outputs[0]].shape
    before = index.made_by(value, "transpose" if node.operator == "reshape" else "reshape")
    if before is None or specs[value].rank != 3:
        return
    x = str(before.inputs[0])
    between = fresh_value(value, taken)
    if _exchanges(node) and specs[x].rank == 4 and specs[x].shape[:2] == specs[value].shape[:2]:
        yield Node("transpose", (x,), (between,), {"permutation": TO_LAST}, (), node.label)
        yield _reshape(between, node.outputs[0], y, before.label)
    elif (
        _exchanges(before)
        and index.used_once(value)
        and len(y) == 4
        and y[:2] == specs[value].shape[:2]
    ):
        yield _reshape(x, between, (y[0], y[2], y[3], y[1]), node.label)
        attributes = {"permutation": FROM_LAST}
        yield Node("transpose", (between,), node.outputs, attributes, (), before.label)


def _exchanges(node: Node) -> bool:
    """Say whether a node exchanges the last two of three axes."""
    return bool(node.attributes.get("permutation") == (0, 2, 1))


def _reshape(x: str, y: str, shape: tuple[int, ...], label: str) -> Node:
    return Node("reshape", (x,), (y,), {"shape": shape, "allow_zero": 1}, (), label)
