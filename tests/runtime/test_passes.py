"""Each pass: where it applies, and where it must not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from runtime.graph import Graph, Node
from runtime.passes.common import merge_common
from runtime.passes.constants import fold_constants
from runtime.passes.dead import remove_dead
from runtime.passes.epilogues import split_epilogues
from runtime.passes.fusion import fuse_epilogues
from runtime.passes.identities import merge_moves, remove_identities
from runtime.passes.norms import recognise_layer_norm
from runtime.passes.patterns import recognise_activations
from runtime.passes.pipeline import prepare
from runtime.passes.reshapes import delay_reshapes
from runtime.passes.scales import fold_scales
from runtime.passes.shuffles import recognise_channel_shuffles
from runtime.passes.taps import trim_filters
from runtime.passes.windows import fold_pads, recognise_global_pools
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


def array0(*shape: int) -> Any:
    return np.random.default_rng(11).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("name", SCALES)
def test_scales_fold_into_weights(name: str) -> None:
    function, wanted = SCALES[name]
    graph = graph_of(function)
    specs = specialise(graph, {i.name: i.example for i in graph.inputs}).specs
    assert operators(fold_scales(graph, specs)) == wanted
    check_values(function)


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


def shuffled(x: Any, *between: int, permutation: Any = (0, 2, 1, 3, 4), shape: Any = None) -> Any:
    y = dispatch.transpose(dispatch.reshape(x, between), permutation)
    return dispatch.reshape(y, x.shape if shape is None else shape)


MANY = array(2, 12, 3, 5)
SHUFFLES: dict[str, tuple[Callable[..., Any], Any, int | None]] = {
    "images": (lambda x: shuffled(x, 2, 3, 4, 3, 5), MANY, 3),
    "groups of two": (lambda x: shuffled(x, 2, 6, 2, 3, 5), MANY, 6),
    "pixels in one": (lambda x: shuffled(x, 2, 3, 4, 15, permutation=(0, 2, 1, 3)), MANY, 3),
    "one image": (lambda x: shuffled(x, 2, 2, 6, 6, permutation=(1, 0, 2, 3)), X, 2),
    "channels in two axes": (
        lambda x: shuffled(x, 2, 2, 2, 3, 15, permutation=(0, 3, 1, 2, 4)), MANY, 4
    ),
    "rows": (lambda x: shuffled(x[:, :, 0, 0], 2, 4, 3, permutation=(0, 2, 1)), MANY, 4),
    "pixels too": (lambda x: shuffled(x, 2, 3, 4, 3, 5, permutation=(0, 2, 1, 4, 3)), MANY, None),
    "pixels alone": (lambda x: shuffled(x, 2, 12, 3, 5, permutation=(0, 1, 3, 2)), MANY, None),
    "images exchanged": (
        lambda x: shuffled(x, 2, 12, 3, 5, permutation=(1, 0, 2, 3)), MANY, None
    ),
    "part of the pixels": (lambda x: shuffled(x, 2, 4, 9, 5, permutation=(0, 2, 1, 3)), MANY, None),
    "another shape": (lambda x: shuffled(x, 2, 3, 4, 3, 5, shape=(2, 12, 15)), MANY, None),
}  # fmt: skip


@pytest.mark.parametrize("name", SHUFFLES)
def test_channel_shuffles_are_recognised(name: str) -> None:
    function, x, groups = SHUFFLES[name]

    def whole(x: Any) -> Any:
        return function(x) + 1.0

    graph, specs = specialised(whole, x)
    made = remove_dead(recognise_channel_shuffles(graph, specs))
    found = [n.attributes["groups"] for n in made.nodes if n.operator == "channel_shuffle"]
    assert found == ([] if groups is None else [groups])
    if groups is not None:
        assert not {"reshape", "transpose"} & set(operators(made))
    check_values(whole, x)


def around(*pads: int) -> tuple[tuple[int, int], ...]:
    return ((0, 0), (0, 0), pads[:2], pads[2:])  # type: ignore[return-value]


PADS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "convolution": (lambda x: dispatch.conv2d(np.pad(x, around(1, 2, 0, 1)), W), ["conv2d"]),
    "channels": (
        lambda x: dispatch.conv2d(np.pad(x, ((0, 0), (0, 4), (1, 1), (1, 1))), array0(2, 8, 3, 3)),
        ["pad", "conv2d"],
    ),
    "ones": (
        lambda x: dispatch.conv2d(np.pad(x, around(1, 1, 1, 1), constant_values=1), W),
        ["pad", "conv2d"],
    ),
    "edges": (
        lambda x: dispatch.conv2d(np.pad(x, around(1, 1, 1, 1), "edge"), W),
        ["pad", "conv2d"],
    ),
    "average, counted": (
        lambda x: dispatch.avg_pool2d(np.pad(x, around(1, 1, 1, 1)), 3, count_include_pad=True),
        ["avg_pool2d"],
    ),
    "average, not counted": (
        lambda x: dispatch.avg_pool2d(np.pad(x, around(1, 1, 1, 1)), 3),
        ["pad", "avg_pool2d"],
    ),
    "maximum": (
        lambda x: dispatch.max_pool2d(np.pad(x, around(1, 1, 1, 1)), 3),
        ["pad", "max_pool2d"],
    ),
}


@pytest.mark.parametrize("name", PADS)
def test_padding_moves_into_windows(name: str) -> None:
    function, wanted = PADS[name]
    graph, specs = specialised(function)
    assert operators(fold_pads(graph, specs)) == wanted
    check_values(function)


TRIMS: dict[str, tuple[tuple[int, ...], tuple[int, int], dict[str, Any], tuple[int, int]]] = {
    "one pixel": ((2, 4, 1, 1), (3, 3), {"pads": 1}, (1, 1)),
    "a line": ((1, 4, 1, 9), (3, 3), {"pads": 1}, (1, 3)),
    "dilated beyond the image": ((1, 4, 5, 7), (3, 3), {"pads": 6, "dilations": 6}, (1, 3)),
    "one side": ((1, 4, 2, 2), (4, 4), {"pads": (3, 0, 0, 3), "strides": 9}, (1, 2)),
    "all seen": ((1, 4, 2, 2), (3, 3), {"pads": 1}, (3, 3)),
    "strides jump over": ((1, 4, 8, 8), (3, 3), {"pads": 1, "strides": 4}, (3, 3)),
    "nothing is seen": ((1, 4, 1, 1), (2, 2), {"pads": (0, 3, 3, 0), "strides": 9}, (1, 2)),
    "padding that would be negative": ((1, 4, 1, 1), (2, 1), {"pads": (1, 0, 2, 0)}, (2, 1)),
}


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("name", TRIMS)
def test_filters_are_as_large_as_what_they_see(name: str, groups: int) -> None:
    shape, kernel, given, wanted = TRIMS[name]
    w, x = array(6, 4 // groups, *kernel), array(*shape)

    def f(x: Any) -> Any:
        return dispatch.conv2d(x, w, groups=groups, **given)

    graph, specs = specialised(f, x)
    (node,) = trim_filters(graph, specs).nodes
    trimmed = trim_filters(graph, specs).constants[str(node.inputs[1])]
    assert trimmed.shape[2:] == wanted
    made, _ = specialise_again(trim_filters(graph, specs))
    assert remove_dead(made).nodes[0].outputs == node.outputs
    check_values(f, x)


def test_filters_with_infinite_weights_stay() -> None:
    w = array(6, 4, 3, 3)
    w[0, 0, 0, 0] = np.inf
    graph, specs = specialised(lambda x: dispatch.conv2d(x, w, pads=1), array(1, 4, 1, 1))
    assert trim_filters(graph, specs).nodes == graph.nodes


LINES = array(5, 4, 3)


def lines(x: Any) -> Any:
    """A convolution of lines, as importers write it."""
    images = np.reshape(x, (*x.shape[:2], 1, x.shape[2]))
    return np.reshape(dispatch.conv2d(images, LINES[:, :, None], pads=(0, 1, 0, 1)), (2, 5, 9))


DELAYS: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "an activation": (
        lambda x, r: dispatch.relu(lines(x)),
        ["reshape", "conv2d", "relu", "reshape"],
    ),
    "a sum": (
        lambda x, r: dispatch.relu(lines(x) + lines(x + 1.0)),
        ["reshape", "conv2d", "add", "reshape", "conv2d", "add", "relu", "reshape"],
    ),
    "another operand": (
        lambda x, r: lines(x) + r,
        ["reshape", "conv2d", "reshape", "add"],
    ),
    "twice the same": (
        lambda x, r: (y := lines(x)) + y,
        ["reshape", "conv2d", "reshape", "add"],
    ),
    "used elsewhere": (
        lambda x, r: dispatch.relu(y := lines(x)) * dispatch.exp(y),
        ["reshape", "conv2d", "reshape", "relu", "exp", "mul"],
    ),
    "nothing to join": (
        lambda x, r: dispatch.relu(np.reshape(dispatch.exp(x), (4, 18))),
        ["exp", "reshape", "relu"],
    ),
}


@pytest.mark.parametrize("name", DELAYS)
def test_reshapes_wait_for_what_joins_an_epilogue(name: str) -> None:
    function, wanted = DELAYS[name]
    x, r = array(2, 4, 9), array(2, 5, 9)
    graph, specs = specialised(function, x, r)
    assert operators(delay_reshapes(graph, specs)) == wanted
    check_values(function, x, r)


def test_convolutions_of_lines_are_one_step_each() -> None:
    x = array(2, 4, 9)
    more = array(3, 5, 3)

    def f(x: Any) -> Any:
        y = np.reshape(dispatch.relu(lines(x)), (2, 5, 1, 9))
        return np.reshape(dispatch.relu(dispatch.conv2d(y, more[:, :, None])), (2, 3, 7))

    steps = [row.operator for row in runtime.trace(f, x).compile().explain().rows]
    assert [step for step in steps if step != "reorder"] == ["conv2d+relu", "conv2d+relu"]
    check_values(f, x)


def test_means_of_images_are_pools() -> None:
    for f, wanted in (
        (lambda x: x.mean(axis=(2, 3), keepdims=True) + 1.0, ["global_avg_pool2d", "add"]),
        (lambda x: x.mean(axis=(2, 3)) + 1.0, ["global_avg_pool2d", "reshape", "add"]),
        (lambda x: x.mean(axis=(1, 2)) + 1.0, ["mean", "add"]),
        (lambda x: x[0].mean(axis=(1, 2)) + 1.0, ["gather", "mean", "add"]),
    ):
        graph, specs = specialised(f)
        assert operators(recognise_global_pools(graph, specs)) == wanted
        check_values(f)


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


def test_prepare_keeps_references() -> None:
    def g(x: Any) -> Any:
        s = runtime.shape_of(x)
        return dispatch.reshape(x, np.stack([s[0] * s[1], s[2] * s[3]])) + 1.0

    graph = prepare(graph_of(g))
    assert "shape" in [n.operator for n in graph.nodes]
    replay = runtime.trace(g, X).compile()
    assert replay(array(2, 3, 4, 5)).shape == (6, 20)
