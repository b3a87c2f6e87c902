"""Graphs for the tests of passes, and what these compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import runtime
from runtime.graph import Graph
from runtime.passes.dead import remove_dead
from runtime.specialise import specialise

RNG = np.random.default_rng(3)


def array(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> Any:
    return (RNG.random(shape) + 0.5).astype(np.float32)


X = array(1, 4, 6, 6)
W = array(8, 4, 3, 3)
C = [array(8, 1, 1) for _ in range(4)]


def graph_of(function: Callable[..., Any], *examples: Any) -> Graph:
    return runtime.trace(lambda *x: function(*x), *(examples or (X,))).graph


def specialised(function: Callable[..., Any], *examples: Any) -> Any:
    return specialise_again(graph_of(function, *examples))


def specialise_again(graph: Graph) -> Any:
    made = specialise(graph, {i.name: i.example for i in graph.inputs})
    return made.graph, made.specs


def operators(graph: Graph) -> list[str]:
    return [
        n.operator + "".join(f"+{step[0]}" for step in n.epilogue) for n in remove_dead(graph).nodes
    ]


def check_values(function: Callable[..., Any], *examples: Any) -> None:
    """The whole road keeps the values."""
    inputs = examples or (X,)
    expected = function(*inputs)
    got = runtime.trace(lambda *x: function(*x), *inputs).compile()(*inputs)
    np.testing.assert_allclose(got, expected, rtol=2e-4, atol=2e-5)


def array0(*shape: int) -> Any:
    return np.random.default_rng(11).standard_normal(shape).astype(np.float32)
