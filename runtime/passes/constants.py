"""Works out what follows from constants alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from dispatch.operators import operators
from runtime.graph import SHAPE, Graph, Node, Reference
from runtime.specialise import constant_spec, problem_of

__all__ = ["fold_constants"]

GROWTH = 2**20
"""Bytes: a result that is larger than this and than twice its inputs is left to the replay."""


def fold_constants(graph: Graph) -> Graph:
    """Return the graph with constants in place of the nodes that only constants go into."""
    constants = dict(graph.constants)
    nodes = []
    for node in graph.nodes:
        made = _evaluated(node, constants)
        if made is None:
            nodes.append(node)
        else:
            constants.update(zip(node.outputs, made, strict=True))
    return replace(graph, nodes=tuple(nodes), constants=constants)


def _evaluated(node: Node, constants: Mapping[str, Array]) -> list[Array] | None:
    """Return a node's outputs by its reference, None where that can't or shouldn't be."""
    if node.operator == SHAPE or node.epilogue:
        return None
    if any(isinstance(v, Reference) for v in node.attributes.values()):
        return None
    if not all(name is None or name in constants for name in node.inputs):
        return None
    arrays = [None if name is None else constants[name] for name in node.inputs]
    specs = {n: constant_spec(constants[n]) for n in node.inputs if n is not None}
    problem = problem_of(node, specs)
    size = sum(spec.nbytes for spec in problem.outputs)
    if size > max(GROWTH, 2 * sum(spec.nbytes for spec in specs.values())):
        return None
    outputs = operators()[node.operator].reference(
        [None if a is None else _wide(a) for a in arrays], dict(problem.attributes)
    )
    with np.errstate(all="ignore"):
        return [
            np.asarray(o).astype(numpy_dtype(spec.dtype)).reshape(spec.shape)
            for o, spec in zip(outputs, problem.outputs, strict=True)
        ]


def _wide(array: Array) -> Array:
    """Return what a reference takes: floating elements as float64."""
    return array.astype(np.float64) if "float" in str(array.dtype) else array
