"""Runs a graph by the operators' references: no kernel, no plan."""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch.arguments import make_problem
from dispatch.context import active
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.operators import operators
from dispatch.tensor import TensorSpec
from runtime.graph import SHAPE, Graph, Reference


def run_graph(graph: Graph, inputs: dict[str, Any]) -> list[Any]:
    """Return the graph's outputs in order."""
    values = {**graph.constants, **inputs}
    last = {name: i for i, node in enumerate(graph.nodes) for name in node.inputs if name}
    kept = {value for _, value in graph.outputs} | set(graph.constants)
    for index, node in enumerate(graph.nodes):
        taken = [None if name is None else values[name] for name in node.inputs]
        values.update(zip(node.outputs, run_node(node, taken, values), strict=True))
        for name in node.inputs:
            if name and last[name] == index and name not in kept:
                values.pop(name, None)
    return [values[value] for _, value in graph.outputs]


def run_node(node: Any, taken: list[Any], values: dict[str, Any]) -> list[Any]:
    """Return the outputs of one node."""
    if node.operator == SHAPE:
        return [np.array(taken[0].shape, np.int64)]
    operator = operators()[node.operator]
    attributes = {}
    for name, value in node.attributes.items():
        if isinstance(value, Reference):
            array = values[value.value]
            value = array.item() if value.scalar else tuple(array.tolist())
        attributes[name] = value
    specs = tuple(
        None if a is None else TensorSpec(dtype_name(a.dtype), a.shape, constant=False)
        for a in taken
    )
    assert not node.epilogue
    problem = make_problem(operator, specs, attributes, (), active())
    wide = [a.astype(np.float64) if a is not None and "float" in str(a.dtype) else a for a in taken]
    with np.errstate(all="ignore"):
        made = operator.reference(wide, dict(problem.attributes))
    return [
        np.asarray(m).astype(numpy_dtype(s.dtype)).reshape(s.shape)
        for m, s in zip(made, problem.outputs, strict=True)
    ]
