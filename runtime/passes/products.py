"""Has products of matrices read their operands as they lie, and scale once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_value, values_of
from runtime.specialise import Specs

__all__ = ["absorb_into_products"]

_SCALED = ("float32", "float64")
"""Whose range is wide enough that a product may be scaled after its sums."""


def absorb_into_products(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph without transposes and scalings around products of matrices.

    A product takes its second matrix transposed or not, and one number that it multiplies all
    by. Constant matrices stay as they are: whoever multiplies by one scales that.
    """
    index = Index(graph)
    taken = values_of(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        made = tuple(_absorbed(node, index, specs, taken)) or (node,)
        for each in made:
            index.maker.update(dict.fromkeys(each.outputs, each))
        nodes += made
    return replace(graph, nodes=tuple(nodes))


def _absorbed(node: Node, index: Index, specs: Specs, taken: set[str]) -> Iterator[Node]:
    """Yield what takes a node's place, nothing where it stays."""
    if node.epilogue:
        return
    if node.operator in ("mul", "div"):
        found = _scaled(node, index, specs)
        product = None if found is None else index.made_by(found[0], "matmul")
        if found is None or product is None or not index.used_once(found[0]):
            return
        if product.inputs[2] is None and _is_variable(product, index, specs):
            yield replace(_by(product, found[1]), outputs=node.outputs)
    elif node.operator == "matmul" and _is_variable(node, index, specs):
        made = _with_scaled_operands(node, index, specs)
        moved = _with_transposed(made, index, specs, taken)
        if moved or made is not node:
            *before, last = moved or (made,)
            yield from (*before, _with_scaled_operands(last, index, specs))


def _is_variable(product: Node, index: Index, specs: Specs) -> bool:
    """Say whether both matrices are made at run time, of numbers that may be scaled late."""
    variable = all(index.constant(name) is None for name in product.inputs[:2])
    return variable and specs[product.outputs[0]].dtype in _SCALED


def _by(product: Node, scale: float) -> Node:
    alpha: Any = product.attributes["alpha"]
    return replace(product, attributes={**product.attributes, "alpha": alpha * scale})


def _scaled(node: Node, index: Index, specs: Specs) -> tuple[str, float] | None:
    """Return what a node multiplies by one number, and the number."""
    positions = (0, 1) if node.operator == "mul" else (0,)
    for position in positions:
        value, other = str(node.inputs[position]), node.inputs[1 - position]
        number = index.number(other)
        if number and specs[value].shape == specs[node.outputs[0]].shape:
            return value, number if node.operator == "mul" else 1 / number
    return None


def _with_scaled_operands(product: Node, index: Index, specs: Specs) -> Node:
    """Return the product of what its operands are multiples of."""
    for position in (0, 1):
        scaling = index.made_by(product.inputs[position], "mul", "div")
        found = None if scaling is None else _scaled(scaling, index, specs)
        if found is not None and product.inputs[2] is None:
            inputs = list(product.inputs)
            inputs[position] = found[0]
            product = _by(replace(product, inputs=tuple(inputs)), found[1])
    return product


def _with_transposed(
    product: Node, index: Index, specs: Specs, taken: set[str]
) -> tuple[Node, ...]:
    """Return a product that exchanges its second matrix's axes itself, and what is left to move.

    Nothing where that saves nothing: then rows would be as far apart as before.
    """
    value = product.inputs[1]
    move = index.made_by(value, "transpose")
    if move is None or not index.used_once(str(value)):
        return ()
    x, y = str(move.inputs[0]), specs[str(value)]
    permutation: Any = move.attributes["permutation"]
    if permutation[-2] != y.rank - 1:
        return ()
    order = (*permutation[:-2], permutation[-1], permutation[-2])
    attributes = {
        **product.attributes,
        "transpose_b": int(not product.attributes["transpose_b"]),
    }
    if order == tuple(range(y.rank)):
        inputs = (product.inputs[0], x, *product.inputs[2:])
        return (replace(product, inputs=inputs, attributes=attributes),)
    left = fresh_value(str(value), taken)
    inputs = (product.inputs[0], left, *product.inputs[2:])
    return (
        replace(move, outputs=(left,), attributes={"permutation": order}),
        replace(product, inputs=inputs, attributes=attributes),
    )
