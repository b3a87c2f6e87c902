"""What quantisation costs: the signal-to-noise ratio of every operator's result."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from runtime.calibration.quantize import Progress, observe
from runtime.errors import TraceError
from runtime.graph import Graph, Node
from runtime.passes.pipeline import prepare
from runtime.trace import Trace

__all__ = ["NoiseReport", "NoiseRow", "measure_noise"]


@dataclass(frozen=True, slots=True)
class NoiseRow:
    """One operator's result.

    Parameters
    ----------
    node
        The source line or the model's name of it.
    operator
        Its name.
    own
        Signal to noise in decibel where it alone works on integers, its inputs
        rounded.
    total
        Likewise where everything before it does.
    """

    node: str
    operator: str
    own: float
    total: float


class NoiseReport:
    """Rows from the operator that loses most by itself; prints as a table.

    Attributes
    ----------
    rows : tuple of NoiseRow
        One for each operator that works on integers.
    """

    def __init__(self, rows: Iterable[NoiseRow]) -> None:
        self.rows = tuple(sorted(rows, key=lambda row: row.own))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, for JSON: an infinite ratio is null."""
        return {
            "operators": [
                {k: None if v == math.inf else v for k, v in asdict(row).items()}
                for row in self.rows
            ]
        }

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the columns' names and rows of text."""
        return ("operator", "own dB", "total dB", "node"), [
            (row.operator, f"{row.own:.1f}", f"{row.total:.1f}", row.node) for row in self.rows
        ]

    def __str__(self) -> str:
        columns, rows = self.table()
        lines = [columns, *rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        return "\n".join(
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )

    __repr__ = __str__


def measure_noise(
    trace: Trace, quantized: Trace, samples: Iterable[Any], *, progress: Progress | None = None
) -> NoiseReport:
    """See `runtime.measure_noise`."""
    plain = prepare(trace.graph)
    both = side_by_side(plain, quantized.graph)
    makers = {name: node for node in plain.nodes for name in node.outputs}
    values = [
        str(node.inputs[0])
        for node in quantized.graph.nodes
        if node.operator == "quantize_linear" and node.inputs[0] in makers
    ]
    values = [value for value in values if f"{value}.rounded.own" in both.made]
    if not values:
        raise TraceError("measure_noise: expected a trace and what runtime.quantize made of it")
    every = [f"{value}{suffix}" for value in values for suffix in ("", *SUFFIXES)]
    sums = np.zeros((len(values), 3))
    for done, seen in enumerate(observe(both.graph, tuple(every), samples), 1):
        for place, value in enumerate(values):
            real = seen[value].astype(np.float64)
            noise = [seen[f"{value}{suffix}"] - real for suffix in SUFFIXES]
            sums[place] += [(part**2).sum() for part in (real, *noise)]
        if progress is not None:
            progress(done)
    return NoiseReport(
        NoiseRow(makers[v].label, makers[v].operator, _decibel(power, own), _decibel(power, total))
        for v, (power, own, total) in zip(values, sums, strict=True)
    )


def _decibel(signal: float, noise: float) -> float:
    if noise == 0.0:
        return math.inf
    return 10.0 * math.log10(signal / noise) if signal else -math.inf


SUFFIXES = (".rounded.own", ".rounded.total")
"""Of a value as its operator makes it from real inputs, rounded, and as it is all along."""


@dataclass(frozen=True, slots=True)
class _Sides:
    """A graph that has values three times, and the names that its nodes make."""

    graph: Graph
    made: frozenset[str]


def side_by_side(plain: Graph, quantized: Graph) -> _Sides:
    """Return a graph of both, and of every operator on integers by itself.

    The nodes of the quantised graph are there twice: ``.total`` as they are, and
    ``.own`` on inputs that are rounded real values (``.alone``).
    """
    pairs = ("quantize_linear", "dequantize_linear")
    rounded = {
        node.outputs[0]
        for node in quantized.nodes
        if node.operator in pairs and node.inputs[0] not in quantized.constants
    }
    made = {name for node in quantized.nodes for name in node.outputs}
    fixed = {*quantized.constants, *(i.name for i in quantized.inputs)}
    nodes = list(plain.nodes)

    def named(suffix: str, node: Node, inputs: Callable[[str], str]) -> Node:
        return replace(
            node,
            inputs=tuple(None if n is None else inputs(n) for n in node.inputs),
            outputs=tuple(f"{n}.{suffix}" for n in node.outputs),
        )

    for node in quantized.nodes:
        nodes.append(named("total", node, lambda n: f"{n}.total" if n in made else n))
        if node.operator in pairs and node.outputs[0] in rounded:
            nodes.append(named("alone", node, lambda n: f"{n}.alone" if n in rounded else n))
            nodes.append(named("own", node, lambda n: n if n in fixed else f"{n}.own"))
        else:
            nodes.append(
                named(
                    "own",
                    node,
                    lambda n: f"{n}.alone" if n in rounded else n if n in fixed else f"{n}.own",
                )
            )
    graph = replace(
        plain,
        nodes=tuple(nodes),
        constants={**quantized.constants, **plain.constants},
        quantizations=quantized.quantizations,
    )
    return _Sides(graph, frozenset(name for node in nodes for name in node.outputs))
