"""What a trace is, as data and as text."""

from __future__ import annotations

from collections import Counter
from typing import Any

from runtime.trace import Trace

__all__ = ["summary", "text"]


def summary(trace: Trace) -> dict[str, Any]:
    """Return a trace's inputs, outputs, nodes and constants as plain data."""
    graph = trace.graph
    return {
        "structure": trace.structure,
        "inputs": [
            {
                "name": i.name,
                "dtype": i.dtype,
                "shape": list(i.shape),
                "example": list(i.example),
                "fixed": i.fixed,
            }
            for i in graph.inputs
        ],
        "outputs": [name for name, _ in graph.outputs],
        "operators": dict(Counter(node.operator for node in graph.nodes).most_common()),
        "constants": {
            "count": len(graph.constants),
            "bytes": sum(array.nbytes for array in graph.constants.values()),
        },
        "nodes": [
            {
                "operator": n.operator,
                "inputs": list(n.inputs),
                "outputs": list(n.outputs),
                "label": n.label,
            }
            for n in graph.nodes
        ],
    }


def text(trace: Trace) -> str:
    """Return a trace's inputs, outputs and counts of operators as lines."""
    data = summary(trace)
    inputs = [
        f"{i['name']}: {i['dtype']} ({', '.join(map(str, i['shape']))})"
        + (f", fixed by {i['fixed']}" if i["fixed"] else "")
        for i in data["inputs"]
    ]
    constants = data["constants"]
    return "\n".join(
        [
            "inputs     " + "; ".join(inputs),
            "outputs    " + ", ".join(data["outputs"]),
            f"constants  {constants['count']}, {constants['bytes']} bytes",
            "operators  " + ", ".join(f"{n} {o}" for o, n in data["operators"].items()),
        ]
    )
