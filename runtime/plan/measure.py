"""What must be measured so that a plan goes by measured times: kernels, layouts and reorders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dispatch.context import Settings
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import NCHW
from dispatch.tuning.contest import Contest, contest_of, records_of
from dispatch.tuning.record import Record
from dispatch.tuning.records import records
from dispatch.tuning.tune import Tuning, measure, merged
from runtime.graph import Graph, Node
from runtime.passes.pipeline import adapt
from runtime.plan.options import (
    preferred,
    questions,
    reorder_problem,
    same_bytes,
    transposed_views,
)
from runtime.plan.payoff import cheaper
from runtime.specialise import Shapes, Specialised, Specs, problem_of

__all__ = ["contests", "measure_plan", "records_of_plan"]

ROUNDS = 3
"""How often what was measured may lead to other fusions, whose kernels weren't."""


def contests(graph: Graph, shapes: Shapes, settings: Settings) -> list[Contest]:
    """Return every choice that planning would make, with all that could be chosen.

    Parameters
    ----------
    graph
        Prepared for any shape.
    shapes
        Of its inputs.
    settings
        In force, too.
    """
    asked: dict[Problem, None] = {}
    pays = cheaper(settings)

    def watching(fused: Node, parts: tuple[Node, ...], specs: Specs) -> bool:
        asked.update((problem_of(node, specs), None) for node in (fused, *parts))
        return pays(fused, parts, specs)

    made = adapt(graph, shapes, watching)
    nodes = [
        (node, problem_of(node, made.specs))
        for node in made.graph.nodes
        if node.epilogue or not operators()[node.operator].view
    ]
    layouts = frozenset[str]().union(*(preferred(p, settings) for _, p in nodes))
    chosen = {p: contest_of(p, settings, questions(p, layouts)) for _, p in nodes}
    found = {
        p: contest_of(p, settings, questions(p, frozenset())) for p in asked if p not in chosen
    }
    reorders = dict.fromkeys(_reorders(made, nodes, chosen))
    return [*chosen.values(), *found.values(), *(contest_of(p, settings) for p in reorders)]


def _reorders(
    made: Specialised, nodes: Sequence[tuple[Node, Problem]], chosen: dict[Problem, Contest]
) -> Iterator[Problem]:
    """Yield the reorders that may lie between the nodes' layouts."""
    makers: dict[str, set[str]] = {}
    users: dict[str, set[str]] = {name: {NCHW} for _, name in made.graph.outputs}
    for node, problem in nodes:
        settled = [contestant.problem for contestant in chosen[problem].contestants]
        for each in (*settled, *(view.problem for view in transposed_views(problem))):
            inputs, outputs = each.inputs, each.outputs
            for name, tensor in zip(node.outputs, outputs, strict=True):
                makers.setdefault(name, set()).add(tensor.layout)
            for used, spec in zip(node.inputs, inputs, strict=True):
                if used is not None and spec is not None and not spec.constant:
                    users.setdefault(used, set()).add(spec.layout)
    for name, wanted in users.items():
        spec = made.specs[name]
        # Inputs and views are dense.
        for there in sorted(makers.get(name, {NCHW})):
            tensor = spec.with_layout(there)
            for layout in sorted(wanted - {there}):
                if not same_bytes(tensor, layout):
                    yield reorder_problem(tensor, layout, nodes[0][1])


def measure_plan(
    graph: Graph,
    shapes: Shapes,
    settings: Settings,
    *,
    seconds: float,
    again: bool,
    progress: bool | None,
) -> Tuning:
    """Measure all that planning a graph chooses between."""
    done = measure(
        contests(graph, shapes, settings), seconds=seconds, again=again, progress=progress
    )
    for _ in range(ROUNDS - 1):
        if done.left:
            break
        more = measure(contests(graph, shapes, settings), seconds=seconds, progress=progress)
        done = merged(done, more)
        if not more.measured:
            break
    return done


def records_of_plan(graph: Graph, shapes: Shapes, settings: Settings) -> list[Record]:
    """Return the records that there are of what planning a graph chooses between."""
    return [r for c in contests(graph, shapes, settings) for r in records_of(c, records())]
