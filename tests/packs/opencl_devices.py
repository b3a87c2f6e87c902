"""OpenCL devices for tests, or the reason why there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dispatch

pyopencl = pytest.importorskip(
    "pyopencl", reason="pyopencl is not installed (make test-opencl installs it and two drivers)"
)

DEVICE = next(d for d in dispatch.devices() if d.name == "opencl")
if not DEVICE.available:
    pytest.skip(DEVICE.missing, allow_module_level=True)

from kernels.opencl.library import devices  # noqa: E402  after what skips


class Caller:
    """A caller with a context and a queue of his own on one device."""

    def __init__(self, device_id: int) -> None:
        self.device_id = device_id
        self.context = pyopencl.Context([devices()[device_id]])
        self.queue = pyopencl.CommandQueue(self.context)

    def to_device(self, array: Any, queue: Any = None) -> Any:
        """Return a copy of a NumPy array on the device."""
        return pyopencl.array.to_device(queue or self.queue, np.asarray(array))

    def other_queue(self) -> Any:
        """Return another queue of the same context."""
        return pyopencl.CommandQueue(self.context)


CALLERS = [Caller(number) for number in range(len(devices()))]


def name_of(caller: Caller) -> str:
    """Return a test's name for a device."""
    return f"device{caller.device_id}"


def float32(rng: np.random.Generator, *shape: int) -> Any:
    """Return numbers from -1 to 1."""
    return rng.uniform(-1.0, 1.0, shape).astype(np.float32)


each_device = pytest.mark.parametrize("caller", CALLERS, ids=name_of)
