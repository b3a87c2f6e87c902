"""Convolutions and products one by one: the fastest kernel here beside PyTorch's, and CuPy's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from bench.case import Case, cases_of
from bench.engines.base import require
from bench.engines.peer_torch import TorchEngine
from bench.gpu.clock import Clock, Run
from bench.gpu.parts import Emit, attempt
from bench.gpu.peers import COPIES, check_close, fused, on_stream, recorded, tensor_of, torch_for
from dispatch.context import settings, using
from dispatch.contract import CapturingMemory, DevicePrepared, Queue
from dispatch.operator import Array
from dispatch.problem import Precision, Problem
from dispatch.registry import registry
from dispatch.tensor import ANY
from dispatch.tuning.buffers import logical_outputs
from dispatch.tuning.contest import contest_of, hold
from dispatch.tuning.race import Effort
from dispatch.tuning.values import arrays_of
from dispatch.tuning.workload import DeviceWorkload, prepare

__all__ = ["TOLERANCE", "fastest", "measure"]

WAYS: tuple[tuple[str, str, Precision], ...] = (
    ("bf16", "bfloat16", "high"),
    ("strict f32", "float32", "high"),
    ("TF32", "float32", "medium"),
)
GROUPS = (("linear", "transformer"), ("matmul", "transformer"), ("conv2d", "resnet50"))
"""Operators and shape sets; the short ones first."""
EFFORT = Effort(seconds=0.3, rounds=7)
TOLERANCE = {"bf16": 3e-2, "strict f32": 1e-4, "TF32": 1e-2}
OURS = "dispatch"


def measure(device: str, emit: Emit) -> None:
    """Time every case in every precision, in turns: what is cut off is the same in each."""
    torch = torch_for("high")
    with on_stream(torch, "cuda"):
        for way, precision, case in _in_turns(device):
            torch_for(precision)
            with using(device=device, precision=precision):
                attempt(emit, f"{case.name} {way}", partial(_row, torch, way, case))


def _in_turns(device: str) -> Iterator[tuple[str, Precision, Case]]:
    for operator, shapes in GROUPS:
        ways = []
        for way, dtype, precision in WAYS:
            with using(device=device, precision=precision):  # both are in a case's problem
                cases = cases_of(operator, shapes, dtype)
            ways.append([(way, precision, case) for case in cases])
        for alike in zip(*ways, strict=True):
            yield from alike


def _row(torch: Any, way: str, case: Case) -> dict[str, Any]:
    problem = case.problem
    arrays = arrays_of(problem)
    workload, name = fastest(problem, arrays)
    runs = {OURS: _recorded_steps(workload, _queue(torch, workload))}
    peers = dict(_torch(torch, problem, arrays))
    (ours,) = logical_outputs(problem, workload.outputs())
    for function in peers.values():
        shape = problem.outputs[0].shape
        check_close(case.label, tensor_of(torch, ours), function().reshape(shape), TOLERANCE[way])
    runs |= {peer: recorded(torch, function) for peer, function in peers.items()}
    runs["torch, eager"] = Run(next(iter(peers.values())))
    with _cupy(torch, way, problem, arrays) as cupys:
        runs |= cupys
        more = {"way": way, "count": case.count, "kernel": name}
        return Clock(torch).row(f"{case.name} {way}", OURS, runs, **more)


def fastest(problem: Problem, arrays: list[Array | None]) -> tuple[DeviceWorkload, str]:
    """Return the kernel that takes least, in the layouts that it takes, and its name."""
    opened = problem.with_layouts(tuple("" if t is None else ANY for t in problem.tensors))
    best = min(
        hold(contest_of(problem, settings(), [problem, opened]), EFFORT), key=lambda r: r.seconds
    )
    workload = prepare(registry().find(best.kernel), Problem.from_json(best.problem), arrays)
    assert isinstance(workload, DeviceWorkload)
    return workload, best.kernel


def _queue(torch: Any, workload: DeviceWorkload) -> Queue:
    return workload.memory.queue_of(torch.empty(1, device="cuda"))


def _recorded_steps(workload: DeviceWorkload, queue: Queue) -> Run:
    """Return a recorded graph of some runs of a kernel, started on a queue."""
    memory, prepared = workload.memory, workload.prepared
    assert isinstance(memory, CapturingMemory) and isinstance(prepared, DevicePrepared)
    size = prepared.scratch_bytes
    scratch = memory.allocate(queue, size) if size else None

    def enqueue(queue: Queue) -> None:
        step = prepared.bind(workload.buffers, queue, scratch)
        for _ in range(COPIES):
            step()

    launch = memory.capture(queue, enqueue)
    return Run(lambda: launch(queue), COPIES)


def _torch(
    torch: Any, problem: Problem, arrays: list[Array | None]
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield PyTorch's functions, for images in both orders of axes; fused where it can."""

    def last(tensor: Any) -> Any:
        placed = tensor.cuda()
        return placed.to(memory_format=torch.channels_last) if placed.dim() == 4 else placed

    places: dict[str, Callable[[Any], Any]] = {"torch": lambda tensor: tensor.cuda()}
    if problem.operator == "conv2d":
        places["torch, channels last"] = last
    for name, place in places.items():
        yield name, TorchEngine(1, place).prepare(problem, arrays).function
        tensors = [None if a is None else place(tensor_of(torch, a)) for a in arrays]
        for function in fused(torch, problem, tensors):
            yield f"{name}, fused", function


@contextmanager
def _cupy(
    torch: Any, way: str, problem: Problem, arrays: list[Array | None]
) -> Iterator[dict[str, Run]]:
    """Give CuPy's product without bias and epilogue, on PyTorch's stream."""
    if problem.operator == "conv2d" or way != "strict f32":
        yield {}
        return
    cupy = require("cupy", "nvidia")
    a, b = (cupy.asarray(np.asarray(array)) for array in arrays[:2])
    right = b.T if problem.operator == "linear" else b
    with cupy.cuda.Stream.from_external(torch.cuda.current_stream()):
        yield {"cupy, the product alone": Run(lambda: cupy.matmul(a, right))}
