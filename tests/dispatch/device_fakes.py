"""A device with memory of its own that is made of NumPy, for tests without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.contract import Span
from dispatch.dtypes import numpy_dtype
from dispatch.errors import InvalidArgument
from dispatch.operators import operators
from dispatch.quantized import reference_arguments

ALIGNMENT = 128
"""Of the fake device's buffers within others."""


@dataclass(eq=False)
class Queue:
    """Enqueued work is done when somebody asks for it."""

    device_id: int = 0
    context: str = "c"
    work: list[Any] = field(default_factory=list)

    def enqueue(self, function: Any) -> None:
        self.work.append(function)

    def finish(self) -> None:
        while self.work:
            self.work.pop(0)()

    def __str__(self) -> str:
        return f"fake device {self.device_id}, context {self.context}"


class Array:
    """A device's array: nobody reads it but by `get`."""

    def __init__(self, queue: Queue, hidden: np.ndarray[Any, Any]) -> None:
        self.queue, self.hidden = queue, hidden

    def get(self) -> np.ndarray[Any, Any]:
        self.queue.finish()
        return self.hidden.copy()

    def __getitem__(self, index: Any) -> Array:
        return Array(self.queue, self.hidden[index])


class TensorAnywhere(Array):
    """An array of a library whose arrays lie in several places, as DLPack says."""

    __module__ = "library.anywhere"

    def __dlpack_device__(self) -> tuple[int, int]:
        return (17, 0)


class Memory:
    """The fake device's memory: `dispatch.contract.Memory`."""

    libraries = (Array.__module__.partition(".")[0],)
    dlpack_devices = (17,)

    def __init__(self) -> None:
        self.allocated = 0
        self.copies = 0
        self.written = 0
        self.own: dict[int, Queue] = {}

    def devices(self) -> Sequence[str]:
        return ("first", "second")

    def queue_of(self, array: Any) -> Queue:
        if not isinstance(array, Array):
            raise InvalidArgument(f"expected a fake array, got {type(array).__name__}")
        return array.queue

    def describe(self, array: Any) -> tuple[Any, tuple[int, ...], tuple[int, ...]]:
        return array.hidden.dtype, array.hidden.shape, array.hidden.strides

    def span(self, array: Any) -> Span:
        hidden = array.hidden
        steps = [(n - 1) * s for n, s in zip(hidden.shape, hidden.strides, strict=True)]
        start = hidden.__array_interface__["data"][0] + sum(min(s, 0) for s in steps)
        return Span("memory", start, start + sum(map(abs, steps)) + hidden.itemsize)

    def buffer(self, queue: Any, array: Any) -> Any:
        return array.hidden if array.hidden.flags.c_contiguous else None

    def new_array(self, queue: Any, shape: Any, dtype: Any, like: Any) -> Any:
        return (Array if like is None else type(like))(queue, np.full(shape, 77, dtype))

    def copy(self, queue: Any, target: Any, source: Any) -> None:
        self.copies += 1
        queue.enqueue(lambda: np.copyto(target.hidden, source.hidden))

    def fill(self, queue: Any, array: Any, value: Any) -> None:
        queue.enqueue(lambda: array.hidden.fill(value))

    def order(self, first: Any, then: Any) -> None:
        then.enqueue(first.finish)

    def allocate(self, queue: Any, size: int) -> Any:
        self.allocated += 1
        return np.full(max(size, 1), 0x77, np.uint8)

    def part(self, buffer: Any, start: int, size: int) -> Any:
        assert start % ALIGNMENT == 0 and start + size <= buffer.size
        return buffer[start : start + size]

    def alignment(self, queue: Any) -> int:
        return ALIGNMENT

    def open_queue(self, device_id: int) -> Queue:
        return self.own.setdefault(device_id, Queue(device_id, "the pack's own"))

    def write(self, queue: Any, buffer: Any, values: Any) -> None:
        queue.finish()
        self.written += 1
        buffer[: values.nbytes] = values.reshape(-1).view(np.uint8)

    def read(self, queue: Any, buffer: Any, values: Any) -> None:
        queue.finish()
        flat = buffer.reshape(-1).view(np.uint8)[: values.nbytes]
        values[...] = flat.view(values.dtype).reshape(values.shape)

    def seconds(self, queue: Any, work: Any) -> float:
        work()
        queue.finish()
        return 1e-3


