"""A caller's stream, and what belongs to it."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from kernels.cudnn.driver import driver
from kernels.cudnn.library import devices, frontend, traits_of
from kernels.gpu.traits import Traits

__all__ = ["CudaQueue"]


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
    """

    def __init__(self, device_id: int, stream: int, owner: Any) -> None:
        self.device_id, self.stream = device_id, stream
        self._owner = owner

    @property
    def context(self) -> int:
        """The device's primary context, by the device's index: there is one."""
        return self.device_id

    @property
    def traits(self) -> Traits:
        """Of the device."""
        return traits_of(self.device_id)

    @cached_property
    def handle(self) -> Any:
        """A handle of cuDNN for this stream; it serves one thread at a time."""
        cudnn = frontend()
        with driver().on(self.device_id):
            handle = cudnn.create_handle()
            cudnn.set_stream(handle=handle, stream=self.stream)
        return handle

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CudaQueue) and (self.device_id, self.stream) == (
            other.device_id,
            other.stream,
        )

    def __hash__(self) -> int:
        return hash((self.device_id, self.stream))

    def __str__(self) -> str:
        return f"NVIDIA device {self.device_id} ({devices()[self.device_id].name})"
