"""Replays of the light models and of PP-OCR: their first run, and each one after it."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import Any

import runtime
from bench.gpu.clock import Clock, Run
from bench.gpu.parts import Emit, attempt
from bench.gpu.peers import on_stream, tensor_of, torch_for
from bench.models import feeds_of, find_model
from bench.standard_models import LIGHT, PACKAGED

__all__ = ["measure"]

NAMES = (*(name for name in PACKAGED if name.startswith("ppocr")), *LIGHT)


def measure(device: str, emit: Emit) -> None:
    """Time each model in float32."""
    torch = torch_for("high")
    with on_stream(torch, "cuda"):
        for name in NAMES:
            attempt(emit, name, partial(_row, torch, device, name))


def _row(torch: Any, device: str, name: str) -> dict[str, Any]:
    model = find_model(name, {})
    feeds = feeds_of(model.inputs, name)
    examples = {name: shape for name, _, shape in model.inputs}
    trace = runtime.from_onnx(model.path, examples=examples)
    given = [tensor_of(torch, feeds[i.name]) for i in trace.graph.inputs]
    start = perf_counter()
    replay = trace.compile(device=device)
    planned = perf_counter()
    bound = replay.bind(*given)
    bound()
    torch.cuda.current_stream().synchronize()
    more = {"plan_seconds": planned - start, "first_run_seconds": perf_counter() - planned}
    runs = {"dispatch": Run(bound), "dispatch, copied": Run(lambda: replay(*given))}
    return Clock(torch).row(name, "dispatch", runs, **more)
