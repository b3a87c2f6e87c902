"""Passes that need shapes: channel shuffles, paddings, filters, reshapes, pools."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from runtime.passes.common import merge_common
from runtime.passes.dead import remove_dead
from runtime.passes.identities import merge_moves, remove_identities
from runtime.passes.images import unroll_images
from runtime.passes.moves import delay_moves
from runtime.passes.shuffles import recognise_channel_shuffles
from runtime.passes.taps import trim_filters
from runtime.passes.windows import fold_pads, recognise_global_pools
from tests.runtime.pass_helpers import (
    W,
    X,
    array,
    array0,
    check_values,
    operators,
    specialise_again,
    specialised,
)


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
    assert operators(delay_moves(graph, specs)) == wanted
    check_values(function, x, r)


MATRIX = array(6, 6)


def channels(x: Any, w: Any = MATRIX) -> Any:
    """A product of images' channels, as models write it."""
    return dispatch.transpose(np.matmul(dispatch.transpose(x, (0, 2, 3, 1)), w), (0, 3, 1, 2))


ONE = ["transpose", "matmul"]
TRANSPOSED: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "an activation": (lambda x, r: dispatch.relu(channels(x)), [*ONE, "relu", "transpose"]),
    "a sum": (
        lambda x, r: channels(x) * channels(r),
        [*ONE, *ONE, "mul", "transpose"],
    ),
    "a residual": (
        lambda x, r: channels(x) + r,
        [*ONE, "transpose", "add", "transpose"],
    ),
    "one residual for several products": (
        lambda x, r: channels(channels(x) + r) + r,
        [*ONE, "transpose", "add", "matmul", "add", "transpose"],
    ),
    "an activation behind two moves": (
        lambda x, r: dispatch.relu(np.reshape(channels(x), (2, 6, 20))),
        [*ONE, "relu", "transpose", "reshape"],
    ),
    "a sum behind two moves": (
        lambda x, r: np.reshape(channels(x), (2, 6, 20)) + np.reshape(channels(r), (2, 6, 20)),
        [*ONE, *ONE, "add", "transpose", "reshape"],
    ),
    "a move between, for others too": (
        lambda x, r: (
            dispatch.relu(np.reshape(y := channels(x), (2, 6, 20))) * dispatch.exp(y).sum()
        ),
        [*ONE, "transpose", "relu", "reshape", "exp", "sum", "mul"],
    ),
    "twice the same": (lambda x, r: (y := channels(x)) + y, [*ONE, "transpose", "add"]),
    "used elsewhere": (
        lambda x, r: dispatch.relu(y := channels(x)) * dispatch.exp(y),
        [*ONE, "transpose", "relu", "exp", "mul"],
    ),
    "a constant": (
        lambda x, r: channels(x) + array0(2, 6, 4, 5), [*ONE, "transpose", "add"]
    ),
    "a row": (lambda x, r: channels(x) + r[:, :, :1], [*ONE, "transpose", "slice", "add"]),
    "other axes": (
        lambda x, r: dispatch.transpose(np.matmul(x, array0(5, 5)), (1, 0, 2, 3))
        + dispatch.transpose(r, (1, 0, 2, 3)),
        ["matmul", "add", "transpose"],
    ),
    "other axes each": (
        lambda x, r: dispatch.transpose(np.matmul(x, array0(5, 5)), (1, 0, 2, 3))
        + dispatch.transpose(r[:, :, :, :4].reshape(6, 2, 4, 4), (0, 1, 3, 2))[:, :, :, :1],
        ["matmul", "transpose", "slice", "reshape", "transpose", "slice", "add"],
    ),
    "nothing to join": (
        lambda x, r: dispatch.relu(dispatch.transpose(dispatch.exp(x), (0, 3, 1, 2))),
        ["exp", "transpose", "relu"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSPOSED)
def test_transposes_wait_for_what_joins_an_epilogue(name: str) -> None:
    function, wanted = TRANSPOSED[name]
    x, r = array(2, 6, 4, 5), array(2, 6, 4, 5)
    graph, specs = specialise_again(merge_common(specialised(function, x, r)[0]))
    made, specs = specialise_again(delay_moves(graph, specs))
    made, specs = specialise_again(remove_dead(merge_common(merge_moves(made, specs))))
    assert operators(remove_identities(made, specs)) == wanted
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


def tokens(x: Any, *permutation: int) -> Any:
    return dispatch.transpose(dispatch.reshape(x, (*x.shape[:2], -1)), permutation or (0, 2, 1))


def images(x: Any, *shape: int) -> Any:
    return dispatch.reshape(dispatch.transpose(x, (0, 2, 1)), shape)


ROWS = array(2, 6, 20)
UNROLLED: dict[str, tuple[Callable[..., Any], Any, list[str]]] = {
    "images to tokens": (tokens, array(2, 6, 4, 5), ["transpose", "reshape"]),
    "tokens to images": (lambda x: images(x, 2, 20, 2, 3), ROWS, ["reshape", "transpose"]),
    "both": (
        lambda x: images(np.exp(tokens(x)), 2, 6, 4, 5),
        array(2, 6, 4, 5),
        ["transpose", "reshape", "exp", "reshape", "transpose"],
    ),
    "other axes": (lambda x: tokens(x, 2, 0, 1), array(2, 6, 4, 5), ["reshape", "transpose"]),
    "channels joined too": (
        lambda x: dispatch.transpose(dispatch.reshape(x, (2, 24, 5)), (0, 2, 1)),
        array(2, 6, 4, 5),
        ["reshape", "transpose"],
    ),
    "channels apart": (lambda x: images(x, 2, 4, 5, 6), ROWS, ["transpose", "reshape"]),
    "lines": (
        lambda x: images(x, 2, 20, 6)[:, :, :, None],
        ROWS,
        ["transpose", "reshape", "reshape"],
    ),
    "used elsewhere": (
        lambda x: images(x, 2, 20, 2, 3) * np.exp(dispatch.transpose(x, (0, 2, 1))).sum(),
        ROWS,
        ["transpose", "reshape", "exp", "sum", "mul"],
    ),
}


@pytest.mark.parametrize("name", UNROLLED)
def test_rows_of_pixels_are_transposed_as_images(name: str) -> None:
    function, x, wanted = UNROLLED[name]
    graph, specs = specialise_again(merge_common(specialised(function, x)[0]))
    made, _ = specialise_again(unroll_images(graph, specs))
    assert operators(made) == wanted
    check_values(function, x)
