"""Whole models on an engine: our replay, or a peer."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from bench.engines.base import PEERS, FunctionRunner, Runner, require
from bench.errors import CaseError, Refused
from bench.models import REPLAY, TUNED_REPLAY, ModelRequest, feeds_of
from dispatch.registry import registry

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
    replay(*inputs)
    versions = "; ".join(p.library_version for p in registry().packs if p.available)
    information = {"version": versions, "load_seconds": perf_counter() - start}
    return FunctionRunner(lambda: replay(*inputs), _outputs, information)


def _outputs(result: Any) -> list[Any]:
    if isinstance(result, dict):
        return list(result.values())
    return list(result) if isinstance(result, tuple) else [result]
