"""The recorded graph: operators on named values. Portable: it names no kernel and no device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from dispatch.operator import Array
from dispatch.problem import AttributeValue
from dispatch.tensor import Quantization

__all__ = ["SHAPE", "Extent", "Graph", "GraphInput", "Node", "Reference", "Step"]

SHAPE = "shape"
"""The one operator of the graph's own: the extents of its input as int64, known when planning."""

Extent: TypeAlias = int | str
"""An extent: a number, or the name of a dynamic one (the same name: the same extent)."""

Step: TypeAlias = tuple[str, float, float]
"""An epilogue step: name, alpha, beta. ``add`` and ``mul`` take the node's next extra input."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An attribute whose value is a value of the graph that planning must know.

    Parameters
    ----------
    value
        The value's name.
    scalar
        The attribute is its one element rather than the tuple of its elements.
    """

    value: str
    scalar: bool = False


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input of the graph.

    Parameters
    ----------
    name
        What callers name it by, and the value's name.
    dtype
        A name of `dispatch.dtypes.SHORT_NAMES`.
    shape
        Its extents.
    example
        The extents that it was traced with.
    fixed
        Where the traced function read its shape as numbers, so that no extent
        may differ from the example's; "" if it never did.
    quantization
        What its integers stand for; None: themselves.
    """

    name: str
    dtype: str
    shape: tuple[Extent, ...]
    example: tuple[int, ...]
    fixed: str = ""
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One call of one operator.

    Parameters
    ----------
    operator
        Its name, or `SHAPE`.
    inputs
        Names of values, None for an absent one; then those of the epilogue.
    outputs
        Names of the values that it makes.
    attributes
        As the public function takes them, hashable.
    epilogue
        What follows on the first output.
    label
        What a person knows the call by: the source line, the model's node.
    """

    operator: str
    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, AttributeValue | Reference | Any | None] = field(default_factory=dict)
    epilogue: tuple[Step, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Operators in an order in which they can run.

    Parameters
    ----------
    inputs
        In the order of the call.
    outputs
        (name, value) in order; a value may be an input or a constant.
    nodes
        Each after those it needs; every value is made once.
    constants
        Values that never change.
    quantizations
        What the integers of quantised constants stand for.
    """

    inputs: tuple[GraphInput, ...]
    outputs: tuple[tuple[str, str], ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    quantizations: Mapping[str, Quantization] = field(default_factory=dict)
