"""Fuses what follows a convolution or a matrix product into its epilogue."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.arguments import ACTIVATIONS
from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.tensor import TensorSpec
from runtime.graph import Graph, Node, Step
from runtime.passes.epilogues import NUMBERS_OF
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_constant
from runtime.passes.scales import per_channel
from runtime.specialise import Specs, constant_spec

__all__ = ["Pays", "fuse_epilogues", "step_of"]

Pays = Callable[[Node, tuple[Node, ...], Specs], bool]
"""Says whether one node is worth taking in place of several."""


def fuse_epilogues(graph: Graph, specs: Specs, pays: Pays) -> Graph:
    """Return a specialised graph with biases, residuals and activations in epilogues.

    Parameters
    ----------
    graph, specs
        A specialised graph.
    pays
        Asked before each fusion.
    """
    index = Index(graph)
    constants = dict(graph.constants)
    known = dict(specs)
    position = {name: i for i, node in enumerate(graph.nodes) for name in node.outputs}
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        made = node
        bases = [
            (at, index.maker[name])
            for at, name in enumerate(node.inputs)
            if name is not None and name in index.maker and index.used_once(name)
        ]
        # Of two that a sum could go into, the later: the other one is there by then.
        bases.sort(key=lambda b: -position[b[1].outputs[0]])
        for at, base in bases:
            if not operators()[base.operator].epilogue or len(base.outputs) != 1:
                continue
            fused = _fused(base, node, at, known, constants)
            if fused is not None and pays(fused, (base, node), known):
                made = fused
                del nodes[base.outputs[0]]
                break
        for name in made.outputs:
            index.maker[name] = made
        nodes[made.outputs[0]] = made
    return replace(graph, nodes=tuple(nodes.values()), constants=constants)


def _fused(
    base: Node, user: Node, at: int, specs: dict[str, TensorSpec], constants: dict[str, Array]
) -> Node | None:
    """Return `base` with what `user` does to its result, which is input `at` of it."""
    if user.epilogue or not same_result(base, user, specs):
        return None
    step = step_of(user)
    if step is not None and at == 0:
        return replace(base, outputs=user.outputs, epilogue=(*base.epilogue, step))
    if user.operator not in ("add", "mul"):
        return None
    other = user.inputs[1 - at]
    if other is None or other == base.outputs[0]:
        return None
    shape = specs[user.outputs[0]].shape
    if other in constants:
        made = _with_constant(base, user, constants[other], specs, constants)
        if made is not None or constants[other].size != math.prod(shape):
            return made
        other = _of_shape(other, shape, specs, constants)
    if specs[other].shape != shape:
        return None
    return replace(
        base,
        inputs=(*base.inputs, other),
        outputs=user.outputs,
        epilogue=(*base.epilogue, (user.operator, 0.0, 0.0)),
    )


def _of_shape(
    name: str, shape: tuple[int, ...], specs: dict[str, TensorSpec], constants: dict[str, Array]
) -> str:
    """Return a constant of all a result's elements that has the result's dimensions too."""
    if constants[name].shape == shape:
        return name
    made = fresh_constant(constants, f"{name}.operand", constants[name].reshape(shape))
    specs[made] = constant_spec(constants[made])
    return made


def same_result(base: Node, user: Node, specs: Specs) -> bool:
    """Say whether a node's result has the shape and dtype of another's."""
    a, b = specs[base.outputs[0]], specs[user.outputs[0]]
    return a.shape == b.shape and a.dtype == b.dtype


def step_of(node: Node) -> Step | None:
    """Return an activation as a step of an epilogue, None for any other node."""
    if node.operator not in ACTIVATIONS or node.operator == "linear":
        return None
    numbers: Mapping[str, Any] = node.attributes
    first, second = (*NUMBERS_OF.get(node.operator, ()), "", "")[:2]
    alpha, beta = ACTIVATIONS[node.operator]
    if node.operator == "gelu":
        return ("gelu", 1.0 if numbers.get("approximate", "none") == "tanh" else 0.0, 0.0)
    return (
        node.operator,
        float(numbers.get(first, alpha)),
        float(numbers.get(second, beta)),
    )


def _with_constant(
    base: Node,
    user: Node,
    constant: Array,
    specs: dict[str, TensorSpec],
    constants: dict[str, Array],
) -> Node | None:
    """Return `base` with a constant added to its bias, or as a linear step."""
    spec = specs[base.outputs[0]]
    if constant.size == 1 and (base.epilogue or user.operator == "mul"):
        number = float(constant.reshape(()))
        scale, shift = (number, 0.0) if user.operator == "mul" else (1.0, number)
        steps = base.epilogue
        if steps and steps[-1][0] == "linear":
            _, inner_scale, inner_shift = steps[-1]
            scale, shift = inner_scale * scale, inner_shift * scale + shift
            steps = steps[:-1]
        return replace(base, outputs=user.outputs, epilogue=(*steps, ("linear", scale, shift)))
    if user.operator != "add" or base.epilogue or base.operator == "batch_norm":
        return None
    axis = 1 if base.operator.startswith("conv") else -1
    if spec.rank < 2:
        return None
    channels = spec.shape[axis]
    values = per_channel(constant, spec.rank, axis, channels)
    if values is None:
        return None
    bias = base.inputs[2]
    total = np.broadcast_to(values, (channels,))
    if bias is not None:
        if bias not in constants:
            return None
        total = total + constants[bias].astype(np.float64)
    name = fresh_constant(constants, f"{user.outputs[0]}.bias", total.astype(constant.dtype))
    specs[name] = constant_spec(constants[name])
    return replace(base, inputs=(*base.inputs[:2], name), outputs=user.outputs)
