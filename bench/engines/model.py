"""Whole models on an engine: our replay, or a peer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from bench.engines.base import PEERS, FunctionRunner, Runner, require
from bench.errors import CaseError, Refused
from bench.models import REPLAY, TUNED_REPLAY, ModelRequest, feeds_of
from dispatch.contract import Memory, Queue
from dispatch.devices import located
from dispatch.memory import memory_of_device, to_device, to_host
from dispatch.operator import Array
from dispatch.registry import registry

if TYPE_CHECKING:
    from runtime.bound import BoundReplay
    from runtime.replay import Replay

__all__ = ["prepare_model"]


def prepare_model(engine: str, request: ModelRequest, threads: int) -> Runner:
    """Load a model and make it ready.

    Raises
    ------
    Refused
        If the engine can't run it.
    CaseError
        If the engine runs no models.
    """
    if engine in (REPLAY, TUNED_REPLAY):
        return _replay(request, threads, tune=engine == TUNED_REPLAY)
    module = PEERS.get(engine)
    if module is None:
        raise CaseError(
            f"engine: expected {REPLAY}, {TUNED_REPLAY} or one of {', '.join(PEERS)}, "
            f"got {engine!r}"
        )
    make: Any = getattr(require(module, "peers"), "model_runner", None)
    if make is None:
        raise Refused(f"{engine} runs no ONNX models")
    runner: Runner = make(request.path, feeds_of(request.inputs, request.name), threads)
    return runner


def _replay(request: ModelRequest, threads: int, tune: bool) -> Runner:
    import runtime

    start = perf_counter()
    examples = {name: shape for name, _, shape in request.inputs}
    trace = (
        runtime.from_onnx(request.path, examples=examples)
        if request.path.endswith(".onnx")
        else runtime.load(request.path)
    )
    replay = trace.compile(
        request.device,
        threads=threads,
        precision=request.precision,  # type: ignore[arg-type]
        packs=request.packs or None,
        tune=tune,
    )
    feeds = feeds_of(request.inputs, request.name)
    inputs = [feeds[i.name] for i in trace.graph.inputs]
    device, device_id = located(request.device)
    memory = memory_of_device(device)
    on_device = None if memory is None else _on_device(replay, inputs, memory, device_id or 0)
    if on_device is None:
        replay(*inputs)
    else:
        on_device.run(1)
    versions = "; ".join(p.library_version for p in registry().packs if p.available)
    information = {"version": versions, "load_seconds": perf_counter() - start}
    if on_device is not None:
        return replace(on_device, information=information)
    return FunctionRunner(lambda: replay(*inputs), _outputs, information)


def _on_device(replay: Replay, inputs: list[Array], memory: Memory, device_id: int) -> DeviceRunner:
    queue = memory.open_queue(device_id)
    return DeviceRunner(replay.bind(*(to_device(x, memory, queue) for x in inputs)), memory, queue)


@dataclass(frozen=True)
class DeviceRunner:
    """Runs a bound replay; the device's clock counts."""

    bound: BoundReplay
    memory: Memory
    queue: Queue
    information: Mapping[str, Any] = field(default_factory=dict)

    def outputs(self) -> list[Array]:
        """Run once; copies of the outputs."""
        return [to_host(y, self.memory) for y in _outputs(self.bound())]

    def run(self, iterations: int) -> float:
        """Run `iterations` times; the device's seconds from the first's start to the last's end."""

        def work() -> None:
            for _ in range(iterations):
                self.bound()

        return self.memory.seconds(self.queue, work)


def _outputs(result: Any) -> list[Any]:
    if isinstance(result, dict):
        return list(result.values())
    return list(result) if isinstance(result, tuple) else [result]
