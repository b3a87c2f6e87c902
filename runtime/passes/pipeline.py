"""All passes in their order: once for a trace, and once for each combination of shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from runtime.graph import Graph
from runtime.passes.branches import merge_branches
from runtime.passes.common import merge_common
from runtime.passes.constants import fold_constants
from runtime.passes.dead import remove_dead
from runtime.passes.epilogues import split_epilogues
from runtime.passes.fusion import Pays, fuse_epilogues
from runtime.passes.identities import merge_moves, remove_identities
from runtime.passes.images import unroll_images
from runtime.passes.integers import use_integers
from runtime.passes.moves import delay_moves
from runtime.passes.norms import recognise_layer_norm
from runtime.passes.patterns import recognise_activations
from runtime.passes.products import absorb_into_products
from runtime.passes.scales import fold_scales
from runtime.passes.shuffles import recognise_channel_shuffles
from runtime.passes.taps import trim_filters
from runtime.passes.windows import fold_pads, recognise_global_pools
from runtime.specialise import Shapes, Specialised, Specs, constant_spec, problem_of, specialise

__all__ = ["adapt", "prepare"]

_READ_BEFORE = frozenset({"dequantize_linear"})
"""Operators that a pass reads before they are folded."""
_LINEAR: tuple[Callable[[Graph, Specs], Graph], ...] = (
    fold_scales,
    merge_branches,
)
"""What makes work for each other, until nothing is left to fold."""
_ANY_SHAPE: tuple[Callable[[Graph, Specs], Graph], ...] = (recognise_activations,)
_ONE_SHAPE: tuple[Callable[[Graph, Specs], Graph], ...] = (
    remove_identities,
    merge_moves,
    unroll_images,
    delay_moves,
    remove_identities,
    merge_moves,
    remove_identities,
    absorb_into_products,
    remove_identities,
    recognise_channel_shuffles,
    fold_pads,
    trim_filters,
    recognise_global_pools,
    recognise_layer_norm,
)


def prepare(graph: Graph) -> Graph:
    """Apply what holds for any shape: what folds into constants, which all plans share.

    The passes look at ranks, dtypes and constants' shapes alone, which are the
    same for all shapes of the inputs.
    """
    if any(node.epilogue for node in graph.nodes):
        graph = split_epilogues(graph, _example_specs(graph))
    graph = merge_common(fold_constants(remove_dead(graph), kept=_READ_BEFORE))
    if any(node.operator == "quantize_linear" for node in graph.nodes):
        graph = remove_dead(use_integers(graph, _example_specs(graph)))
    graph = merge_common(fold_constants(graph))
    specs = _example_specs(graph)
    before = len(graph.nodes) + 1
    while len(graph.nodes) < before:
        before = len(graph.nodes)
        graph, specs = _applied(_LINEAR, graph, specs)
    return _applied(_ANY_SHAPE, graph, specs)[0]


def _applied(
    passes: Iterable[Callable[[Graph, Specs], Graph]], graph: Graph, specs: Specs
) -> tuple[Graph, Specs]:
    """Return what passes make of a graph, and what is known of its values."""
    for apply in passes:
        graph = remove_dead(apply(graph, specs))
        specs = _completed(graph, specs)
    return graph, specs


def _example_specs(graph: Graph) -> Specs:
    return specialise(graph, {i.name: i.example for i in graph.inputs}).specs


def adapt(graph: Graph, shapes: Shapes, pays: Pays) -> Specialised:
    """Give every value its shape and apply what depends on shapes."""
    made = specialise(graph, shapes)
    graph, specs = remove_dead(made.graph), made.specs
    graph, specs = _applied(_ONE_SHAPE, graph, specs)
    graph = remove_dead(merge_common(graph))
    graph = fuse_epilogues(graph, specs, pays)
    graph = remove_dead(graph)
    return Specialised(graph, _completed(graph, specs))


def _completed(graph: Graph, specs: Specs) -> Specs:
    """Add what the values that a pass made are."""
    missing = [name for name in graph.constants if name not in specs]
    made = {
        name: constant_spec(graph.constants[name], graph.quantizations.get(name))
        for name in missing
    }
    known = {**specs, **made}
    for node in graph.nodes:
        if any(name not in known for name in node.outputs):
            known.update(zip(node.outputs, problem_of(node, known).outputs, strict=True))
    return known
