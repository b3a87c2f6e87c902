"""Turns what stands before and around windows into the windows' own attributes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime.graph import Graph, Node
from runtime.passes.index import Index
from runtime.specialise import Specs

__all__ = ["fold_pads", "recognise_global_pools"]


def fold_pads(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph with zero padding moved into the conv2d or avg_pool2d after it."""
    index = Index(graph)
    nodes = []
    for node in graph.nodes:
        made = node
        if node.operator in ("conv2d", "avg_pool2d"):
            before = index.made_by(node.inputs[0], "pad")
            pads = None if before is None else _spatial_zeros(before)
            # An average that leaves padding out would change; so would a rounded-up last window.
            counted = node.operator == "conv2d" or (
                node.attributes.get("count_include_pad") and not node.attributes.get("ceil_mode")
            )
            if before is not None and pads is not None and counted:
                own: Any = node.attributes["pads"]
                total = tuple(a + b for a, b in zip(own, pads, strict=True))
                if _holds(node, total):
                    attributes = {**node.attributes, "pads": total}
                    inputs = (before.inputs[0], *node.inputs[1:])
                    made = replace(node, inputs=inputs, attributes=attributes)
        nodes.append(made)
    return replace(graph, nodes=tuple(nodes))


def _spatial_zeros(pad: Node) -> tuple[int, ...] | None:
    """Return (top, left, bottom, right) of a pad that adds zeros around images."""
    pads: Any = pad.attributes["pads"]
    if pad.attributes["mode"] != "constant" or pad.attributes["value"] != 0 or len(pads) != 8:
        return None
    if any(pads[i] for i in (0, 1, 4, 5)) or min(pads) < 0:
        return None
    return (pads[2], pads[3], pads[6], pads[7])


def _holds(node: Node, pads: tuple[int, ...]) -> bool:
    """Say whether an average's padding stays smaller than its window."""
    if node.operator == "conv2d":
        return True
    kernel: Any = node.attributes["kernel_shape"]
    return all(pads[i] < kernel[i % 2] for i in range(4))


def recognise_global_pools(graph: Graph, specs: Specs) -> Graph:
    """Return a specialised graph with global_avg_pool2d for a mean over the pixels of images."""
    nodes: list[Node] = []
    for node in graph.nodes:
        x = node.inputs[0] if node.inputs else None
        if (
            node.operator != "mean"
            or x is None
            or node.epilogue
            or specs[x].rank != 4
            or node.attributes["axes"] != (2, 3)
            or 0 in specs[x].shape
        ):
            nodes.append(node)
        elif node.attributes["keepdims"]:
            nodes.append(replace(node, operator="global_avg_pool2d", attributes={}))
        else:
            value = f"{node.outputs[0]}.pooled"
            nodes.append(
                replace(node, operator="global_avg_pool2d", attributes={}, outputs=(value,))
            )
            attributes = {"shape": specs[node.outputs[0]].shape, "allow_zero": 1}
            nodes.append(replace(node, operator="reshape", inputs=(value,), attributes=attributes))
    return replace(graph, nodes=tuple(nodes))
