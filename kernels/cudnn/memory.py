"""CuPy's arrays and PyTorch's tensors on NVIDIA GPUs, as the core knows them."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dispatch.contract import Queue, Span
from dispatch.errors import KernelFailed
from dispatch.operator import Array
from kernels.cudnn.arrays import CUPY, device_memory, library_of
from kernels.cudnn.capture import record
from kernels.cudnn.driver import driver
from kernels.cudnn.enqueue import PreparedLaunches
from kernels.cudnn.library import devices, process
from kernels.cudnn.queue import CudaQueue, own_queues
from kernels.gpu.elements import copy_launch, fill_launch
from kernels.gpu.strided import View, dense_strides

__all__ = ["Buffer", "CudaMemory"]

CUDA = 2
"""DLPack's kDLCUDA."""
PER_THREAD = 2
"""CU_STREAM_PER_THREAD: a handle of another stream in each thread, with scratch of its own."""
KEPT_QUEUES = 64
ALIGNMENT = 16
"""What cuDNN expects of tensors."""
PART_ALIGNMENT = 256
"""What cuBLAS expects of its workspace."""


class Buffer(NamedTuple):
    """An address, and what keeps the memory there.

    Parameters
    ----------
    pointer
        The address.
    owner
        An array or an allocation.
    """

    pointer: int
    owner: Any


