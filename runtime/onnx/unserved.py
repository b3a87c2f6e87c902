"""Operators of a model that can't be imported, found before anything else is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from runtime.errors import ModelError
from runtime.onnx.control import CONTROL
from runtime.onnx.functions import body_of, has_body_by_types
from runtime.onnx.handlers import HANDLERS, qualified
from runtime.onnx.load import DEFAULT_DOMAINS

__all__ = ["check_served", "live_nodes", "node_label", "unserved"]

DEEPEST = 32
"""Functions within functions."""

SHOWN = 3
"""Nodes that a message names of each operator."""

Functions = Mapping[tuple[str, str], Any]


def node_label(node: Any) -> str:
    """Return what a person knows a node by."""
    return f"{node.op_type} {node.name or next(iter(node.output), '')!r}"


def live_nodes(nodes: Sequence[Any], outputs: Sequence[str]) -> list[Any]:
    """Return the nodes that the outputs need, in the model's order."""
    needed = set(outputs)
    live = []
    for node in reversed(nodes):
        if needed.intersection(node.output):
            live.append(node)
            needed.update(_used(node))
    return live[::-1]


def _used(node: Any) -> Iterator[str]:
    """Give the names that a node takes, those within its subgraphs too."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from (o.name for o in graph.output)
            for inner in graph.node:
                yield from _used(inner)


def check_served(graph: Any, opsets: Mapping[str, int], functions: Functions) -> None:
    """Raise if a needed node's operator can't be imported, naming all of them.

    Raises
    ------
    ModelError
        Each operator with the number and the names of its nodes.
    """
    found = unserved(live_nodes(graph.node, [o.name for o in graph.output]), opsets, functions)
    if not found:
        return
    listed = []
    for operator, names in sorted(found.items()):
        shown = ", ".join(repr(n) for n in names[:SHOWN]) + (" …" if len(names) > SHOWN else "")
        listed.append(f"{operator} ({len(names)} node{'s' * (len(names) != 1)}: {shown})")
    raise ModelError(f"the model holds operators that can't be imported: {'; '.join(listed)}")


def unserved(
    nodes: Sequence[Any], opsets: Mapping[str, int], functions: Functions | None = None
) -> dict[str, list[str]]:
    """Return the operators that can't be imported, each with the names of its nodes."""
    found: dict[str, list[str]] = {}
    _collect(nodes, opsets, functions or {}, found, 0)
    return found


def _collect(
    nodes: Sequence[Any],
    opsets: Mapping[str, int],
    functions: Functions,
    found: dict[str, list[str]],
    depth: int,
) -> None:
    if depth > DEEPEST:
        raise ModelError(f"functions within functions: expected at most {DEEPEST}, got more")
    for node in nodes:
        name = qualified(node.domain, node.op_type)
        if name in HANDLERS or name in CONTROL or has_body_by_types(node, opsets):
            continue
        body = body_of(node, opsets, functions)
        inner: dict[str, list[str]] = {}
        if body is not None:
            _collect(body.node, opsets_of_body(body, opsets), functions, inner, depth + 1)
        if body is None or inner:
            if inner:
                name += f" (a function that needs {', '.join(sorted(inner))})"
            found.setdefault(name, []).append(node.name or next(iter(node.output), ""))


def opsets_of_body(body: Any, opsets: Mapping[str, int]) -> dict[str, int]:
    """Return the versions of the operator sets within a function."""
    own = {("" if o.domain in DEFAULT_DOMAINS else o.domain): o.version for o in body.opset_import}
    return {**opsets, **own}
