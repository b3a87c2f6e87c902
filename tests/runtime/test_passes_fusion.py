"""What is fused into epilogues, and what of them is split before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import dispatch
from runtime.graph import Node
from runtime.passes.epilogues import split_epilogues
from runtime.passes.fusion import fuse_epilogues
from tests.runtime.pass_helpers import (
    C,
    W,
    X,
    array,
    array0,
    check_values,
    operators,
    specialise_again,
    specialised,
)

SAME = array(1, 8, 4, 4)
FUSIONS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "relu": (lambda x, r: dispatch.relu(dispatch.conv2d(x, W)), ["conv2d+relu"]),
    "residual": (lambda x, r: dispatch.conv2d(x, W) + r, ["conv2d+add"]),
    "residual first": (lambda x, r: r + dispatch.conv2d(x, W), ["conv2d+add"]),
    "residual and relu": (
        lambda x, r: dispatch.relu(r + dispatch.conv2d(x, W)),
        ["conv2d+add+relu"],
    ),
    "relu, then residual": (
        lambda x, r: dispatch.relu(dispatch.conv2d(x, W)) + r,
        ["conv2d+relu+add"],
    ),
    "two convolutions": (
        lambda x, r: dispatch.relu(dispatch.conv2d(x, W) + dispatch.conv2d(x * 2.0, W)),
        ["conv2d", "mul", "conv2d+add+relu"],
    ),
    "relu6": (lambda x, r: dispatch.clip(dispatch.conv2d(x, W), 0.0, 6.0), ["conv2d+clip"]),
    "scalars": (
        lambda x, r: (dispatch.relu(dispatch.conv2d(x, W)) * 2.0 + 1.0) * 3.0,
        ["conv2d+relu+linear"],
    ),
    "bias": (lambda x, r: dispatch.conv2d(x, W) + C[0], ["conv2d"]),
    "matmul's bias": (lambda x, r: dispatch.matmul(x, array0(6, 5)) + array0(5), ["matmul"]),
    "a constant of all elements": (
        lambda x, r: dispatch.conv2d(x, W) * array0(1, 8, 4, 4) + array0(8, 4, 4),
        ["conv2d+mul+add"],
    ),
    "a constant of one channel's elements": (
        lambda x, r: dispatch.conv2d(x, W) + array0(4, 4),
        ["conv2d", "add"],
    ),
    "a constant of more dimensions": (
        lambda x, r: dispatch.conv2d(x, W) + array0(1, 1, 8, 4, 4),
        ["conv2d", "add"],
    ),
    "used twice": (
        lambda x, r: dispatch.relu(y := dispatch.conv2d(x, W)) * y,
        ["conv2d", "relu", "mul"],
    ),
    "added to itself": (lambda x, r: (y := dispatch.conv2d(x, W)) + y, ["conv2d", "add"]),
    "broadcast": (lambda x, r: dispatch.conv2d(x, W) + r[:, :, :1], ["conv2d", "slice", "add"]),
    "broadcast to more": (
        lambda x, r: dispatch.conv2d(x, W)[None] + r[None][[0, 0]],
        ["conv2d", "reshape", "reshape", "gather", "add"],
    ),
    "a pool": (lambda x, r: dispatch.relu(dispatch.max_pool2d(x, 2)), ["max_pool2d", "relu"]),
}


@pytest.mark.parametrize("name", FUSIONS)
def test_epilogues(name: str) -> None:
    function, wanted = FUSIONS[name]
    graph, specs = specialised(function, X, SAME)
    assert operators(fuse_epilogues(graph, specs, lambda *_: True)) == wanted
    check_values(function, X, SAME)


ACTIVATIONS: list[Any] = [
    "relu", "sigmoid", "tanh", "silu", "hard_swish", "gelu",
    ("clip", -0.5, 0.75), ("hard_sigmoid", 0.3, 0.4), ("leaky_relu", 0.2, 0.0), ("elu", 0.7, 0.0),
    ("gelu", 1.0, 0.0), ("linear", 1.5, -0.25),
]  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_traced_epilogues_are_split_and_fused_again(activation: Any) -> None:
    def f(x: Any, r: Any) -> Any:
        return dispatch.conv2d(x, W, residual=r, activation=activation)

    graph, specs = specialised(f, X, SAME)
    (traced,) = operators(graph)
    parts = split_epilogues(graph, specs)
    assert not any(node.epilogue for node in parts.nodes)
    assert [node.operator for node in parts.nodes][:2] == ["conv2d", "add"]
    again, specs = specialise_again(parts)
    assert operators(fuse_epilogues(again, specs, lambda *_: True)) == [traced]
    check_values(f, X, SAME)


def test_split_values_have_names_of_their_own() -> None:
    graph, specs = specialised(lambda x: dispatch.conv2d(x, W, activation="relu"))
    (node,) = graph.nodes
    name = node.outputs[0]
    given = graph.inputs[0].name
    other = Node("relu", (given,), (f"{name}.0",))
    graph = replace(graph, nodes=(other, node))
    made = split_epilogues(graph, {**specs, f"{name}.0": specs[given]})
    outputs = [n.outputs[0] for n in made.nodes]
    assert outputs == [f"{name}.0", f"{name}.1", name]


def test_outputs_are_not_fused_away() -> None:
    def f(x: Any) -> Any:
        y = dispatch.conv2d(x, W)
        return y, dispatch.relu(y)

    graph, specs = specialised(f)
    assert operators(fuse_epilogues(graph, specs, lambda *_: True)) == ["conv2d", "relu"]


def test_fusions_that_do_not_pay_are_left() -> None:
    graph, specs = specialised(lambda x: dispatch.relu(dispatch.conv2d(x, W)))
    assert operators(fuse_epilogues(graph, specs, lambda *_: False)) == ["conv2d", "relu"]
