"""Traces as files: constants as tensors, the graph and plans as JSON beside them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from dispatch.errors import DispatchError
from dispatch.files import replacing
from dispatch.operator import Array
from dispatch.tensor import Quantization
from dispatch.tuning.record import Record
from runtime.errors import ArtifactError
from runtime.graph import Graph, GraphInput, Node, Reference
from runtime.kernels_file import export_kernels
from runtime.passes.pipeline import prepare
from runtime.safetensors import read, write
from runtime.specialise import specialise
from runtime.trace import Trace
from runtime.validate import check_graph

if TYPE_CHECKING:
    from runtime.replay import Replay

__all__ = ["FORMAT", "load", "save"]

FORMAT = 2
"""Raised when a reader of before could misread a file."""
TUNED_FORMAT = 1
"""Of the measured times in it."""


def save(
    trace: Trace,
    path: str | os.PathLike[str],
    plans: Mapping[str, Replay],
    kernels: str | os.PathLike[str] | None = None,
    tuned: Sequence[Replay] = (),
) -> None:
    """Write a trace, plans for libreplay and measured times to one file, kernels to another.

    What the file holds is the trace with all folded into its constants that
    holds for any shape: plans share them with it, and replays of the loaded
    trace use them where they lie in the mapped file.
    """
    exported = export_kernels({name: replay.plan() for name, replay in plans.items()})
    if exported is not None and kernels is None:
        raise ArtifactError(
            "kernels: expected a file for the kernels of the device's plan, got none"
        )
    if exported is None and kernels is not None:
        raise ArtifactError(
            f"kernels: expected none, since no plan is for a device with kernels in a file, got "
            f"{os.fspath(kernels)!r}"
        )
    graph = prepare(trace.graph)
    texts: dict[str, Any] = {}
    constants: dict[str, Array] = {}
    for name, replay in plans.items():
        if replay.trace is not trace:
            raise ArtifactError(f"plans: expected replays of this trace, got another's as {name!r}")
        plan = replay.plan()  # whose constants have the same names: both are made alike
        names = {value: _shared(constants, value, a) for value, a in plan.constants.items()}
        texts[name] = {
            **plan.data,
            "buffers": [
                {**b, "name": names[b["name"]]} if b["kind"] == "constant" else b
                for b in plan.data["buffers"]
            ],
        }
    names = {value: _shared(constants, value, a) for value, a in graph.constants.items()}
    metadata = {"trace": json.dumps(_to_json(graph, trace.structure, names))}
    if texts:
        metadata["plans"] = json.dumps(texts)
    if tuned:
        metadata["tuned"] = json.dumps(_tuned_to_json(trace, tuned))
    write(path, constants, metadata)
    if kernels is not None and exported is not None:
        with replacing(kernels) as file:
            file.write(exported)


def _tuned_to_json(trace: Trace, replays: Sequence[Replay]) -> dict[str, Any]:
    """Return the times that the trace came with and its replays', each problem once."""
    kept = {record.key: record for record in trace.tuned}
    for replay in replays:
        if replay.trace is not trace:
            raise ArtifactError("tuned: expected replays of this trace, got another's")
        kept.update({record.key: record for record in replay.records()})
    problems = list(dict.fromkeys(record.problem for record in kept.values()))
    number = {problem: index for index, problem in enumerate(problems)}
    return {
        "format": TUNED_FORMAT,
        "problems": problems,
        "records": [{**r.to_dict(), "problem": number[r.problem]} for r in kept.values()],
    }


def _tuned(text: str | None) -> tuple[Record, ...]:
    """Read what `_tuned_to_json` gave; another version's times are as good as none."""
    data: dict[str, Any] = {"format": 0} if text is None else json.loads(text)
    if data["format"] != TUNED_FORMAT:
        return ()
    problems = data["problems"]
    return tuple(
        Record.from_dict({**record, "problem": problems[record["problem"]]})
        for record in data["records"]
    )


def _shared(constants: dict[str, Array], value: str, array: Array) -> str:
    """Add a constant under its name, or another where that is an other one's; return the name."""
    name, count = value, 0
    while name in constants:
        known = constants[name]
        if known is array or (
            known.dtype == array.dtype
            and known.shape == array.shape
            and known.tobytes() == array.tobytes()
        ):
            return name
        count += 1
        name = f"{value}#{count}"
    constants[name] = array
    return name


