"""Makes one convolution of several of the same images whose results are added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from dispatch.tensor import TensorSpec
from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.passes.rewrite import fresh_constant
from runtime.passes.scales import affine_of_batch_norm
from runtime.specialise import Specs, constant_spec, problem_of

__all__ = ["merge_branches"]

_Taps = tuple[range, range]


class _Branch(NamedTuple):
    """A convolution of images with constant weights.

    Parameters
    ----------
    x
        The images.
    weights
        As `conv2d` takes them, of float64.
    bias
        One number for each output channel, or None.
    groups, strides
        As `conv2d` has them.
    taps
        Where the filter's elements lie in the image for the result's first pixel, vertically
        and horizontally.
    slack
        By how much padding makes images larger than the filter makes them smaller.
    """

    x: str
    weights: Array
    bias: Array | None
    groups: int
    strides: tuple[int, int]
    taps: _Taps
    slack: tuple[int, int]

    def negated(self) -> _Branch:
        bias = None if self.bias is None else -self.bias
        return self._replace(weights=-self.weights, bias=bias)


def merge_branches(graph: Graph, specs: Specs) -> Graph:
    """Return the graph with one convolution in place of two that are added or subtracted.

    Both read the same images with constant weights; a batch normalisation counts as one, and so
    do the images themselves. One sees all that the other sees, and does the work of both.
    """
    index = Index(graph)
    constants = dict(graph.constants)
    index.constants = constants
    known = dict(specs)
    nodes: list[Node] = []
    for node in graph.nodes:
        branch = _sum(node, index, known)
        if branch is not None:
            node = _convolution(node, branch, known, constants)
            index.maker[node.outputs[0]] = node
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), constants=constants)


def _sum(node: Node, index: Index, specs: Specs) -> _Branch | None:
    """Return what a sum or difference does to the images that both its operands are made of."""
    if node.operator not in ("add", "sub") or node.epilogue:
        return None
    names = [str(name) for name in node.inputs]
    if specs[names[0]].rank != 4 or specs[names[0]].shape != specs[names[1]].shape:
        return None
    first, second = (_branch(name, index, specs) for name in names)
    if first is None and second is not None and second.x == names[0]:
        first = _identity(names[0], specs)
    elif second is None and first is not None and first.x == names[1]:
        second = _identity(names[1], specs)
    if first is None or second is None or first.x != second.x:
        return None
    if node.operator == "sub":
        second = second.negated()
    return _joined(first, second) or _joined(second, first)


def _branch(value: str, index: Index, specs: Specs) -> _Branch | None:
    """Return what a convolution or a batch normalisation does that nothing else uses."""
    node = index.made_by(value, "conv2d", "batch_norm")
    if node is None or not index.used_once(value) or "float" not in specs[value].dtype:
        return None
    x = str(node.inputs[0])
    if node.operator == "batch_norm":
        affine = affine_of_batch_norm(node, index)
        return None if affine is None else _pointwise(x, affine.scale, affine.shift)
    weights, bias = (index.constant(name) for name in node.inputs[1:3])
    if weights is None or (bias is None and node.inputs[2] is not None):
        return None
    attributes: dict[str, Any] = dict(problem_of(node, specs).attributes)
    steps = attributes["dilations"]
    starts, ends = attributes["pads"][:2], attributes["pads"][2:]
    reaches = [(extent - 1) * step for extent, step in zip(weights.shape[2:], steps, strict=True)]
    rows, columns = (
        range(-start, reach - start + 1, step)
        for start, reach, step in zip(starts, reaches, steps, strict=True)
    )
    vertical, horizontal = (
        start + end - reach for start, end, reach in zip(starts, ends, reaches, strict=True)
    )
    return _Branch(
        x,
        weights.astype(np.float64),
        None if bias is None else bias.astype(np.float64),
        attributes["groups"],
        attributes["strides"],
        (rows, columns),
        (vertical, horizontal),
    )


def _identity(x: str, specs: Specs) -> _Branch:
    return _pointwise(x, np.ones(specs[x].shape[1]), None)


def _pointwise(x: str, scale: Array, shift: Array | None) -> _Branch:
    """Return a convolution that scales and shifts each channel by itself."""
    here = range(1)
    return _Branch(x, scale.reshape(-1, 1, 1, 1), shift, scale.size, (1, 1), (here, here), (0, 0))


def _joined(wide: _Branch, narrow: _Branch) -> _Branch | None:
    """Return one convolution for two whose results are added, if `wide` sees all `narrow` sees."""
    if (wide.strides, wide.slack) != (narrow.strides, narrow.slack):
        return None
    if narrow.groups % wide.groups or any(
        not set(few) <= set(many) for few, many in zip(narrow.taps, wide.taps, strict=True)
    ):
        return None
    weights = wide.weights.copy()
    rows, columns = (
        slice(many.index(few[0]), many.index(few[-1]) + 1, max(1, few.step // many.step))
        for few, many in zip(narrow.taps, wide.taps, strict=True)
    )
    for output, channels in enumerate(_channels_seen(wide, narrow)):
        weights[output, channels, rows, columns] += narrow.weights[output]
    return wide._replace(weights=weights, bias=_total(wide.bias, narrow.bias))


def _channels_seen(wide: _Branch, narrow: _Branch) -> Iterator[slice]:
    """Yield, for each output, which of the channels that `wide` sees `narrow` sees."""
    outputs, channels = narrow.weights.shape[:2]
    for output in range(outputs):
        start = output // (outputs // narrow.groups) * channels
        start -= output // (outputs // wide.groups) * wide.weights.shape[1]
        yield slice(start, start + channels)


def _total(first: Array | None, second: Array | None) -> Array | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _convolution(
    node: Node, branch: _Branch, specs: dict[str, TensorSpec], constants: dict[str, Array]
) -> Node:
    """Return the node that gives what a sum gave; its constants are new."""
    value = node.outputs[0]
    dtype = numpy_dtype(specs[value].dtype)

    def constant(name: str, array: Array) -> str:
        made = fresh_constant(constants, f"{value}.{name}", array.astype(dtype))
        specs[made] = constant_spec(constants[made])
        return made

    starts = [-taps.start for taps in branch.taps]
    ends = [slack + taps[-1] for slack, taps in zip(branch.slack, branch.taps, strict=True)]
    attributes = {
        "strides": branch.strides,
        "pads": (*starts, *ends),
        "dilations": tuple(taps.step for taps in branch.taps),
        "groups": branch.groups,
    }
    inputs = (
        branch.x,
        constant("weights", branch.weights),
        None if branch.bias is None else constant("bias", branch.bias),
    )
    return Node("conv2d", inputs, node.outputs, attributes, (), node.label)
