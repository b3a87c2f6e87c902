"""A graph run call by call: each node is one eager call of the public operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dispatch.arguments import Epilogue
from dispatch.call import call
from dispatch.constant import constant
from dispatch.operator import Array
from dispatch.operators import operators
from runtime.graph import Graph
from runtime.specialise import specialise

__all__ = ["eager_function"]


def eager_function(graph: Graph, inputs: Mapping[str, Array]) -> Callable[[], list[Array]]:
    """Return a function that makes every call of a graph, one after the other.

    Parameters
    ----------
    graph
        Any graph; its constants are marked as such, so that they are packed once.
    inputs
        By name; their shapes are the ones that all calls are made with.
    """
    exact = specialise(graph, {name: array.shape for name, array in inputs.items()}).graph
    used = {name for node in exact.nodes for name in node.inputs if name is not None}
    held = {name: constant(array) for name, array in exact.constants.items() if name in used}
    known = operators()
    calls: list[Callable[[dict[str, Any]], None]] = []
    last: dict[str, int] = {}
    for index, node in enumerate(exact.nodes):
        last.update((name, index) for name in node.inputs if name is not None)
    kept = {value for _, value in exact.outputs} | set(held) | set(inputs)
    for index, node in enumerate(exact.nodes):
        done = [n for n in set(filter(None, node.inputs)) if last[n] == index and n not in kept]
        calls.append(_call(known[node.operator], node, done))

    def run() -> list[Array]:
        values: dict[str, Any] = {**held, **inputs}
        for make in calls:
            make(values)
        return [np.asarray(values[value]) for _, value in exact.outputs]

    return run


def _call(operator: Any, node: Any, done: list[str]) -> Callable[[dict[str, Any]], None]:
    """Return what makes one node's call on the values so far, and forgets those not needed."""
    attributes = tuple(
        node.attributes.get(name, default) for name, default in operator.attributes.items()
    )
    epilogue = Epilogue(node.epilogue, ()) if node.epilogue else None

    def make(values: dict[str, Any]) -> None:
        taken = tuple(None if name is None else values[name] for name in node.inputs)
        result = call(operator, taken, attributes, None, epilogue)
        if len(node.outputs) == 1:
            values[node.outputs[0]] = result
        else:
            values.update(zip(node.outputs, result, strict=True))
        for name in done:
            del values[name]

    return make
