"""pyopencl's arrays and buffers, as the core knows them."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dispatch.contract import Queue, Span
from dispatch.errors import InvalidArgument
from dispatch.operator import Array
from kernels.gpu.elements import copy_launch, fill_launch
from kernels.gpu.strided import View, dense_strides
from kernels.opencl.described import DescribedDevice, DescribedQueue
from kernels.opencl.enqueue import Prepared
from kernels.opencl.library import devices, library, process, reported, traits_of
from kernels.opencl.queue import OpenCLQueue, alignment_of, here

__all__ = ["OpenCLMemory"]

KEPT_QUEUES = 64


class OpenCLMemory:
    """Memory of OpenCL devices: `dispatch.contract.Memory`."""

    libraries = ("pyopencl",)
    dlpack_devices = ()

    def __init__(self) -> None:
        self._queues: OrderedDict[Any, OpenCLQueue] = OrderedDict()
        self._own: dict[int, OpenCLQueue] = {}
        process.forget_in_child(self.forget)

    def forget(self) -> None:
        """Know no queue any more."""
        self._queues.clear()
        self._own.clear()

    def devices(self) -> Sequence[str]:
        """Return the devices' names."""
        return tuple(device.name.strip() for device in devices())

    def queue_of(self, array: Any) -> OpenCLQueue:
        """Return the queue that an array is tied to."""
        handle = getattr(array, "queue", None)
        found = self._queues.get(handle)
        return found if found is not None else self._known(array, handle)

    def _known(self, array: Any, handle: Any) -> OpenCLQueue:
        cl = library()
        process.enter()
        if not isinstance(array, cl.array.Array):
            raise InvalidArgument(
                f"expected a pyopencl.array.Array, got {type(array).__module__}."
                f"{type(array).__name__}"
            )
        if handle is None:
            raise InvalidArgument(
                "expected an array that is tied to a queue, got one without: "
                "array.with_queue(queue)"
            )
        queue = OpenCLQueue(handle)
        self._queues[handle] = queue
        while len(self._queues) > KEPT_QUEUES:
            self._queues.popitem(last=False)
        return queue

    def open_queue(self, device_id: int) -> OpenCLQueue | DescribedQueue:
        """Return a queue in a context of our own."""
        device = devices()[device_id]
        if isinstance(device, DescribedDevice):
            return DescribedQueue(device_id, traits_of(device), alignment_of(device))
        if device_id not in self._own:
            cl = library()
            process.enter()
            context = cl.Context([device])
            properties = cl.command_queue_properties.PROFILING_ENABLE
            self._own[device_id] = OpenCLQueue(cl.CommandQueue(context, properties=properties))
        return self._own[device_id]

    def describe(self, array: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]:
        """Return an array's dtype, shape and strides."""
        return array.dtype, array.shape, array.strides

    def span(self, array: Any) -> Span:
        """Return the bytes between an array's first and last element."""
        low = high = array.offset
        if array.size == 0:
            return Span(None, 0, 0)
        for extent, stride in zip(array.shape, array.strides, strict=True):
            reach = (extent - 1) * stride
            low, high = low + min(reach, 0), high + max(reach, 0)
        return Span(array.base_data.int_ptr, low, high + array.dtype.itemsize)

    def buffer(self, queue: Queue, array: Any) -> Any | None:
        """Return an array's buffer, part of one where it begins later."""
        queue = here(queue)
        if array.size == 0:
            return queue.empty
        if not isinstance(array.base_data, library().MemoryObjectHolder):
            kind = type(array.base_data).__name__
            raise InvalidArgument(f"expected an array in an OpenCL buffer, got one in {kind}")
        if not array.flags.c_contiguous:
            return None
        if array.offset == 0:
            return array.base_data
        if array.offset % queue.alignment:
            return None
        return self.part(array.base_data, array.offset, array.nbytes)

    def new_array(
        self, queue: Queue, shape: tuple[int, ...], dtype: np.dtype[Any], like: Any
    ) -> Any:
        """Return an array from the allocator of `like`, on its queue."""
        queue = here(queue)
        size, allocator = math.prod(shape), None if like is None else like.allocator
        data = None
        if size:
            with reported(f"{dtype} {shape}"):
                data = self._memory_for(queue, size * dtype.itemsize, allocator)
        # pyopencl's own way past its constructor's checks, which take longer than most kernels.
        return library().array.Array(
            None,
            shape,
            dtype,
            allocator=allocator,
            data=data,
            strides=tuple(stride * dtype.itemsize for stride in dense_strides(shape)),
            _fast=True,
            _size=size,
            _context=queue.context,
            _queue=queue.handle,
        )

    @staticmethod
    def _memory_for(queue: OpenCLQueue, size: int, allocator: Any) -> Any:
        if allocator is not None:
            return allocator(size)
        cl = library()
        return cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, size)

    def copy(self, queue: Queue, target: Any, source: Any) -> None:
        """Enqueue a copy of elements, bit by bit."""
        if source.size == 0:
            return
        queue = here(queue)
        size, views = source.dtype.itemsize, (_view(source), _view(target))
        launch = copy_launch(size, source.shape, *views, queue.traits)
        Prepared((launch,), (), queue).run((source.base_data, target.base_data), queue)

    def fill(self, queue: Queue, array: Any, value: Array) -> None:
        """Enqueue the setting of a dense array's elements."""
        queue = here(queue)
        if array.size == 0:
            return
        launch = fill_launch(array.shape, value, queue.traits)
        Prepared((launch,), (), queue).run((array.base_data,), queue)

    def order(self, first: Queue, then: Queue) -> None:
        """Have one queue wait for another, on the device."""
        first, then = here(first), here(then)
        cl = library()
        marker = cl.enqueue_marker(first.handle)
        first.handle.flush()
        cl.enqueue_barrier(then.handle, wait_for=[marker])

    def allocate(self, queue: Queue, size: int) -> Any:
        """Return a new buffer."""
        queue = here(queue)
        cl = library()
        with reported(f"{size} bytes"):
            return cl.Buffer(queue.context, cl.mem_flags.READ_WRITE, max(size, 1))

    def part(self, buffer: Any, start: int, size: int) -> Any:
        """Return a sub-buffer; of no bytes, one of one."""
        return buffer.get_sub_region(start, max(size, 1))

    def alignment(self, queue: Queue) -> int:
        """Return the device's alignment of sub-buffers."""
        assert isinstance(queue, OpenCLQueue | DescribedQueue)
        return queue.alignment

    def write(self, queue: Queue, buffer: Any, values: Array) -> None:
        """Copy to the device."""
        queue = here(queue)
        if values.nbytes:
            library().enqueue_copy(queue.handle, buffer, _bytes(values), is_blocking=True)

    def read(self, queue: Queue, buffer: Any, values: Array) -> None:
        """Copy from the device."""
        queue = here(queue)
        if values.nbytes:
            library().enqueue_copy(queue.handle, _bytes(values), buffer, is_blocking=True)

    def seconds(self, queue: Queue, work: Callable[[], None]) -> float:
        """Return the time between two markers."""
        queue = here(queue)
        cl = library()
        queue.handle.finish()
        before = cl.enqueue_marker(queue.handle)
        work()
        after = cl.enqueue_marker(queue.handle)
        after.wait()
        return 1e-9 * float(after.profile.end - before.profile.end)


def _bytes(values: Array) -> Array:
    return values.reshape(-1).view(np.uint8)


def _view(array: Any) -> View:
    size = array.dtype.itemsize
    return View(tuple(stride // size for stride in array.strides), array.offset // size)
