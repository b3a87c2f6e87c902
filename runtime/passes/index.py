"""Who makes and who uses each value of a graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from dispatch.operator import Array
from runtime.graph import Graph, Node
from runtime.passes.dead import uses

__all__ = ["Index", "scalar"]


class Index:
    """A graph's makers and users, as it was; `maker` is kept up to date by who rewrites.

    Attributes
    ----------
    maker : dict
        Value → the node that makes it.
    """

    def __init__(self, graph: Graph) -> None:
        self.constants: Mapping[str, Array] = graph.constants
        self.maker: dict[str, Node] = {name: n for n in graph.nodes for name in n.outputs}
        self._uses = Counter(name for node in graph.nodes for name in uses(node))
        self._uses.update(value for _, value in graph.outputs)

    def used_once(self, value: str) -> bool:
        """Say whether a value has one use, and that in one place."""
        return self._uses[value] == 1

    def made_by(self, value: str | None, *operators: str) -> Node | None:
        """Return the node that makes a value if it is one of `operators`, with no epilogue."""
        node = None if value is None else self.maker.get(value)
        return (
            node if node is not None and node.operator in operators and not node.epilogue else None
        )

    def constant(self, value: str | None) -> Array | None:
        """Return a value's elements if it is a constant."""
        return None if value is None else self.constants.get(value)

    def number(self, value: str | None) -> float | None:
        """Return a value that is a constant of one element."""
        return scalar(self.constant(value))


def scalar(array: Array | None) -> float | None:
    """Return the one element of an array that has one, as a float."""
    return float(array.reshape(())) if array is not None and array.size == 1 else None
