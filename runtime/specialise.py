"""From a graph and the shapes of its inputs to one where every shape is a number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from dispatch.arguments import make_problem
from dispatch.context import Interned, active
from dispatch.dtypes import dtype_name
from dispatch.errors import InvalidArgument
from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import Quantization, TensorSpec
from runtime.errors import PlanError
from runtime.evaluate import KNOWN_LIMIT, known_outputs
from runtime.graph import SHAPE, Graph, GraphInput, Node, Reference, Step

__all__ = ["Shapes", "Specialised", "Specs", "constant_spec", "problem_of", "specialise"]

Shapes = Mapping[str, tuple[int, ...]]
"""The extents of each input of a graph."""
Specs = Mapping[str, TensorSpec]
"""What is known of each value of a graph."""


@dataclass(frozen=True, slots=True)
class Specialised:
    """A graph of numbers alone.

    Parameters
    ----------
    graph
        No `SHAPE` nodes and no `Reference` are left, and what follows from
        shapes is a constant. Attributes are canonical where those are among
        the public ones.
    specs
        Dtype and shape of every value.
    """

    graph: Graph
    specs: Specs


def constant_spec(array: Array, quantization: Quantization | None = None) -> TensorSpec:
    """Return the spec of a constant."""
    name = dtype_name(array.dtype)
    if name is None:
        raise PlanError(f"constant: dtype {array.dtype!r} isn't served")
    return TensorSpec(name, array.shape, constant=True, quantization=quantization)


def problem_of(node: Node, specs: Specs, attributes: Mapping[str, Any] | None = None) -> Problem:
    """Return the problem of a node under the settings in force.

    Raises
    ------
    PlanError
        If its inputs' shapes don't fit; names the node.
    """
    inputs = tuple(None if name is None else specs[name] for name in node.inputs)
    given = node.attributes if attributes is None else attributes
    try:
        return _problem(node.operator, inputs, tuple(given.items()), node.epilogue, active())
    except InvalidArgument as error:
        raise PlanError(f"{error} (at {node.label or node.outputs[0]})") from error


@lru_cache(maxsize=16384)
def _problem(
    operator: str,
    inputs: tuple[TensorSpec | None, ...],
    attributes: tuple[tuple[str, Any], ...],
    epilogue: tuple[Step, ...],
    setting: Interned,
) -> Problem:
    return make_problem(operators()[operator], inputs, dict(attributes), epilogue, setting)


def specialise(graph: Graph, shapes: Shapes) -> Specialised:
    """Give every value its shape; work out what follows from shapes alone.

    Parameters
    ----------
    graph
        Any graph.
    shapes
        For each input by name.

    Raises
    ------
    PlanError
        If an input's shape isn't one that the graph was traced for, if shapes
        don't fit a node, or if an attribute follows from elements.
    """
    specs: dict[str, TensorSpec] = _input_specs(graph, shapes)
    known: dict[str, Array] = {}
    for name, array in graph.constants.items():
        specs[name] = constant_spec(array, graph.quantizations.get(name))
        if array.size <= KNOWN_LIMIT:
            known[name] = array
    constants, quantizations = dict(graph.constants), dict(graph.quantizations)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.operator == SHAPE:
            made = np.array(specs[str(node.inputs[0])].shape, np.int64)
            results: list[Array | None] = [made]
        else:
            attributes = _resolved(node, known)
            problem = problem_of(node, specs, attributes)
            # Of some operators the canonical attributes have names of their own; a quantised
            # result's parameters aren't among them.
            if {name for name, _ in problem.attributes} <= set(attributes):
                attributes.update(problem.attributes)
            specs.update(zip(node.outputs, problem.outputs, strict=True))
            results = [None] * len(node.outputs)
            if all(name is None or name in known for name in node.inputs):
                arrays = [None if name is None else known[name] for name in node.inputs]
                results = known_outputs(operators()[node.operator], arrays, problem)
        if all(result is not None for result in results):
            for name, result in zip(node.outputs, results, strict=True):
                assert result is not None
                known[name] = constants[name] = result
                made_of = specs[name].quantization if name in specs else None
                if made_of is not None:
                    quantizations[name] = made_of
                specs[name] = constant_spec(result, made_of)
        else:
            nodes.append(replace(node, attributes=attributes))
    inputs = tuple(replace(i, shape=tuple(shapes[i.name])) for i in graph.inputs)
    return Specialised(Graph(inputs, graph.outputs, tuple(nodes), constants, quantizations), specs)


def _resolved(node: Node, known: Mapping[str, Array]) -> dict[str, Any]:
    """Return a node's attributes with the values in place of references."""
    attributes = {**operators()[node.operator].attributes, **node.attributes}
    for name, value in attributes.items():
        if not isinstance(value, Reference):
            continue
        array = known.get(value.value)
        if array is None:
            raise PlanError(
                f"{node.operator} (at {node.label or node.outputs[0]}): {name} follows from the "
                f"elements of {value.value!r}, which aren't known when planning"
            )
        attributes[name] = array.item() if value.scalar else tuple(array.ravel().tolist())
    return attributes


def _input_specs(graph: Graph, shapes: Shapes) -> dict[str, TensorSpec]:
    """Check the inputs' shapes against the graph's extents."""
    bound: dict[str, tuple[int, str]] = {}
    for i in graph.inputs:
        given = shapes[i.name]
        if len(given) != len(i.shape):
            raise PlanError(
                f"{i.name}: expected {len(i.shape)} dimensions, got {len(given)} {given}"
            )
        for axis, (extent, got) in enumerate(zip(i.shape, given, strict=True)):
            if isinstance(extent, int):
                if got != extent:
                    raise PlanError(_mismatch(i, given))
            elif bound.setdefault(extent, (got, f"{i.name}'s axis {axis}"))[0] != got:
                wanted, where = bound[extent]
                raise PlanError(
                    f"{i.name}: expected extent {wanted} on axis {axis} ({extent!r}, as "
                    f"{where} has), got {got}"
                )
    return {
        i.name: TensorSpec(i.dtype, tuple(shapes[i.name]), quantization=i.quantization)
        for i in graph.inputs
    }


def _mismatch(declared: GraphInput, given: tuple[int, ...]) -> str:
    text = f"{declared.name}: expected shape {_shape_text(declared)}, got {given}"
    if declared.fixed:
        text += (
            f": the traced function read a shape that follows from it at {declared.fixed}; with "
            f"runtime.shape_of in place of .shape the extents stay dynamic"
        )
    return text


def _shape_text(declared: GraphInput) -> str:
    return (
        "(" + ", ".join(map(str, declared.shape)) + ("," if len(declared.shape) == 1 else "") + ")"
    )
