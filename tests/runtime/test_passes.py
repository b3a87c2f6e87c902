"""Each pass for any shape: where it applies, and where it must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from runtime.passes.common import merge_common
from runtime.passes.constants import fold_constants
from runtime.passes.dead import remove_dead
from runtime.passes.identities import merge_moves, remove_identities
from runtime.passes.norms import recognise_layer_norm
from runtime.passes.patterns import recognise_activations
from runtime.passes.pipeline import prepare
from runtime.passes.scales import fold_scales
from runtime.specialise import specialise
from tests.runtime.pass_helpers import (
    C,
    W,
    X,
    array,
    array0,
    check_values,
    graph_of,
    operators,
    positive,
    specialised,
)


def test_dead_code_goes_and_outputs_stay() -> None:
    def f(x: Any) -> Any:
        dispatch.exp(x)
        return dispatch.relu(x), dispatch.reshape(x, runtime.shape_of(x * 2))

    assert operators(graph_of(f)) == ["relu", "mul", "shape", "reshape"]
    assert list(remove_dead(graph_of(lambda x: x)).constants) == []


def test_common_calls_merge() -> None:
    f = graph_of(lambda x: dispatch.exp(x + 1.0) * dispatch.exp(x + 1.0))
    assert operators(merge_common(f)) == ["add", "exp", "mul"]
    g = graph_of(lambda x: dispatch.clip(x, 0.0, 1.0) + dispatch.clip(x, 0.0, 2.0))
    assert operators(merge_common(g)) == ["clip", "clip", "add"]
    swapped = graph_of(lambda x: (x - 2.0) * (2.0 - x))
    assert operators(merge_common(swapped)) == ["sub", "sub", "mul"]


def test_constants_fold() -> None:
    def f(x: Any) -> Any:
        c = x.recorder.record(dispatch.operators()["exp"], (W,), {}, ())
        return dispatch.conv2d(x, c)

    made = fold_constants(graph_of(f))
    assert operators(made) == ["conv2d"]
    (conv,) = made.nodes
    np.testing.assert_allclose(made.constants[conv.inputs[1]], np.exp(W), rtol=1e-6)


def test_constants_that_would_grow_stay() -> None:
    def f(x: Any) -> Any:
        expand = dispatch.operators()["expand"]
        big = x.recorder.record(expand, (np.ones(1, np.float32),), {"shape": (2000, 2000)}, ())
        return big[0, 0] + x

    assert operators(fold_constants(graph_of(f)))[0] == "expand"


SCALES: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "batch_norm": (
        lambda x: dispatch.batch_norm(
            dispatch.conv2d(x, W), C[0].ravel(), C[1].ravel(), C[2].ravel(), abs(C[3].ravel())
        ),
        ["conv2d"],
    ),
    "batch_norm of a transposed convolution": (
        lambda x: dispatch.batch_norm(
            dispatch.conv_transpose2d(x, array0(4, 4, 3, 3), groups=2),
            C[0].ravel(),
            C[1].ravel(),
            C[2].ravel(),
            abs(C[3].ravel()),
        ),
        ["conv_transpose2d"],
    ),
    "arithmetic": (
        lambda x: ((dispatch.conv2d(x, W) * C[0] + C[1]) / 2.0) - C[2],
        ["conv2d"],
    ),
    "arithmetic after a bias": (
        lambda x: 3.0 + dispatch.conv2d(x, W, C[0].ravel()) * C[1],
        ["conv2d"],
    ),
    "linear": (lambda x: dispatch.linear(x, array0(5, 6)) * array0(5) + 1.0, ["linear"]),
    "product": (lambda x: np.matmul(x, array0(6, 5)) * array0(5) + 1.0, ["matmul"]),
    "product by a transposed matrix": (
        lambda x: (
            dispatch.matmul(x, array0(5, 6), array0(5), transpose_b=True, alpha=0.5) * array0(5)
            - array0(1, 5)
        ),
        ["matmul"],
    ),
    "transposed": (
        lambda x: (
            dispatch.transpose(np.matmul(x, array0(6, 5)) + C[0][:5, 0, 0], (0, 3, 1, 2)) * C[1][:5]
        ),
        ["matmul", "transpose"],
    ),
    "transposed twice, and divided": (
        lambda x: dispatch.relu(
            dispatch.transpose(
                dispatch.transpose(dispatch.conv2d(x, W), (1, 0, 2, 3)), (2, 3, 0, 1)
            )
            / C[1][:, 0]
        ),
        ["conv2d", "transpose", "transpose", "relu"],
    ),
    "transposed and normalised": (
        lambda x: dispatch.batch_norm(
            dispatch.transpose(np.matmul(x, array0(6, 8)), (0, 3, 1, 2)),
            *(abs(c.ravel()) for c in C),
        ),
        ["matmul", "transpose"],
    ),
    "normalised along another axis": (
        lambda x: dispatch.batch_norm(
            dispatch.transpose(dispatch.conv2d(x, array0(8, 4, 1, 3)), (0, 2, 1, 3)),
            *(abs(array0(6)) for _ in range(4)),
        ),
        ["conv2d", "transpose", "batch_norm"],
    ),
    "transposed, along another axis": (
        lambda x: dispatch.transpose(np.matmul(x, array0(6, 4)), (0, 3, 1, 2)) * array0(4, 1),
        ["matmul", "transpose", "mul"],
    ),
    "transposed for two": (
        lambda x: (
            (y := dispatch.transpose(np.matmul(x, array0(6, 5)), (0, 3, 1, 2))) * C[0][:5] + y
        ),
        ["matmul", "transpose", "mul", "add"],
    ),
    "product of two": (
        lambda x: np.matmul(x, dispatch.relu(x)) * array0(6),
        ["relu", "matmul", "mul"],
    ),
    "product by many matrices": (
        lambda x: np.matmul(x, array0(4, 6, 5)) * array0(5),
        ["matmul", "mul"],
    ),
    "groups": (lambda x: dispatch.conv2d(x, W[:, :1], groups=4) * C[0], ["conv2d"]),
    "used twice": (
        lambda x: (y := dispatch.conv2d(x, W)) * C[0] + y,
        ["conv2d", "mul", "add"],
    ),
    "along another axis": (
        lambda x: dispatch.conv2d(x, W) * array0(4, 4),
        ["conv2d", "mul"],
    ),
    "more dimensions": (lambda x: dispatch.conv2d(x, W) * array0(1, 1, 1, 1, 1), ["conv2d", "mul"]),
    "a batch of constants": (
        lambda x: dispatch.conv2d(x, W) + array0(2, 8, 1, 1),
        ["conv2d", "add"],
    ),
    "constant minus": (lambda x: 1.0 - dispatch.conv2d(x, W), ["conv2d", "sub"]),
    "activation between": (
        lambda x: dispatch.relu(dispatch.conv2d(x, W)) * C[0],
        ["conv2d", "relu", "mul"],
    ),
    "activation inside": (
        lambda x: dispatch.conv2d(x, W, activation="relu") * C[0],
        ["conv2d+relu", "mul"],
    ),
}


@pytest.mark.parametrize("name", SCALES)
def test_scales_fold_into_weights(name: str) -> None:
    function, wanted = SCALES[name]
    graph = graph_of(function)
    specs = specialise(graph, {i.name: i.example for i in graph.inputs}).specs
    assert operators(fold_scales(graph, specs)) == wanted
    check_values(function)


RESHAPED: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "heads apart": (
        lambda x: dispatch.reshape(np.matmul(x, array0(6, 8)), (1, 24, 8, 1)) * array0(8, 1),
        ["matmul", "reshape"],
    ),
    "rows in one, transposed": (
        lambda x: dispatch.transpose(
            dispatch.reshape(np.matmul(x, array0(6, 5)), (1, 24, 5)), (0, 2, 1)
        )
        * array0(5, 1),
        ["matmul", "reshape", "transpose"],
    ),
    "channels apart": (
        lambda x: dispatch.reshape(np.matmul(x, array0(6, 8)), (1, 24, 4, 2)) * array0(2),
        ["matmul", "reshape", "mul"],
    ),
    "channels apart, one number": (
        lambda x: dispatch.reshape(np.matmul(x, array0(6, 8)), (1, 24, 4, 2)) * 3.0,
        ["matmul", "reshape"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RESHAPED)
def test_scales_fold_through_reshapes_of_known_extents(name: str) -> None:
    function, wanted = RESHAPED[name]
    dynamic = graph_of(function)
    fixed = replace(dynamic, inputs=tuple(replace(i, shape=i.example) for i in dynamic.inputs))
    for graph, names in ((fixed, wanted), (dynamic, operators(dynamic))):
        specs = specialise(graph, {i.name: i.example for i in graph.inputs}).specs
        assert operators(fold_scales(graph, specs)) == names
    check_values(function)


ROOT = np.float32((2 / np.pi) ** 0.5)
PATTERNS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "hard_swish, product first": (
        lambda x: (x * dispatch.clip(x + 3.0, 0.0, 6.0)) / 6.0,
        ["hard_swish"],
    ),
    "hard_swish, clip first": (
        lambda x: x * (dispatch.clip(3.0 + x, 0.0, 6.0) * (1 / 6)),
        ["hard_swish"],
    ),
    "hard_swish of hard_sigmoid": (
        lambda x: dispatch.hard_sigmoid(x, alpha=1 / 6) * x,
        ["hard_swish"],
    ),
    "another slope": (
        lambda x: dispatch.hard_sigmoid(x) * x,
        ["hard_sigmoid", "mul"],
    ),
    "another bound": (
        lambda x: (x * dispatch.clip(x + 3.0, 0.0, 5.0)) / 6.0,
        ["add", "clip", "mul", "div"],
    ),
    "another input": (
        lambda x: (dispatch.exp(x) * dispatch.clip(x + 3.0, 0.0, 6.0)) / 6.0,
        ["exp", "add", "clip", "mul", "div"],
    ),
    "hard_sigmoid": (lambda x: dispatch.clip(x * 0.25 + 0.5, 0.0, 1.0), ["hard_sigmoid"]),
    "hard_sigmoid by division": (
        lambda x: dispatch.clip(x - 1.0, 0.0, 4.0) / 4.0,
        ["hard_sigmoid"],
    ),
    "not a hard_sigmoid": (
        lambda x: dispatch.clip(x + 1.0, -1.0, 1.0) / 4.0,
        ["add", "clip", "div"],
    ),
    "silu": (lambda x: dispatch.sigmoid(x) * x, ["silu"]),
    "sigmoid of another": (
        lambda x: dispatch.sigmoid(x + 1.0) * x,
        ["add", "sigmoid", "mul"],
    ),
    "gelu": (lambda x: x * 0.5 * (dispatch.erf(x / np.float32(2**0.5)) + 1.0), ["gelu"]),
    "gelu, factors in another order": (
        lambda x: 0.5 * (x * (1.0 + dispatch.erf(x * np.float32(0.5**0.5)))),
        ["gelu"],
    ),
    "gelu of a product": (
        lambda x: (y := x * dispatch.exp(x)) * 0.5 * (dispatch.erf(y / np.float32(2**0.5)) + 1.0),
        ["exp", "mul", "gelu"],
    ),
    "gelu by tanh": (
        lambda x: 0.5 * (x * (1.0 + dispatch.tanh(ROOT * (x + 0.044715 * (x * (x * x)))))),
        ["gelu"],
    ),
    "gelu by tanh, a power": (
        lambda x: x * 0.5 * (dispatch.tanh((x + x**3.0 * 0.044715) * ROOT) + 1.0),
        ["gelu"],
    ),
    "gelu by tanh, x outside": (
        lambda x: 0.5 * x * (1.0 + dispatch.tanh(x * ROOT * (1.0 + 0.044715 * x * x))),
        ["gelu"],
    ),
    "another cubic": (
        lambda x: x * 0.5 * (dispatch.tanh((x + x**3.0 * 0.0447) * ROOT) + 1.0),
        ["mul", "pow", "mul", "add", "mul", "tanh", "add", "mul"],
    ),
    "a square for the cube": (
        lambda x: x * 0.5 * (dispatch.tanh((x + x * x * 0.044715) * ROOT) + 1.0),
        ["mul", "mul", "mul", "add", "mul", "tanh", "add", "mul"],
    ),
    "a gelu's square": (
        lambda x: x * 0.5 * x * (dispatch.erf(x / np.float32(2**0.5)) + 1.0),
        ["mul", "mul", "div", "erf", "add", "mul"],
    ),
    "a gelu of something else": (
        lambda x: dispatch.exp(x) * 0.5 * (dispatch.erf(x / np.float32(2**0.5)) + 1.0),
        ["exp", "mul", "div", "erf", "add", "mul"],
    ),
    "not a gelu": (
        lambda x: x * 0.5 * (dispatch.erf(x / 2.0) + 1.0),
        ["mul", "div", "erf", "add", "mul"],
    ),
    "relu": (lambda x: np.maximum(x, 0.0), ["relu"]),
    "relu6": (lambda x: np.minimum(np.maximum(x, 0.0), 6.0), ["clip"]),
    "bounds": (lambda x: np.minimum(np.maximum(x, -1.0), 1.0), ["clip"]),
    "bounds by arrays": (
        lambda x: np.maximum(x, array0(6)),
        ["maximum"],
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_activations_are_recognised(name: str) -> None:
    function, wanted = PATTERNS[name]
    graph = graph_of(function)
    specs = specialise(graph, {i.name: i.example for i in graph.inputs}).specs
    made = merge_common(recognise_activations(graph, specs))
    made = recognise_activations(remove_dead(made), specs)
    assert operators(made) == wanted
    check_values(function)


def normalise(x: Any, axis: int = -1, epsilon: float = 1e-5) -> Any:
    apart = x - x.mean(axis=axis, keepdims=True)
    return apart / np.sqrt((apart**2).mean(axis=axis, keepdims=True) + np.float32(epsilon))


def test_layer_norm_is_recognised() -> None:
    scale, bias = positive(6), array(6)
    for f, wanted in (
        (lambda x: normalise(x) * scale + bias, ["layer_norm"]),
        (lambda x: bias + scale * normalise(x), ["layer_norm"]),
        (lambda x: normalise(x) * scale, ["layer_norm"]),
        (lambda x: normalise(x, axis=1) * scale, None),
        (lambda x: normalise(x) * 2.0, None),
    ):
        graph, specs = specialised(f)
        made = operators(recognise_layer_norm(graph, specs))
        assert made == wanted if wanted else "layer_norm" not in made
        check_values(f)


IDENTITIES: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "reshape to itself": (lambda x: dispatch.reshape(x, (1, 4, 6, -1)) + 1.0, ["add"]),
    "reshape": (lambda x: dispatch.reshape(x, (4, 36)) + 1.0, ["reshape", "add"]),
    "cast to itself": (lambda x: dispatch.cast(x, "float32") + 1.0, ["add"]),
    "pad by nothing": (lambda x: np.pad(x, 0) + 1.0, ["add"]),
    "the whole slice": (lambda x: x[:, 0:100] + 1.0, ["add"]),
    "the whole, backwards": (lambda x: x[:, ::-1] + 1.0, ["slice", "add"]),
    "expand to itself": (lambda x: dispatch.expand(x, (4, 1, 1)) + 1.0, ["add"]),
    "transpose of nothing": (lambda x: dispatch.transpose(x, (0, 1, 2, 3)) + 1.0, ["add"]),
    "one part": (lambda x: dispatch.concat([x], axis=1) + 1.0, ["add"]),
    "no bounds": (lambda x: dispatch.clip(x, -np.inf, np.inf) + 1.0, ["add"]),
    "back and forth": (lambda x: x.transpose(0, 2, 3, 1).transpose(0, 3, 1, 2) + 1.0, ["add"]),
    "two transposes": (
        lambda x: x.transpose(0, 2, 3, 1).transpose(0, 2, 1, 3) + 1.0,
        ["transpose", "add"],
    ),
    "two reshapes": (lambda x: x.reshape(4, 36).reshape(2, 72) + 1.0, ["reshape", "add"]),
    "axes of one": (lambda x: x.transpose(1, 0, 2, 3) + 1.0, ["reshape", "add"]),
}


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_go_and_moves_merge(name: str) -> None:
    function, wanted = IDENTITIES[name]
    graph, specs = specialised(function)
    for apply in (remove_identities, merge_moves, remove_identities):
        graph = apply(graph, specs)
    assert operators(graph) == wanted
    check_values(function)


def test_integers_of_what_is_made_of_integers_are_known() -> None:
    integers = array(2, 3).astype(np.int8)

    def function(x: Any) -> Any:
        q = dispatch.quantized(x, 0.1, 3)
        again = dispatch.quantized(q.values, 0.2, 5)
        return dispatch.lookup(again.values, np.arange(256).astype(np.uint8))

    graph, specs = specialised(function, integers)
    assert operators(remove_identities(graph, specs)) == ["lookup"]
    check_values(function, integers)


def test_prepare_keeps_references() -> None:
    def g(x: Any) -> Any:
        s = runtime.shape_of(x)
        return dispatch.reshape(x, np.stack([s[0] * s[1], s[2] * s[3]])) + 1.0

    graph = prepare(graph_of(g))
    assert "shape" in [n.operator for n in graph.nodes]
    replay = runtime.trace(g, X).compile()
    assert replay(array(2, 3, 4, 5)).shape == (6, 20)
