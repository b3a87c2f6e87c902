"""Kernels that are one graph of cuDNN's each."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.consistency import is_consistent
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import ANY, NCHW, NHWC, TensorSpec
from kernels.cudnn.capture import keep_if_recorded
from kernels.cudnn.driver import driver
from kernels.cudnn.frontend import Planned, execute, load, plans_of
from kernels.cudnn.graph import IMAGES, Graph
from kernels.cudnn.operations import OPERATIONS
from kernels.cudnn.queue import CudaQueue, own_queues
from kernels.gpu.answers import Speed

__all__ = [
    "DTYPES",
    "GraphKernel",
    "PreparedGraph",
    "chosen_layouts",
    "described",
    "refused",
    "seconds_of",
]

DTYPES = ("float32", "float16", "bfloat16")
CONVOLUTIONS = ("conv2d", "conv_transpose2d")
KEPT_GRAPHS = 4096
STRICT = Speed(launch=5e-6, bytes=2e12, flops=2e13)
TENSOR_CORES = Speed(launch=5e-6, bytes=2e12, flops=2e14)
"""Of a GPU for servers; guesses, as long as nothing was measured."""
LATER_PLANS = 1.1
"""How many times as long as the plan before it a plan is expected to take."""


def chosen_layouts(problem: Problem) -> tuple[str, ...]:
    """Return a layout for each tensor that leaves it open, "" for the others.

    Channels last is what tensor cores read; without them the logical layout does as well.
    """
    images = NCHW if _speed(problem) is STRICT else NHWC

    def choice(tensor: TensorSpec | None) -> str:
        if tensor is None or tensor.layout != ANY:
            return ""
        return images if tensor.rank == 4 and problem.operator in IMAGES else NCHW

    return tuple(choice(tensor) for tensor in problem.tensors)


def _speed(problem: Problem) -> Speed:
    strict = problem.dtype == "float32" and problem.precision != "medium"
    return STRICT if strict else TENSOR_CORES


def refused(problem: Problem, dtypes: Sequence[str]) -> No | None:
    """Refuse other dtypes and layouts, what contradicts itself, and what has no elements."""
    if problem.dtype not in dtypes:
        return No(NoCode.DTYPE, "dtype", ", ".join(dtypes), problem.dtype)
    present = [t for t in problem.tensors if t is not None]
    for tensor in present:
        images = problem.operator in IMAGES and tensor.rank == 4
        if tensor.layout != NCHW and not (images and tensor.layout == NHWC):
            return No(NoCode.LAYOUT, "layout", f"{NCHW}, {NHWC} of images", tensor.layout)
    if not is_consistent(operators()[problem.operator], problem):
        return No(NoCode.SHAPE, "tensors and attributes", "what the operator's rule gives")
    if any(tensor.size == 0 for tensor in present):
        return No(NoCode.SHAPE, "elements", ">= 1", "0")
    return None


@lru_cache(KEPT_GRAPHS)
def described(problem: Problem) -> Graph | No:
    """Return the graph of a problem in concrete layouts, or why there is none; needs no GPU."""
    return refused(problem, DTYPES) or OPERATIONS[problem.operator](problem)


def seconds_of(problem: Problem) -> float:
    """Return how long a library's kernel is expected to take for a problem in concrete layouts."""
    operator, speed = operators()[problem.operator], _speed(problem)
    converted = [t.nbytes for t in _converted(problem)]
    return (
        speed.launch * (1 + len(converted))
        + 2 * sum(converted) / speed.bytes
        + max(operator.bytes_moved(problem) / speed.bytes, operator.flops(problem) / speed.flops)
    )


def _converted(problem: Problem) -> Iterator[TensorSpec]:
    """Yield images that cuDNN brings to the layout that tensor cores read, or back from it.

    It has engines for any mixture of layouts, and says nothing of what they do first.
    """
    if problem.operator in CONVOLUTIONS and _speed(problem) is not STRICT:
        for tensor in problem.tensors:
            if tensor is not None and tensor.rank == 4 and tensor.layout == NCHW:
                yield tensor


@dataclass(frozen=True, slots=True)
class GraphKernel:
    """An operator in one dtype. Engines whose bits differ from run to run aren't taken.

    Parameters
    ----------
    name, source
        As `dispatch.contract.Kernel` has them.
    rank
        Which of cuDNN's plans for a graph, in the order of its heuristics: 0 is the first.
    """

    name: str
    source: str
    rank: int = 0
    deterministic: bool = True

    def query(self, problem: Problem) -> Answer:
        """Have cuDNN plan the graph, once for each."""
        layouts = chosen_layouts(problem)
        graph = described(problem.with_layouts(layouts))
        if isinstance(graph, No):
            return graph
        plans = plans_of(graph, problem.device_id)
        if isinstance(plans, No):
            return plans
        if self.rank >= len(plans):
            return No(NoCode.LIBRARY, "plans", f">= {self.rank + 1}", str(len(plans)))
        return Yes(
            seconds_of(problem.with_layouts(layouts)) * LATER_PLANS**self.rank,
            scratch_bytes=plans[self.rank].workspace,
            layouts=layouts if any(layouts) else (),
        )

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> PreparedGraph:
        """Load the plan on the queue's device."""
        assert isinstance(queue, CudaQueue)
        graph = described(problem)
        assert isinstance(graph, Graph)
        plans = plans_of(graph, problem.device_id)
        assert not isinstance(plans, No)
        return PreparedGraph(graph, plans[self.rank], queue, len(problem.inputs))


class PreparedGraph:
    """A plan on one device: `dispatch.contract.DevicePrepared`.

    Parameters
    ----------
    graph, planned
        What is executed.
    queue
        Any of the device's.
    inputs
        How many the problem has.
    """

    def __init__(self, graph: Graph, planned: Planned, queue: CudaQueue, inputs: int) -> None:
        self._device_id = queue.device_id
        # The frontend records a run of it, so that its code is loaded, and throws it away.
        own = own_queues.on(queue.device_id)
        with own.lock, driver().on(queue.device_id):
            self._loaded = load(planned, own.handle)
        self._arguments = [
            (index + 1, tensor.argument)
            for index, tensor in enumerate(graph.tensors)
            if tensor.argument >= 0
        ]
        self._numbers = {
            index + 1: ctypes.c_float(tensor.value)
            for index, tensor in enumerate(graph.tensors)
            if tensor.value is not None
        }
        self._lock = threading.Lock()
        self.packed_bytes = (0,) * inputs
        self.scratch_bytes = planned.workspace

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        """Nothing is packed."""
        return value

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        """Enqueue on the queue's stream."""
        keep_if_recorded(queue, scratch)
        self._execute(self._addresses(buffers), _pointer(scratch), queue)

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Callable[[], None]:
        """Return a function that enqueues on the addresses given."""
        addresses, workspace = self._addresses(buffers), _pointer(scratch)

        def run(_kept: object = (tuple(buffers), scratch)) -> None:
            self._execute(addresses, workspace, queue)

        return run

    def _addresses(self, buffers: Sequence[Any]) -> dict[int, int]:
        numbers = {uid: ctypes.addressof(number) for uid, number in self._numbers.items()}
        return {**numbers, **{uid: buffers[index].pointer for uid, index in self._arguments}}

    def _execute(self, addresses: Mapping[int, int], workspace: int, queue: CudaQueue) -> None:
        with self._lock, queue.lock, driver().on(self._device_id):
            execute(self._loaded, dict(addresses), workspace, queue.handle)


def _pointer(buffer: Any) -> int:
    return 0 if buffer is None else int(buffer.pointer)
