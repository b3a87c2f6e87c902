"""Works out what follows from constants alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.tensor import Quantization, TensorSpec
from runtime.evaluate import evaluated
from runtime.graph import SHAPE, Graph, Node, Reference
from runtime.specialise import constant_spec, problem_of

__all__ = ["fold_constants"]

GROWTH = 2**20
"""Bytes: a result that is larger than this and than twice its inputs is left to the replay."""
GROWN: Mapping[str, int] = {"dequantize_linear": 4}
"""Operators whose results are so many times their inputs by nature."""


def fold_constants(graph: Graph, kept: frozenset[str] = frozenset()) -> Graph:
    """Return the graph with constants in place of the nodes that only constants go into.

    Parameters
    ----------
    kept
        Operators that stay.
    """
    constants, quantizations = dict(graph.constants), dict(graph.quantizations)
    nodes = []
    for node in graph.nodes:
        folds = node.operator not in kept
        made = _evaluated(node, constants, quantizations) if folds else None
        if made is None:
            nodes.append(node)
            continue
        for name, (array, spec) in made.items():
            constants[name] = array
            if spec.quantization is not None:
                quantizations[name] = spec.quantization
    return replace(graph, nodes=tuple(nodes), constants=constants, quantizations=quantizations)


def _evaluated(
    node: Node, constants: Mapping[str, Array], quantizations: Mapping[str, Quantization]
) -> Mapping[str, tuple[Array, TensorSpec]] | None:
    """Return a node's outputs by its reference, None where that can't or shouldn't be."""
    if node.operator == SHAPE or node.epilogue:
        return None
    if any(isinstance(v, Reference) for v in node.attributes.values()):
        return None
    if not all(name is None or name in constants for name in node.inputs):
        return None
    arrays = [None if name is None else constants[name] for name in node.inputs]
    specs = {
        n: constant_spec(constants[n], quantizations.get(n)) for n in node.inputs if n is not None
    }
    problem = problem_of(node, specs)
    size = sum(spec.nbytes for spec in problem.outputs)
    growth = GROWN.get(node.operator, 2)
    if size > max(GROWTH, growth * sum(spec.nbytes for spec in specs.values())):
        return None
    outputs = evaluated(operators()[node.operator], arrays, problem)
    return dict(zip(node.outputs, zip(outputs, problem.outputs, strict=True), strict=True))
