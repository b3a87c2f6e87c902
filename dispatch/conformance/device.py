"""The kit's buffers in a device's own memory: poisoned, between guards, read back as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dispatch.conformance.memory import GUARD, PATTERN, POISON, Buffer
from dispatch.contract import DevicePrepared, Memory, Queue
from dispatch.operator import Array

__all__ = ["DeviceBuffer", "lend", "run_on_device", "take_back"]


class DeviceBuffer(Buffer):
    """Memory on a device for one array, between two guards, with its twin on the host.

    Parameters
    ----------
    memory, queue
        Where.
    shape, dtype
        Of the array.

    Attributes
    ----------
    part : buffer
        What a kernel is given: the array's bytes alone.
    """

    def __init__(
        self, memory: Memory, queue: Queue, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        start = -(-GUARD // memory.alignment(queue)) * memory.alignment(queue)
        self._memory, self._queue = memory, queue
        self._raw = np.full(start + size + GUARD, PATTERN, np.uint8)
        self._start, self._end = start, start + size
        self.bytes = self._raw[start : self._end]
        self.bytes[:] = POISON
        self.array = self.bytes.view(dtype).reshape(shape)
        self._whole = memory.allocate(queue, self._raw.size)
        self.part = memory.part(self._whole, start, size)

    def upload(self) -> None:
        """Copy the twin, guards too, to the device."""
        self._memory.write(self._queue, self._whole, self._raw)

    def download(self) -> None:
        """Copy everything, guards too, from the device."""
        self._memory.read(self._queue, self._whole, self._raw)


def run_on_device(
    prepared: DevicePrepared,
    memory: Memory,
    queue: Queue,
    buffers: Sequence[Any],
    scratch_bytes: int,
) -> str:
    """Run on buffers, among them `DeviceBuffer`; say where scratch was overrun, "" if nowhere."""
    watched = [b for b in buffers if isinstance(b, DeviceBuffer)]
    scratch = None
    if scratch_bytes:
        scratch = DeviceBuffer(memory, queue, (scratch_bytes,), np.dtype(np.uint8))
        watched.append(scratch)
    for buffer in watched:
        buffer.upload()
    arguments = [b.part if isinstance(b, DeviceBuffer) else b for b in buffers]
    prepared.run(arguments, queue, None if scratch is None else scratch.part)
    for buffer in watched:
        buffer.download()
    return "" if scratch is None else scratch.guards_broken()


def lend(memory: Memory, queue: Queue, values: Sequence[Array | None]) -> list[DeviceBuffer | None]:
    """Return constants on the device, for the time of one call."""
    lent: list[DeviceBuffer | None] = []
    for value in values:
        buffer = None
        if value is not None:
            buffer = DeviceBuffer(memory, queue, value.shape, value.dtype)
            buffer.array[...] = value
            buffer.upload()
        lent.append(buffer)
    return lent


def take_back(lent: Sequence[DeviceBuffer | None]) -> None:
    """Poison what was lent, so that no kernel may keep it."""
    for buffer in lent:
        if buffer is not None:
            buffer.bytes[:] = POISON
            buffer.upload()
