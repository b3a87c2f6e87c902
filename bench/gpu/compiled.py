"""ResNet-50 as a whole: a bound replay beside PyTorch, compiled as well as it can."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.gpu.clock import Clock, Run
from bench.gpu.parts import Emit, attempt
from bench.gpu.peers import compiled, on_stream, torch_for
from bench.gpu.resnet50 import BATCHES, OURS, module_of, parameters, prepared
from dispatch.operator import Array

__all__ = ["measure"]


def measure(device: str, emit: Emit) -> None:
    """Time both batches; what was tuned before isn't tuned again."""
    torch, own = torch_for("high"), parameters()
    module = module_of(torch, own)
    with on_stream(torch, "cuda"):
        for batch in BATCHES:
            case = f"batch {batch}, compiled"
            attempt(emit, case, partial(_row, torch, device, own, module, batch, case))


def _row(
    torch: Any,
    device: str,
    own: Sequence[tuple[Array, Array]],
    module: Any,
    batch: int,
    case: str,
) -> dict[str, Any]:
    ready = prepared(torch, device, own, module, batch)
    runs = {OURS: Run(ready.bound), "torch.compile": compiled(torch, module, ready.x)}
    return Clock(torch).row(case, OURS, runs)
