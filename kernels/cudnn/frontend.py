"""Graphs in cuDNN's frontend: built and checked, planned for a device, kept, loaded, executed.

Planning needs a description of the GPU, not the GPU: `cudnn.create_device_properties` takes it
of a device that is here or from JSON. Only `load` and `execute` need the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dispatch.answer import No, NoCode
from dispatch.errors import KernelFailed
from kernels.cudnn.driver import driver
from kernels.cudnn.graph import Graph, Node
from kernels.cudnn.kept import kept
from kernels.cudnn.library import devices, frontend, versions

__all__ = [
    "MAX_PLANS",
    "Planned",
    "built",
    "execute",
    "joined",
    "load",
    "new_handle",
    "parted",
    "plan_key",
    "planned",
    "plans_of",
    "supported",
]

MAX_PLANS = 4
"""Of one graph: what measured times can choose among."""
KEPT_PLANS = 4096
SIZE_BYTES = 8
_DTYPES = {"float32": "FLOAT", "float16": "HALF", "bfloat16": "BFLOAT16"}


@dataclass(frozen=True, slots=True)
class Planned:
    """An execution plan.

    Parameters
    ----------
    workspace
        Bytes that it needs.
    data
        As the frontend serialises it.
    """

    workspace: int
    data: bytes


def built(graph: Graph, properties: Any = None, capability: int = 0) -> Any:
    """Return the frontend's graph, validated.

    Parameters
    ----------
    properties, capability
        The device to plan for, as the frontend describes it; default: none yet.

    Raises
    ------
    RuntimeError
        The frontend's, if it finds the graph wrong.
    """
    cudnn = frontend()
    target = {} if properties is None else {"device_property": properties, "sm_version": capability}
    result = cudnn.pygraph(
        io_data_type=cudnn.data_type.FLOAT,
        intermediate_data_type=cudnn.data_type.FLOAT,
        compute_data_type=cudnn.data_type.FLOAT,
        **target,
    )
    made = {node.result for node in graph.nodes}
    tensors: dict[int, Any] = {
        index: result.tensor(
            dim=list(tensor.shape),
            stride=list(tensor.strides),
            data_type=_dtype(tensor.dtype),
            is_pass_by_value=tensor.value is not None,
            uid=index + 1,
            name=f"t{index}",
        )
        for index, tensor in enumerate(graph.tensors)
        if index not in made
    }
    for node in graph.nodes:
        tensor, described = _node(result, node, tensors), graph.tensors[node.result]
        tensor.set_dim(list(described.shape)).set_stride(list(described.strides))
        tensor.set_data_type(_dtype(described.dtype)).set_uid(node.result + 1)
        tensor.set_output(described.argument >= 0)
        tensors[node.result] = tensor
    result.validate()
    return result


def _node(result: Any, node: Node, tensors: dict[int, Any]) -> Any:
    """Add a node; of several results the first is the one that is wanted."""
    parameters: dict[str, Any] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in node.parameters
    }
    if "norm_forward_phase" in parameters:
        phases = frontend().norm_forward_phase
        parameters["norm_forward_phase"] = getattr(phases, parameters["norm_forward_phase"])
    operands = {name: tensors[index] for name, index in node.operands}
    made = getattr(result, node.operation)(**operands, **parameters)
    return made[0] if isinstance(made, list | tuple) else made


def _dtype(name: str) -> Any:
    return getattr(frontend().data_type, _DTYPES[name])


def supported(graph: Graph, properties: Any, capability: int) -> Any | No:
    """Return the frontend's graph with the engines that may run it, or say that there is none."""
    cudnn = frontend()
    try:
        result = built(graph, properties, capability)
        result.build_operation_graph()
        result.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
        result.deselect_numeric_notes([getattr(cudnn.numerical_note, n) for n in graph.notes])
        result.check_support()
    except _errors() as error:
        return _refused(error)
    return result


