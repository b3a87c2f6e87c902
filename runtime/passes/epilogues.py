"""Splits the epilogues that calls were traced with, so that passes see one operator a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from dispatch.problem import OPERANDS
from runtime.graph import Graph, Node
from runtime.passes.rewrite import fresh_constant, fresh_value, values_of
from runtime.specialise import Specs

__all__ = ["NUMBERS_OF", "split_epilogues"]

NUMBERS_OF: Mapping[str, tuple[str, ...]] = {
    "clip": ("minimum", "maximum"),
    "hard_sigmoid": ("alpha", "beta"),
    "leaky_relu": ("alpha",),
    "elu": ("alpha",),
}
"""Attributes of activations that a step holds as its two numbers."""


def split_epilogues(graph: Graph, specs: Specs) -> Graph:
    """Return a graph in which every step of an epilogue is a node of its own.

    What pays is fused again when a plan is made, for the kernels that will run it. Quantised
    results keep theirs, which works on their real values.

    Parameters
    ----------
    graph
        Any graph.
    specs
        Of its values.
    """
    constants = dict(graph.constants)
    taken = values_of(graph)
    nodes = [part for node in graph.nodes for part in _split(node, specs, constants, taken)]
    return replace(graph, nodes=tuple(nodes), constants=constants)


def _split(
    node: Node, specs: Specs, constants: dict[str, Array], taken: set[str]
) -> Iterator[Node]:
    first, *others = node.outputs
    if not node.epilogue or specs[first].quantization is not None:
        yield node
        return
    operands = sum(name in OPERANDS for name, _, _ in node.epilogue)
    own = len(node.inputs) - operands
    given = iter(node.inputs[own:])
    dtype = numpy_dtype(specs[first].dtype)
    calls: list[tuple[str, tuple[str | None, ...], dict[str, Any]]] = []
    for name, alpha, beta in node.epilogue:
        if name in OPERANDS:
            calls.append((name, (next(given),), {}))
        elif name == "linear":
            for operator, number in (("mul", alpha), ("add", beta)):
                stem = f"{first}.{operator}"
                constant = fresh_constant(constants, stem, np.asarray(number, dtype))
                calls.append((operator, (constant,), {}))
        elif name == "gelu":
            calls.append((name, (), {"approximate": "tanh" if alpha == 1.0 else "none"}))
        else:
            numbers = zip(NUMBERS_OF.get(name, ()), (alpha, beta), strict=False)
            calls.append((name, (), dict(numbers)))
    value = fresh_value(first, taken)
    yield replace(node, inputs=node.inputs[:own], outputs=(value, *others), epilogue=())
    for number, (operator, more, attributes) in enumerate(calls, 1):
        made = first if number == len(calls) else fresh_value(first, taken)
        yield Node(operator, (value, *more), (made,), attributes, (), node.label)
        value = made
