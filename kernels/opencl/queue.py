"""A caller's command queue, and what belongs to its context."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from dispatch.errors import DeviceUnavailable, InvalidArgument
from kernels.gpu.traits import Traits
from kernels.opencl.described import VARIABLE
from kernels.opencl.library import devices, library, traits_of

__all__ = ["OpenCLQueue", "alignment_of", "here"]

EMPTY_BYTES = 16


def alignment_of(device: Any) -> int:
    """Return at what multiples of bytes a device's buffers may begin within others."""
    return max(int(device.mem_base_addr_align) // 8, 1)


def _number_of(device: Any) -> int:
    try:
        return devices().index(device)
    except ValueError:
        raise DeviceUnavailable(
            f"{device.name.strip()}: no device of this process while {VARIABLE} describes others"
        ) from None


def here(queue: Any) -> OpenCLQueue:
    """Return a queue that work can be enqueued on.

    Raises
    ------
    DeviceUnavailable
        If its device is only described.
    """
    if isinstance(queue, OpenCLQueue):
        return queue
    raise DeviceUnavailable(
        f"{queue}: plans can be made for it and saved with their kernels, nothing runs on it"
    )


class OpenCLQueue:
    """A command queue in order.

    Attributes
    ----------
    handle : pyopencl.CommandQueue
        The caller's.
    device_id : int
        Among `kernels.opencl.library.devices`.
    context : pyopencl.Context
        The caller's.
    traits : Traits
        Of the device.

    Raises
    ------
    InvalidArgument
        If the queue runs out of order, which arrays alone can't be ordered on.
    """

    def __init__(self, handle: Any) -> None:
        cl = library()
        if handle.properties & cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE:
            raise InvalidArgument("queue: expected one that runs in order, got one out of order")
        self.handle = handle
        self.context = handle.context
        device = handle.device
        self.device_id = _number_of(device)
        self.traits: Traits = traits_of(device)
        self.alignment = alignment_of(device)
        self._hash = hash(handle)

    @cached_property
    def empty(self) -> Any:
        """A buffer that stands for tensors without elements."""
        cl = library()
        return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, EMPTY_BYTES)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OpenCLQueue) and self.handle == other.handle

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        return (
            f"OpenCL device {self.device_id} ({self.traits.name}), "
            f"context {self.context.int_ptr:#x}"
        )
