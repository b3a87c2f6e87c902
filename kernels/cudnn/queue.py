"""A caller's stream, and what belongs to it."""

from __future__ import annotations

import threading
import weakref
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from dispatch.errors import KernelFailed
from kernels.cudnn.blas import blas
from kernels.cudnn.driver import driver
from kernels.cudnn.frontend import new_handle
from kernels.cudnn.library import cupy, devices, frontend, process, traits_of
from kernels.gpu.traits import Traits

__all__ = ["CudaQueue", "Handles", "OwnQueues", "own_queues"]


class Handles:
    """A library's handles, lent to queues and taken back when these are gone.

    None is destroyed: that would wait for the device, and a queue may go at any time.

    Parameters
    ----------
    make
        Creates one on the device whose context is current.
    aim
        Sets a handle's stream.
    """

    def __init__(self, make: Callable[[], Any], aim: Callable[[Any, int], None]) -> None:
        self._make, self._aim = make, aim
        self._free: defaultdict[int, list[Any]] = defaultdict(list)

    def lend(self, queue: CudaQueue) -> Any:
        """Return a handle for a queue, set to its stream."""
        free = self._free[queue.device_id]
        with driver().on(queue.device_id):
            handle = None
            with suppress(IndexError):
                handle = free.pop()
            if handle is None:
                handle = self._make()
            weakref.finalize(queue, free.append, handle).atexit = False
            self._aim(handle, queue.stream)
        return handle

    def forget(self) -> None:
        """Lend none of those that were taken back."""
        self._free.clear()


dnn_handles = Handles(
    new_handle,
    lambda handle, stream: frontend().set_stream(handle=handle, stream=stream),
)
blas_handles = Handles(
    lambda: blas().create(), lambda handle, stream: blas().set_stream(handle, stream)
)


class CudaQueue:
    """A stream of a device.

    Parameters
    ----------
    device_id
        Among `kernels.cudnn.library.devices`.
    stream
        The driver's handle; 0 for the default stream.
    owner
        Whose stream it is, kept so that the handle stays its own.
    thread
        Whose it is, where each thread has one by the same handle.

    Attributes
    ----------
    lock : threading.RLock
        Held while a handle is used: it serves one thread at a time.
    """

    def __init__(self, device_id: int, stream: int, owner: Any, thread: int = 0) -> None:
        self.device_id, self.stream, self.thread = device_id, stream, thread
        self.lock = threading.RLock()
        self._owner = owner
        self._handle: Any = None
        self._blas_handle: int | None = None

    @property
    def context(self) -> int:
        """The device's primary context, by the device's index: there is one."""
        return self.device_id

    @property
    def traits(self) -> Traits:
        """Of the device."""
        return traits_of(self.device_id)

    @property
    def handle(self) -> Any:
        """A handle of cuDNN for this stream."""
        with self.lock:
            if self._handle is None:
                self._handle = dnn_handles.lend(self)
            return self._handle

    @property
    def blas_handle(self) -> int:
        """A handle of cuBLAS for this stream."""
        with self.lock:
            if self._blas_handle is None:
                self._blas_handle = blas_handles.lend(self)
            return self._blas_handle

    def make_ready(self) -> None:
        """Have both handles, as far as they can be had: to create one allocates.

        A library that doesn't work here is missed by its own kernels alone, and they say so.
        """
        for handle in ("handle", "blas_handle"):
            with suppress(KernelFailed):
                getattr(self, handle)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CudaQueue) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[int, int, int]:
        return self.device_id, self.stream, self.thread

    def __str__(self) -> str:
        return f"NVIDIA device {self.device_id} ({devices()[self.device_id].name})"


class OwnQueues:
    """A queue of the pack's own for each device, for what is recorded.

    What a stream is given while it is recorded doesn't run: on a caller's stream that would be
    other threads' work, too. Who uses one holds its lock.
    """

    def __init__(self) -> None:
        self._queues: dict[int, CudaQueue] = {}
        self._lock = threading.Lock()
        process.forget_in_child(self.forget)

    def on(self, device_id: int) -> CudaQueue:
        """Return a device's."""
        with self._lock:
            found = self._queues.get(device_id)
            if found is None:
                with cupy().cuda.Device(device_id):
                    stream = cupy().cuda.Stream(non_blocking=True)
                found = self._queues[device_id] = CudaQueue(device_id, int(stream.ptr), stream)
            return found

    def forget(self) -> None:
        """Know none any more."""
        self._queues.clear()


own_queues = OwnQueues()