class RecordingMemory(Memory):
    """The same of a device that records work: `dispatch.contract.CapturingMemory`."""

    def __init__(self) -> None:
        super().__init__()
        self.records = 0
        self.launches = 0

    def capture(self, queue: Any, enqueue: Any) -> Any:
        record = Queue(queue.device_id, queue.context)
        allocated = self.allocated
        enqueue(record)
        assert self.allocated == allocated, "nothing may be allocated meanwhile"
        self.records += 1

        def launch(target: Queue) -> None:
            self.launches += 1
            target.work += record.work

        return launch


@dataclass
class Prepared:
    kernel: Kernel
    problem: Any
    scratch_bytes: int
    packed_bytes: tuple[int, ...]

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        self.kernel.packed.append(index)
        copy = np.empty_like(value)
        queue.enqueue(lambda: np.copyto(copy, value))
        return copy

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        self.kernel.scratch.append(None if scratch is None else scratch.size)
        self.kernel.runs += 1
        queue.enqueue(self._work(buffers))

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Any:
        self.kernel.bound += 1
        work = self._work(buffers)
        return lambda: queue.enqueue(work)

    def _work(self, buffers: Sequence[Any]) -> Any:
        problem, count = self.problem, len(self.problem.inputs)
        arrays = [
            None if b is None or spec is None else _typed(b, spec)
            for b, spec in zip(buffers, problem.tensors, strict=True)
        ]

        def work() -> None:
            given = arrays[: problem.num_operator_inputs]
            inputs, attributes = reference_arguments(problem, given)
            results = operators()[problem.operator].reference(inputs, attributes)
            for target, result in zip(arrays[count:], results, strict=True):
                np.copyto(target, result, casting="unsafe")

        return work


def _typed(buffer: Any, spec: Any) -> Any:
    """Return a buffer's bytes as a tensor, which must be a view."""
    flat = buffer.reshape(-1).view(np.uint8)[: spec.nbytes]
    return flat.view(numpy_dtype(spec.dtype)).reshape(spec.shape)


@dataclass
class Kernel:
    name: str
    answer: Yes = field(default_factory=lambda: Yes(1e-6))
    source: str = "device_fakes.py:1"
    deterministic: bool = True
    packed: list[int] = field(default_factory=list)
    scratch: list[Any] = field(default_factory=list)
    prepared: int = 0
    runs: int = 0
    bound: int = 0

    def query(self, problem: Any) -> Answer:
        if problem.epilogue:
            return No(NoCode.EPILOGUE, "epilogue", "none")
        if any(t is not None and t.layout not in ("nchw", "any") for t in problem.tensors):
            return No(NoCode.LAYOUT, "layout", "nchw")
        layouts = tuple("" if t is None else "nchw" for t in problem.tensors)
        return replace(self.answer, layouts=layouts)

    def prepare(self, problem: Any, constants: Any, queue: Any = None) -> Prepared:
        self.prepared += 1
        packed = self.answer.packed_bytes or (0,) * len(problem.inputs)
        return Prepared(self, problem, self.answer.scratch_bytes, packed)


class Pack:
    """Serves the device "opencl" by memory of its own."""

    name = "fake"
    devices = ("opencl",)
    fallback = False
    version = library_version = "1"

    def __init__(self, *kernels: Kernel, memory: Memory | None = None) -> None:
        self.kernels, self.memory = kernels, memory or Memory()

    def open(self, options: Any = None) -> Pack:
        return self