class CudaMemory:
    """Memory of NVIDIA GPUs: `dispatch.contract.Memory`."""

    libraries = ("cupy",)
    dlpack_devices = (CUDA,)

    def __init__(self) -> None:
        self._queues: OrderedDict[tuple[int, int, int], CudaQueue] = OrderedDict()
        process.forget_in_child(self.forget)

    def forget(self) -> None:
        """Know no queue any more."""
        self._queues.clear()

    def devices(self) -> Sequence[str]:
        """Return the devices' names."""
        return tuple(gpu.name for gpu in devices())

    def queue_of(self, array: Any) -> CudaQueue:
        """Return the current stream of an array's library on its device."""
        library = library_of(array)
        device_id = library.device_id(array)
        return self._queue(device_id, *library.stream(device_id))

    def open_queue(self, device_id: int) -> CudaQueue:
        """Return CuPy's current stream, which arrays made for nobody's like are tied to."""
        return self._queue(device_id, *CUPY.stream(device_id))

    def _queue(self, device_id: int, stream: int, owner: Any) -> CudaQueue:
        thread = threading.get_ident() if stream == PER_THREAD else 0
        key = device_id, stream, thread
        found = self._queues.get(key)
        if found is None:
            process.enter()
            found = self._queues[key] = CudaQueue(device_id, stream, owner, thread)
            while len(self._queues) > KEPT_QUEUES:
                self._queues.popitem(last=False)
        return found

    def capture(self, queue: Queue, enqueue: Callable[[Queue], None]) -> Callable[[Queue], None]:
        """Record what `enqueue` puts on a queue as a CUDA graph.

        What it returns keeps `enqueue`, and with it kernels and buffers. It may be called by
        several threads and on several queues, one behind the other.
        """
        return record(own_queues.on(queue.device_id), enqueue)

    def describe(self, array: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]:
        """Return an array's dtype, shape and strides."""
        return library_of(array).describe(array)

    def span(self, array: Any) -> Span:
        """Return the bytes between an array's first and last element."""
        library = library_of(array)
        dtype, shape, strides = library.describe(array)
        if 0 in shape:
            return Span(None, 0, 0)
        low = high = library.pointer(array)
        for extent, stride in zip(shape, strides, strict=True):
            reach = (extent - 1) * stride
            low, high = low + min(reach, 0), high + max(reach, 0)
        return Span(library.device_id(array), low, high + dtype.itemsize)

    def buffer(self, queue: Queue, array: Any) -> Buffer | None:
        """Return an array's address."""
        library = library_of(array)
        dtype, shape, strides = library.describe(array)
        if 0 in shape:
            return Buffer(0, array)
        pointer = library.pointer(array)
        if pointer % ALIGNMENT or not _is_dense(shape, strides, dtype.itemsize):
            return None
        return Buffer(pointer, array)

    def new_array(
        self, queue: Queue, shape: tuple[int, ...], dtype: np.dtype[Any], like: Any
    ) -> Any:
        """Return an array of the library of `like`, from its allocator; CuPy's by default."""
        library = CUPY if like is None else library_of(like)
        return library.new(shape, dtype, queue.device_id)

    def copy(self, queue: Queue, target: Any, source: Any) -> None:
        """Enqueue a copy of bytes between dense arrays, of elements between others."""
        assert isinstance(queue, CudaQueue)
        dtype, shape, strides = self.describe(source)
        if 0 in shape:
            return
        given, made = (library_of(a).pointer(a) for a in (source, target))
        to = self.describe(target)[2]
        if all(_is_dense(shape, steps, dtype.itemsize) for steps in (strides, to)):
            with driver().on(queue.device_id):
                driver().copy(made, given, math.prod(shape) * dtype.itemsize, queue.stream)
            return
        size = dtype.itemsize
        launch = copy_launch(size, shape, _view(strides, size), _view(to, size), queue.traits)
        buffers = [Buffer(given, source), Buffer(made, target)]
        PreparedLaunches((launch,), (), queue).run(buffers, queue)

    def fill(self, queue: Queue, array: Any, value: Array) -> None:
        """Enqueue the setting of a dense array's elements."""
        assert isinstance(queue, CudaQueue)
        shape = self.describe(array)[1]
        if 0 in shape:
            return
        launch = fill_launch(shape, value, queue.traits)
        buffer = Buffer(library_of(array).pointer(array), array)
        PreparedLaunches((launch,), (), queue).run([buffer], queue)

    def order(self, first: Queue, then: Queue) -> None:
        """Have one stream wait for another, on the device."""
        assert isinstance(first, CudaQueue)
        assert isinstance(then, CudaQueue)
        with driver().on(first.device_id):
            driver().order(first.stream, then.stream)

    def allocate(self, queue: Queue, size: int) -> Buffer:
        """Return memory from CuPy's pool.

        Raises
        ------
        KernelFailed
            If a caller records the stream: to allocate would spoil that, and the record would
            keep an address that isn't its own.
        """
        assert isinstance(queue, CudaQueue)
        with driver().on(queue.device_id):
            if driver().is_recording(queue.stream):
                raise KernelFailed(
                    f"CUDA: no {size} bytes while the stream is recorded: make the same call on "
                    f"it before, outside of the recording"
                )
        return Buffer(*device_memory(queue.device_id, queue.stream, size))

    def part(self, buffer: Buffer, start: int, size: int) -> Buffer:
        """Return a later address of the same memory."""
        return Buffer(buffer.pointer + start, buffer.owner)

    def alignment(self, queue: Queue) -> int:
        """Return what tensors and workspaces start at multiples of."""
        return PART_ALIGNMENT

    def write(self, queue: Queue, buffer: Buffer, values: Array) -> None:
        """Copy to the device."""
        assert isinstance(queue, CudaQueue)
        if values.nbytes:
            with driver().on(queue.device_id):
                driver().write(queue.stream, buffer.pointer, values)

    def read(self, queue: Queue, buffer: Buffer, values: Array) -> None:
        """Copy from the device."""
        assert isinstance(queue, CudaQueue)
        if values.nbytes:
            with driver().on(queue.device_id):
                driver().read(queue.stream, values, buffer.pointer)

    def seconds(self, queue: Queue, work: Callable[[], None]) -> float:
        """Return the time between two events."""
        assert isinstance(queue, CudaQueue)
        with driver().on(queue.device_id):
            return driver().seconds(queue.stream, work)


def _view(strides: Sequence[int], itemsize: int) -> View:
    return View(tuple(stride // itemsize for stride in strides))


def _is_dense(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> bool:
    """Say whether elements lie in C order without gaps; axes of one element count for nothing."""
    return all(
        extent == 1 or stride == step * itemsize
        for extent, stride, step in zip(shape, strides, dense_strides(shape), strict=True)
    )
