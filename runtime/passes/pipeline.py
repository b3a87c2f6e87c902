"""All passes in their order: once for a trace, and once for each combination of shapes."""

from __future__ import annotations

from runtime.graph import Graph
from runtime.passes.dead import remove_dead
from runtime.specialise import Shapes, Specialised, specialise

__all__ = ["prepare", "tune"]


def prepare(graph: Graph) -> Graph:
    """Apply what holds for any shape: what folds into constants, which all plans share."""
    return remove_dead(graph)


def tune(graph: Graph, shapes: Shapes) -> Specialised:
    """Give every value its shape and apply what depends on shapes."""
    made = specialise(graph, shapes)
    return Specialised(remove_dead(made.graph), made.specs)