def planned(graph: Graph, properties: Any, capability: int) -> tuple[Planned, ...] | No:
    """Return the plans that cuDNN's heuristics put first, `MAX_PLANS` at most, in their order."""
    result = supported(graph, properties, capability)
    if isinstance(result, No):
        return result
    found: list[Planned] = []
    refused = No(NoCode.LIBRARY, "graph", "one that cuDNN has an engine for", "none that it builds")
    for index in range(result.get_execution_plan_count()):
        try:
            result.build_plan_at_index(index)
            size = result.get_workspace_size_plan_at_index(index)
            plan = Planned(size, bytes(result.serialize()))
            if plan.data not in (other.data for other in found):  # fallbacks may come again
                found.append(plan)
        except _errors() as error:
            refused = _refused(error)  # one whose notes aren't wanted, or that can't be built
        if len(found) == MAX_PLANS:
            break
    return tuple(found) or refused


def _errors() -> tuple[type[Exception], ...]:
    """Return what the frontend raises: its own exception is none of RuntimeError's."""
    return RuntimeError, ValueError, frontend().cudnnGraphNotSupportedError


def _refused(error: Exception) -> No:
    return No(NoCode.LIBRARY, "graph", "one that cuDNN has an engine for", _first_line(error))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def plan_key(graph: Graph, described: str, libraries: str) -> tuple[str, ...]:
    """Return all that plans depend on: the graph, the device, driver's and cuDNN's versions."""
    return (repr(graph), described, libraries, f"{MAX_PLANS} plans")


@lru_cache(KEPT_PLANS)
def plans_of(graph: Graph, device_id: int) -> tuple[Planned, ...] | No:
    """Return the plans of a graph on a device that is here, from disk where they were made."""
    with driver().on(device_id):
        try:
            properties = frontend().create_device_properties(device_id)
        except _errors() as error:
            return No(NoCode.LIBRARY, "device", "one that cuDNN works on", _first_line(error))
        refusals: list[No] = []

        def make() -> bytes:
            found = planned(graph, properties, devices()[device_id].capability)
            if isinstance(found, No):
                refusals.append(found)
                raise _Refused
            return joined(found)

        key = plan_key(graph, str(properties.serialize()), versions())
        try:
            return parted(kept("plans", key, make))
        except _Refused:
            return refusals[0]


def joined(plans: Sequence[Planned]) -> bytes:
    """Return plans as bytes: for each its workspace, its length, and itself."""
    return b"".join(
        plan.workspace.to_bytes(SIZE_BYTES, "little")
        + len(plan.data).to_bytes(SIZE_BYTES, "little")
        + plan.data
        for plan in plans
    )


def parted(data: bytes) -> tuple[Planned, ...]:
    """Return the plans that `joined` joined."""
    found, at = [], 0
    while at < len(data):
        workspace, length = (
            int.from_bytes(data[start : start + SIZE_BYTES], "little")
            for start in (at, at + SIZE_BYTES)
        )
        at += 2 * SIZE_BYTES
        found.append(Planned(workspace, data[at : at + length]))
        at += length
    return tuple(found)


class _Refused(Exception):
    """There is no plan to keep."""


def new_handle() -> Any:
    """Return a handle of cuDNN for the device whose context is current.

    Raises
    ------
    KernelFailed
        If cuDNN can't.
    """
    try:
        return frontend().create_handle()
    except _errors() as error:
        raise KernelFailed(f"cuDNN: no handle: {_first_line(error)}") from error


def load(planned: Planned, handle: Any) -> Any:
    """Return a plan made ready on a handle's device.

    Raises
    ------
    KernelFailed
        If cuDNN doesn't take it.
    """
    result = frontend().pygraph(handle=handle)
    try:
        result.deserialize(handle, list(planned.data))
    except _errors() as error:
        raise KernelFailed(f"cuDNN: a plan wasn't loaded: {error}") from error
    return result


def execute(loaded: Any, addresses: dict[int, int], workspace: int, handle: Any) -> None:
    """Enqueue a plan on the handle's stream.

    Raises
    ------
    KernelFailed
        If cuDNN says so.
    """
    try:
        loaded.execute(addresses, workspace, handle=handle)
    except _errors() as error:
        raise KernelFailed(f"cuDNN: a graph wasn't run: {error}") from error
