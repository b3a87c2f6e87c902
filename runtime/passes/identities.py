"""Removes what changes nothing, and makes one of two moves in a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.passes.rewrite import rename
from runtime.specialise import Specs

__all__ = ["merge_moves", "remove_identities"]


def remove_identities(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph without nodes whose output is their first input.

    Nor those that give a quantised value's integers where they are known.
    """
    index = Index(graph)
    names: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        rule = _IDENTITIES.get(node.operator)
        x = node.inputs[0] if node.inputs else None
        given = index.made_by(x, "as_quantized") if node.operator == "as_stored" else None
        if given is not None:
            names[node.outputs[0]] = str(given.inputs[0])
            continue
        if rule is None or node.epilogue or x is None or not rule(node, specs):
            nodes.append(node)
        else:
            names[node.outputs[0]] = x
    return rename(replace(graph, nodes=tuple(nodes)), names)


def _same_shape(node: Node, specs: Specs) -> bool:
    return specs[str(node.inputs[0])].shape == specs[node.outputs[0]].shape


def _same_dtype(node: Node, specs: Specs) -> bool:
    return specs[str(node.inputs[0])].dtype == specs[node.outputs[0]].dtype


def _steps_forward(node: Node, specs: Specs) -> bool:
    steps = 1 if node.attributes["steps"] is None else node.attributes["steps"]
    forward = min(steps, default=1) if isinstance(steps, tuple) else steps
    return _same_shape(node, specs) and isinstance(forward, int) and forward > 0


def _in_order(node: Node, specs: Specs) -> bool:
    """Say whether a transpose leaves the axes that have more than one element in their order."""
    shape = specs[str(node.inputs[0])].shape
    order = [axis for axis in _integers(node, "permutation") if shape[axis] != 1]
    return order == sorted(order) and _same_shape(node, specs)


def _alone(node: Node, specs: Specs) -> bool:
    return sum(n is not None for n in node.inputs) == 1


def _no_bounds(node: Node, specs: Specs) -> bool:
    bounds = (node.attributes.get("minimum"), node.attributes.get("maximum"))
    return bounds == (-math.inf, math.inf)


def _integers(node: Node, name: str) -> tuple[int, ...]:
    value: Any = node.attributes.get(name, ())
    return tuple(value) if isinstance(value, tuple) else (int(value),)


_IDENTITIES: Mapping[str, Callable[[Node, Specs], bool]] = {
    "reshape": _same_shape,
    "expand": _same_shape,
    "pad": _same_shape,
    "cast": _same_dtype,
    "slice": _steps_forward,
    "transpose": _in_order,
    "concat": _alone,
    "clip": _no_bounds,
}


def merge_moves(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph with one reshape or transpose for two in a row.

    A transpose that only moves axes of one element becomes a reshape, which
    costs nothing.
    """
    index = Index(graph)
    nodes = []
    for node in graph.nodes:
        made = _as_reshape(node, specs)
        before = index.made_by(made.inputs[0] if made.inputs else None, "reshape", "transpose")
        if before is not None and made.operator == before.operator and not made.epilogue:
            attributes = dict(made.attributes)
            if made.operator == "transpose":
                first = _integers(before, "permutation")
                order = tuple(first[axis] for axis in _integers(made, "permutation"))
                attributes["permutation"] = order
            made = replace(made, inputs=before.inputs, attributes=attributes)
        for name in made.outputs:
            index.maker[name] = made
        nodes.append(made)
    return replace(graph, nodes=tuple(nodes))


def _as_reshape(node: Node, specs: Specs) -> Node:
    if node.operator != "transpose":
        return node
    shape = specs[str(node.inputs[0])].shape
    moved = [axis for axis in _integers(node, "permutation") if shape[axis] != 1]
    if moved != sorted(moved):
        return node
    attributes = {"shape": specs[node.outputs[0]].shape, "allow_zero": 1}
    return replace(node, operator="reshape", attributes=attributes)
