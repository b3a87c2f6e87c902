"""Convolutions of the same images whose results are added: where they become one, and where not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from runtime.passes.branches import merge_branches
from runtime.passes.dead import remove_dead
from runtime.passes.pipeline import prepare
from runtime.specialise import specialise
from tests.runtime.pass_helpers import array, check_values, graph_of, operators, positive

X = array(2, 8, 7, 9)
B = array(8)
SQUARE, POINT, WIDE = array(8, 8, 3, 3), array(8, 8, 1, 1), array(8, 8, 1, 3)
DEEP, DEEP_POINT, DEEP_LARGE = array(8, 1, 3, 3), array(8, 1, 1, 1), array(8, 1, 5, 5)
HALVES = array(8, 4, 3, 3)
STATISTICS = (positive(8), array(8), array(8), positive(8))


def conv(x: Any, w: Any, pads: Any = 0, **settings: Any) -> Any:
    return dispatch.conv2d(x, w, pads=pads, groups=8 // w.shape[1], **settings)


def norm(x: Any) -> Any:
    return dispatch.batch_norm(x, *STATISTICS)


ONE = ["conv2d"]
BRANCHES: dict[str, tuple[Callable[..., Any], list[str]]] = {
    "filters of one size": (lambda x: conv(x, SQUARE, 1) + conv(x, -2 * SQUARE[::-1], 1), ONE),
    "a pixel in a filter": (lambda x: conv(x, POINT) + conv(x, SQUARE, 1), ONE),
    "a line in a filter": (lambda x: conv(x, SQUARE, 1) - conv(x, WIDE, (0, 1, 0, 1)), ONE),
    "biases": (
        lambda x: dispatch.conv2d(x, SQUARE, B, pads=1) - dispatch.conv2d(x, POINT, 3 * B), ONE
    ),
    "one bias": (lambda x: conv(x, SQUARE, 1) - dispatch.conv2d(x, POINT, B), ONE),
    "the images": (lambda x: conv(x, SQUARE, 1) + x, ONE),
    "the images less": (lambda x: x - conv(x, SQUARE, 1), ONE),
    "the images by channels": (lambda x: x + conv(x, DEEP, 1), ONE),
    "their normalisation": (lambda x: norm(x) - conv(x, SQUARE, 1), ONE),
    "two normalisations": (lambda x: norm(x) + dispatch.batch_norm(x, *STATISTICS[::-1]), ONE),
    "channels' filters": (lambda x: conv(x, DEEP, 1) + conv(x, DEEP_LARGE, 2), ONE),
    "channels' filters in one of all": (lambda x: conv(x, DEEP, 1) + conv(x, SQUARE, 1), ONE),
    "groups in one of all": (lambda x: conv(x, HALVES, 1) + conv(x, SQUARE, 1), ONE),
    "channels in groups": (lambda x: conv(x, DEEP_POINT) + conv(x, HALVES, 1), ONE),
    "strides": (
        lambda x: conv(x, SQUARE, 1, strides=2) + conv(x, POINT, strides=2), ONE
    ),
    "other outputs": (
        lambda x: dispatch.conv2d(x, SQUARE[:3], pads=1) + dispatch.conv2d(x, POINT[:3]), ONE
    ),
    "dilated": (
        lambda x: conv(x, DEEP, 2, dilations=2) + conv(x, DEEP_LARGE, 2), ONE
    ),
    "the images, dilated": (lambda x: x + conv(x, DEEP, 2, dilations=2), ONE),
    "dilated alike": (
        lambda x: conv(x, DEEP, 2, dilations=2) + conv(x, SQUARE, 2, dilations=2), ONE
    ),
    "three": (lambda x: conv(x, POINT) + conv(x, SQUARE, 1) + x, ONE),
    "padding at one end": (
        lambda x: conv(x, SQUARE, (2, 1, 0, 1)) + conv(x, DEEP_LARGE, 2), ["conv2d"] * 2 + ["add"]
    ),
    "dilated between": (
        lambda x: conv(x, SQUARE, 2, dilations=2) + conv(x, DEEP, 1), ["conv2d"] * 2 + ["add"]
    ),
    "a cross": (
        lambda x: conv(x, WIDE, (0, 1, 0, 1)) + conv(x, WIDE.transpose(0, 1, 3, 2), (1, 0, 1, 0)),
        ["conv2d"] * 2 + ["add"],
    ),
    "a larger filter that sees fewer channels": (
        lambda x: conv(x, POINT) + conv(x, DEEP, 1), ["conv2d"] * 2 + ["add"]
    ),
    "other images": (
        lambda x: conv(x, SQUARE, 1) + conv(dispatch.relu(x), SQUARE, 1),
        ["conv2d", "relu", "conv2d", "add"],
    ),
    "used elsewhere": (
        lambda x: (y := conv(x, SQUARE, 1)) + conv(x, POINT) * dispatch.exp(y),
        ["conv2d", "conv2d", "exp", "mul", "add"],
    ),
    "twice the same": (lambda x: (y := conv(x, SQUARE, 1)) + y, ["conv2d", "add"]),
    "an activation": (
        lambda x: dispatch.relu(conv(x, SQUARE, 1)) + conv(x, POINT),
        ["conv2d", "relu", "conv2d", "add"],
    ),
    "weights that are made": (
        lambda x: dispatch.conv2d(x, dispatch.transpose(x[:1, :, :1], (1, 0, 2, 3))[:, :, :, :1],
                                  groups=8) + conv(x, DEEP, 1),
        ["slice", "transpose", "slice", "conv2d", "conv2d", "add"],
    ),
    "one channel for all": (
        lambda x: dispatch.conv2d(x, POINT[:1]) + conv(x, POINT), ["conv2d"] * 2 + ["add"]
    ),
    "another stride": (
        lambda x: (
            dispatch.conv2d(x[:, :, :1, :1], POINT)
            + dispatch.conv2d(x[:, :, :1, :1], POINT, strides=2)
        ),
        ["slice", "conv2d", "slice", "conv2d", "add"],
    ),
    "a product": (lambda x: conv(x, SQUARE, 1) * conv(x, POINT), ["conv2d"] * 2 + ["mul"]),
}  # fmt: skip


@pytest.mark.parametrize("name", BRANCHES)
def test_branches_become_one_convolution(name: str) -> None:
    function, wanted = BRANCHES[name]
    graph = graph_of(function, X)
    specs = specialise(graph, {i.name: i.example for i in graph.inputs}).specs
    assert operators(remove_dead(merge_branches(graph, specs))) == wanted
    check_values(function, X)


def test_scales_between_sums_fold_too() -> None:
    scale = array(8, 1, 1)

    def f(x: Any) -> Any:
        mixed = norm(norm(conv(x, DEEP, 1)) + norm(conv(x, DEEP_POINT)) + norm(x))
        return x + scale * (mixed - dispatch.batch_norm(x, *STATISTICS[::-1]))

    assert operators(prepare(graph_of(f, X))) == ["conv2d"]
    check_values(f, X)


def test_what_is_merged_serves_images_of_any_size() -> None:
    def f(x: Any) -> Any:
        return conv(x, SQUARE, 1, strides=2) + conv(x, POINT, strides=2)

    replay = runtime.trace(f, X).compile()
    for shape in ((1, 8, 6, 4), (3, 8, 9, 12)):
        x = array(*shape)
        np.testing.assert_allclose(replay(x), f(x), rtol=1e-4, atol=1e-5)
