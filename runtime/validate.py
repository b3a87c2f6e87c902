"""Checks a graph that comes from outside."""

from __future__ import annotations

from typing import Any

from dispatch.arguments import ACTIVATIONS
from dispatch.dtypes import SHORT_NAMES
from dispatch.operators import operators
from dispatch.quantization import RANGES, check_quantized
from dispatch.tensor import TensorSpec
from runtime.errors import ArtifactError
from runtime.graph import SHAPE, Graph, GraphInput, Node, Reference
from runtime.specialise import constant_spec

__all__ = ["check_graph"]


def check_graph(graph: Graph) -> None:
    """Check names, arity, order, attributes' kinds; not shapes, which inference checks.

    Raises
    ------
    ArtifactError
        Names what is wrong.
    """
    known: set[str] = set()
    for i in graph.inputs:
        _check_input(i)
        _add(known, i.name)
    for name in graph.constants:
        _add(known, name)
    _check_meanings(graph)
    for node in graph.nodes:
        _check_node(node, known)
        for name in node.outputs:
            _add(known, name)
    if not graph.outputs:
        raise ArtifactError("outputs: expected at least one")
    names = set()
    for name, value in graph.outputs:
        if not isinstance(name, str) or name in names:
            raise ArtifactError(f"outputs: expected different names, got {name!r}")
        names.add(name)
        if value not in known:
            raise ArtifactError(f"output {name!r}: there is no value {value!r}")


def _check_meanings(graph: Graph) -> None:
    """Check what inputs' and constants' integers stand for."""
    for name in graph.quantizations:
        if name not in graph.constants:
            raise ArtifactError(f"quantizations: there is no constant {name!r}")
    meant = [
        (i.name, TensorSpec(i.dtype, i.example, quantization=i.quantization))
        for i in graph.inputs
        if i.quantization is not None
    ]
    meant += [
        (name, constant_spec(graph.constants[name], q)) for name, q in graph.quantizations.items()
    ]
    for name, spec in meant:
        check_quantized("trace", name, spec, -1, tuple(RANGES))


def _add(known: set[str], name: Any) -> None:
    if not isinstance(name, str) or not name:
        raise ArtifactError(f"expected a name, got {name!r}")
    if name in known:
        raise ArtifactError(f"value {name!r} is made twice")
    known.add(name)


def _check_input(i: GraphInput) -> None:
    if i.dtype not in SHORT_NAMES or not isinstance(i.fixed, str):
        raise ArtifactError(f"input {i.name!r}: dtype {i.dtype!r} isn't served")
    if len(i.shape) != len(i.example) or not all(map(_is_extent, i.example)):
        raise ArtifactError(f"input {i.name!r}: expected an extent for each dimension")
    for extent in i.shape:
        if not (_is_extent(extent) or (isinstance(extent, str) and extent)):
            raise ArtifactError(f"input {i.name!r}: expected extents or names, got {extent!r}")


def _is_extent(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def _check_node(node: Node, known: set[str]) -> None:
    if not isinstance(node.label, str) or not isinstance(node.operator, str):
        raise ArtifactError("a node's label and operator: expected texts")
    where = f"node {node.outputs!r} ({node.operator})"
    for name in node.inputs:
        if name is not None and name not in known:
            raise ArtifactError(f"{where}: there is no value {name!r} before it")
    if node.operator == SHAPE:
        if len(node.inputs) != 1 or node.inputs[0] is None or len(node.outputs) != 1:
            raise ArtifactError(f"{where}: expected one input and one output")
        return
    operator = operators().get(node.operator)
    if operator is None:
        raise ArtifactError(f"{where}: there is no such operator")
    operands = 0
    for name, _, _ in node.epilogue:
        operands += name in ("add", "mul")
        if name not in ACTIVATIONS and name not in ("add", "mul"):
            raise ArtifactError(f"{where}: there is no epilogue step {name!r}")
    own = len(node.inputs) - operands
    variadic = bool(operator.inputs) and operator.inputs[-1].variadic
    if own != len(operator.inputs) and not (variadic and own >= len(operator.inputs)):
        raise ArtifactError(f"{where}: expected {len(operator.inputs)} inputs, got {own}")
    if operands and None in node.inputs[own:]:
        raise ArtifactError(f"{where}: an epilogue step lacks its input")
    for name, value in node.attributes.items():
        if name not in operator.attributes:
            raise ArtifactError(f"{where}: there is no attribute {name!r}")
        _check_attribute(f"{where}: {name}", value, known)


def _check_attribute(where: str, value: Any, known: set[str], depth: int = 0) -> None:
    if isinstance(value, Reference):
        if depth or value.value not in known:
            raise ArtifactError(f"{where}: there is no value {value.value!r} before it")
    elif isinstance(value, tuple):
        if depth > 2:
            raise ArtifactError(f"{where}: nested too deeply")
        for entry in value:
            _check_attribute(where, entry, known, depth + 1)
    elif not (value is None or isinstance(value, (bool, int, float, str))):
        raise ArtifactError(f"{where}: got {value!r}")
