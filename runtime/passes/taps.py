"""Cuts off the edges of convolutions' filters that only ever meet padding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.operator import Array
from runtime.graph import Graph, Node
from runtime.passes.rewrite import fresh_constant
from runtime.specialise import Specs

__all__ = ["trim_filters"]


def trim_filters(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph whose filters are as large as what they see of their images.

    So is a dilated filter on a small image, or one of three taps on an image of one pixel. What
    padding stands for is 0 for integers too.
    """
    constants, quantizations = dict(graph.constants), dict(graph.quantizations)
    nodes: list[Node] = []
    for node in graph.nodes:
        w = node.inputs[1] if node.operator in ("conv2d", "qconv2d") else None
        trimmed = None if w not in constants else _trimmed(node, constants[w], specs)
        if w is not None and trimmed is not None:
            filters, pads = trimmed
            name = fresh_constant(constants, f"{w}.trimmed", filters)
            if w in quantizations:
                quantizations[name] = quantizations[w]
            attributes = {**node.attributes, "pads": pads}
            inputs = (node.inputs[0], name, *node.inputs[2:])
            node = replace(node, inputs=inputs, attributes=attributes)
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes), constants=constants, quantizations=quantizations)


def _trimmed(node: Node, w: Array, specs: Specs) -> tuple[Array, tuple[int, ...]] | None:
    """Return smaller filters and the padding that they need, None if all taps see something."""
    x, y = specs[str(node.inputs[0])], specs[node.outputs[0]]
    if 0 in x.shape or 0 in y.shape:
        return None
    strides: Any = node.attributes["strides"]
    dilations: Any = node.attributes["dilations"]
    given: Any = node.attributes["pads"]
    pads = list(given)
    cuts = []
    for axis in range(2):
        taps = w.shape[2 + axis]
        places = strides[axis] * np.arange(y.shape[2 + axis]) - pads[axis]
        seen = places[:, None] + dilations[axis] * np.arange(taps)
        useful = np.flatnonzero(((seen >= 0) & (seen < x.shape[2 + axis])).any(axis=0))
        first, last = (int(useful[0]), int(useful[-1])) if useful.size else (0, 0)
        start = pads[axis] - first * dilations[axis]
        end = pads[2 + axis] - (taps - 1 - last) * dilations[axis]
        if start < 0 or end < 0:
            first, last = 0, taps - 1
        else:
            pads[axis], pads[2 + axis] = start, end
        cuts.append(slice(first, last + 1))
    smaller = w[:, :, cuts[0], cuts[1]]
    # An infinite weight times padding is no number.
    if smaller.shape == w.shape or not np.isfinite(w.astype(np.float64)).all():
        return None
    return np.ascontiguousarray(smaller), tuple(pads)
