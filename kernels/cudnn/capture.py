"""CUDA graphs: what a function enqueues, recorded once, then launched as one; callers' own."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from dispatch.contract import Queue
from kernels.cudnn.driver import driver
from kernels.cudnn.queue import CudaQueue

__all__ = ["keep_if_recorded", "record"]

_recording = threading.RLock()
"""One records at a time: the collector that is held off is the process's."""


def record(queue: CudaQueue, enqueue: Callable[[Queue], None]) -> Callable[[Queue], None]:
    """Record what a function enqueues on a queue; return what launches it on any of the device.

    Parameters
    ----------
    queue
        Of the pack's own: the legacy default stream can't be recorded.
    enqueue
        Lives as long as what is returned, with all that it refers to: prepared kernels and buffers.

    Raises
    ------
    KernelFailed
        If something can't be recorded.
    """
    device_id = queue.device_id
    with _recording, queue.lock, driver().on(device_id):
        queue.make_ready()
        with _no_collection():
            executable = driver().record(queue.stream, lambda: enqueue(queue))
        start = driver().launcher(device_id, executable)

    def launch(queue: Queue, kept: object = enqueue) -> None:
        assert isinstance(queue, CudaQueue)
        start(queue.stream)

    weakref.finalize(launch, driver().discard, device_id, executable).atexit = False
    return launch


_kept: dict[int, Any] = {}
"""Scratch that callers' records have, by its address."""


def keep_if_recorded(queue: CudaQueue, scratch: Any) -> None:
    """Keep scratch for good if a caller records the queue's stream.

    The record has its address, and nobody says when it goes; the queue's scratch is replaced when
    a later call needs more.
    """
    if scratch is None or scratch.pointer in _kept:
        return
    with driver().on(queue.device_id):
        if driver().is_recording(queue.stream):
            _kept[scratch.pointer] = scratch


@contextmanager
def _no_collection() -> Iterator[None]:
    """Hold the collector off: to free a module or memory of a device spoils a recording."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