def _to_json(graph: Graph, structure: str, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "structure": structure,
        "inputs": [
            {
                "name": i.name,
                "dtype": i.dtype,
                "shape": list(i.shape),
                "example": list(i.example),
                "fixed": i.fixed,
                "quantization": _meaning_to_json(i.quantization),
            }
            for i in graph.inputs
        ],
        "outputs": [list(pair) for pair in graph.outputs],
        "constants": dict(names),
        "quantizations": {value: _meaning_to_json(q) for value, q in graph.quantizations.items()},
        "nodes": [
            {
                "operator": n.operator,
                "inputs": list(n.inputs),
                "outputs": list(n.outputs),
                "attributes": {k: _value_to_json(v) for k, v in n.attributes.items()},
                "epilogue": [list(step) for step in n.epilogue],
                "label": n.label,
            }
            for n in graph.nodes
        ],
    }


def _meaning_to_json(quantization: Quantization | None) -> dict[str, Any] | None:
    return None if quantization is None else asdict(quantization)


def _meaning_from_json(data: Any) -> Quantization | None:
    return None if data is None else _meaning(data)


def _meaning(data: Any) -> Quantization:
    scales, points, axis = (data[name] for name in ("scales", "zero_points", "axis"))
    whole = (axis, *points)
    if not all(isinstance(n, int) and not isinstance(n, bool) for n in whole):
        raise ArtifactError(f"quantization: expected whole zero points and axis, got {whole!r}")
    return Quantization(tuple(float(s) for s in scales), tuple(points), axis)


def _value_to_json(value: Any) -> Any:
    if isinstance(value, Reference):
        return {"reference": value.value, "scalar": value.scalar}
    if isinstance(value, tuple):
        return [_value_to_json(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value


_DAMAGE = (
    DispatchError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
)
"""What reading nonsense where a graph should be may raise."""


def load(path: str | os.PathLike[str]) -> Trace:
    """Read what `save` wrote; nothing in the file is trusted."""
    tensors, metadata = read(path)
    text = metadata.get("trace")
    if text is None:
        raise ArtifactError(f"{path}: expected a saved trace, got a safetensors file without one")
    try:
        data = json.loads(text)
        version = data["format"]
        if version != FORMAT:
            raise ArtifactError(f"{path}: expected format {FORMAT}, got {version!r}")
        graph = _graph(data, tensors)
        structure = data["structure"]
        if structure not in ("single", "tuple", "dict"):
            raise ArtifactError(f"{path}: structure: got {structure!r}")
        if structure == "single" and len(graph.outputs) != 1:
            raise ArtifactError(f"{path}: expected one output, got {len(graph.outputs)}")
        check_graph(graph)
        tuned = _tuned(metadata.get("tuned"))
        with np.errstate(all="ignore"):
            specialise(graph, {i.name: i.example for i in graph.inputs})
    except ArtifactError as error:
        raise error if str(path) in str(error) else ArtifactError(f"{path}: {error}") from error
    except _DAMAGE as error:
        raise ArtifactError(f"{path}: the trace in it is damaged: {error!r}") from error
    return Trace(graph, structure, tuned)


def _graph(data: Any, tensors: Mapping[str, Array]) -> Graph:
    constants = {str(value): tensors[name] for value, name in data["constants"].items()}
    return Graph(
        tuple(
            GraphInput(
                i["name"],
                i["dtype"],
                tuple(i["shape"]),
                tuple(i["example"]),
                i["fixed"],
                _meaning_from_json(i["quantization"]),
            )
            for i in data["inputs"]
        ),
        tuple((name, value) for name, value in data["outputs"]),
        tuple(
            Node(
                n["operator"],
                tuple(n["inputs"]),
                tuple(n["outputs"]),
                {str(k): _value_from_json(v) for k, v in n["attributes"].items()},
                tuple((name, float(alpha), float(beta)) for name, alpha, beta in n["epilogue"]),
                n["label"],
            )
            for n in data["nodes"]
        ),
        constants,
        {str(value): _meaning(q) for value, q in data["quantizations"].items()},
    )


def _value_from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if set(value) != {"reference", "scalar"} or not isinstance(value["scalar"], bool):
            raise ArtifactError(f"expected a reference, got {value!r}")
        return Reference(value["reference"], value["scalar"])
    if isinstance(value, list):
        return tuple(_value_from_json(v) for v in value)
    return value
