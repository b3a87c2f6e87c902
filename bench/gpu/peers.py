"""PyTorch on a device: how it is told to compute, recorded, and compiled."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from typing import Any

import numpy as np

from bench.engines.base import require
from bench.errors import WrongResult
from bench.gpu.clock import Run
from dispatch.operator import Array
from dispatch.problem import Precision, Problem
from dispatch.registry import GROUP

__all__ = ["check_close", "compiled", "fused", "on_stream", "recorded", "tensor_of", "torch_for"]

COPIES = 20
"""Runs in a recorded graph, so that to start it counts for little."""
WARM_UP = 3


def _offered() -> Iterator[Any]:
    """Yield the packs' modules ``peers``: what PyTorch calls their libraries is their affair.

    Each has ``tell(torch, precision)`` and ``fused(torch, problem, tensors)``.
    """
    for point in metadata.entry_points(group=GROUP):
        name = f"{point.module}.peers"
        if importlib.util.find_spec(name) is not None:
            yield importlib.import_module(name)


def torch_for(precision: Precision) -> Any:
    """Return PyTorch, choosing its kernels by timing them, with products as a precision allows."""
    torch = require("torch", "peers")
    torch.set_grad_enabled(False)
    for peers in _offered():
        peers.tell(torch, precision)
    return torch


def fused(torch: Any, problem: Problem, tensors: Sequence[Any]) -> Iterator[Callable[[], Any]]:
    """Yield PyTorch's functions of the whole problem in one, as far as it runs them."""
    for peers in _offered():
        function = peers.fused(torch, problem, tensors)
        if function is None:
            continue
        try:
            function()
        except RuntimeError:  # it has them for some dtypes and layouts alone
            continue
        yield function


@contextmanager
def on_stream(torch: Any, device: str) -> Iterator[None]:
    """Work on a stream that can be recorded."""
    with torch.cuda.device(device), torch.cuda.stream(torch.cuda.Stream()):
        yield


def tensor_of(torch: Any, array: Array, device: str = "cuda") -> Any:
    """Return a tensor of an array's values on a device."""
    if array.dtype.name == "bfloat16":
        bits = torch.from_numpy(np.ascontiguousarray(array).view("uint16").copy())
        return bits.view(torch.bfloat16).to(device)
    return torch.from_numpy(np.array(array)).to(device)


def recorded(torch: Any, function: Callable[[], Any], copies: int = COPIES) -> Run:
    """Return a CUDA graph of some runs of a function."""
    for _ in range(WARM_UP):
        function()
    torch.cuda.current_stream().synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        for _ in range(copies):
            function()
    return Run(graph.replay, copies)


def compiled(torch: Any, function: Callable[..., Any], *given: Any) -> Run:
    """Return a module compiled as well as PyTorch can, on tensors that stay where they are.

    Said so, they aren't copied before each run, as those of a bound replay aren't.
    """
    for tensor in given:
        torch._dynamo.mark_static_address(tensor)
    made = torch.compile(function, mode="max-autotune", fullgraph=True, dynamic=False)
    for _ in range(WARM_UP):
        made(*given)
    return Run(lambda: made(*given))


def check_close(case: str, got: Any, wanted: Any, tolerance: float) -> None:
    """Compare two tensors.

    Raises
    ------
    WrongResult
        If they differ by more than a part of the largest element.
    """
    got, wanted = got.double(), wanted.double()
    error = float((got - wanted).abs().max() / wanted.abs().max())
    if not error <= tolerance:
        raise WrongResult(f"{case}: expected PyTorch's result within {tolerance:g}, got {error:g}")
