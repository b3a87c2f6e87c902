"""Kernels and layouts for a whole graph: the cheapest choice, reorders counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dispatch.answer import Yes
from dispatch.context import Settings
from dispatch.errors import NoKernel
from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import NCHW, TensorSpec
from runtime.graph import Graph, Node
from runtime.plan.assign import assign
from runtime.plan.options import (
    Option,
    contiguous,
    has_layout,
    options,
    preferred,
    reorder_cost,
    transposed_views,
)
from runtime.specialise import Specs, problem_of

__all__ = ["Choice", "choose"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A node and what will run it."""

    node: Node
    option: Option


def choose(graph: Graph, specs: Specs, settings: Settings) -> list[Choice]:
    """Choose a kernel and layouts for every node; inputs and outputs of the graph are nchw.

    Raises
    ------
    NoKernel, FallbackRefused
        If nothing serves a node; names it.
    """
    problems = [problem_of(node, specs) for node in graph.nodes]
    # Asked for in every node: what at least one kernel would rather have, or makes a view.
    layouts = frozenset[str]().union(*(preferred(p, settings) for p in problems))
    choices = [
        _options(node, problem, layouts, settings)
        for node, problem in zip(graph.nodes, problems, strict=True)
    ]
    producer = {
        name: (index, position)
        for index, node in enumerate(graph.nodes)
        for position, name in enumerate(node.outputs)
    }
    costs = [np.array([_cost(o) for o in c]) for c in choices]
    edges: dict[tuple[int, int], Array] = {}
    for index, node in enumerate(graph.nodes):
        for position, name in enumerate(node.inputs):
            if name is None:
                continue
            made = producer.get(name)
            if made is None:
                for at, option in enumerate(choices[index]):
                    costs[index][at] += _reorder(specs[name], NCHW, option, position, settings)
                continue
            cost = _edge(choices[made[0]], made[1], choices[index], position, settings)
            if cost is not None:
                key = (made[0], index)
                edges[key] = cost if key not in edges else edges[key] + cost
    for _, name in graph.outputs:
        if name in producer:
            index, position = producer[name]
            for at, option in enumerate(choices[index]):
                tensor = option.problem.outputs[position]
                costs[index][at] += reorder_cost(tensor, NCHW, option.problem, settings)
    chosen = assign(costs, edges)
    return [Choice(node, choices[index][chosen[index]]) for index, node in enumerate(graph.nodes)]


def _options(
    node: Node, problem: Problem, layouts: frozenset[str], settings: Settings
) -> Sequence[Option]:
    if operators()[node.operator].view and not node.epilogue:
        return _views(problem, layouts)
    try:
        return *transposed_views(problem), *options(problem, layouts, settings)
    except NoKernel as error:
        raise type(error)(f"{node.label or node.outputs[0]}: {error}") from error


def _cost(option: Option) -> float:
    """Return what an option adds to the plan: parts that lie in a row are made where they go."""
    problem = option.problem
    axis = problem.attribute("axis") if problem.operator in ("concat", "split") else None
    if not isinstance(axis, int):
        return option.cost
    wholes, parts = problem.outputs, [t for t in problem.inputs if t is not None]
    if problem.operator == "split":
        wholes, parts = tuple(parts), list(problem.outputs)
    return 0.0 if contiguous(wholes[0], parts, axis) else option.cost


def _views(problem: Problem, layouts: frozenset[str]) -> Sequence[Option]:
    """Return the layouts in which a view's output is its input's bytes."""
    (x,), (y,) = problem.inputs, problem.outputs
    assert x is not None
    free = sorted(layouts - {NCHW}) if x.shape == y.shape and has_layout(x) else []
    return tuple(
        Option(problem.with_layouts((layout, layout)), None, Yes(0.0), 0.0)
        for layout in (NCHW, *free)
    )


def _reorder(
    tensor: TensorSpec, layout: str, option: Option, position: int, settings: Settings
) -> float:
    """Return the cost of giving an option's input a tensor that is there in `layout`."""
    wanted = option.problem.inputs[position]
    assert wanted is not None
    if tensor.constant or wanted.layout == layout:
        return 0.0
    return reorder_cost(tensor.with_layout(layout), wanted.layout, option.problem, settings)


def _edge(
    makers: Sequence[Option],
    output: int,
    users: Sequence[Option],
    position: int,
    settings: Settings,
) -> Array | None:
    """Return the reorders' costs between all options of two nodes; None where all are 0."""
    cost = np.zeros((len(makers), len(users)))
    for i, maker in enumerate(makers):
        tensor = maker.problem.outputs[output]
        for j, user in enumerate(users):
            cost[i, j] = _reorder(tensor, tensor.layout, user, position, settings)
    return cost if cost.any() else None
