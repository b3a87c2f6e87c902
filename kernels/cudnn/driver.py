"""The CUDA driver by its C interface: devices, programs, launches, graphs, copies, events."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import c_char, c_float, c_int, c_size_t, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any

from dispatch.errors import DispatchError, KernelFailed, OutOfMemory, PackUnavailable

__all__ = ["GPU", "MIN_DRIVER", "Driver", "driver"]

MIN_DRIVER = 13000
"""The CUDA version that the extra's libraries are made for, as cuDriverGetVersion gives it."""
HINT = "install NVIDIA's driver 580 or later, and see `nvidia-smi`"

_NO_DEVICE, _OUT_OF_MEMORY = 100, 2
_LOST = (46, 214, 226, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911)
"""After these nothing works in the process: unavailable, ECC, bad access, launch failure …"""

_NAME_BYTES = 256
_ATTRIBUTES = {
    "major": 75,
    "minor": 76,
    "max_items": 1,
    "local_bytes": 8,
    "units": 16,
}
"""Numbers of CUdevice_attribute."""
_NO_TIMING = 2
_THIS_THREADS_CALLS = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile, recording ignores."""


@dataclass(frozen=True, slots=True)
class GPU:
    """A device.

    Parameters
    ----------
    name
        Its own.
    capability
        Compute capability, as 90 for 9.0.
    max_items, local_bytes
        Threads of a block, and shared memory that it has without asking for more.
    units
        Multiprocessors.
    """

    name: str
    capability: int
    max_items: int
    local_bytes: int
    units: int


class Driver:
    """The functions of libcuda that the pack uses; every failure becomes one of the project's.

    Parameters
    ----------
    library
        What has the C functions.
    """

    def __init__(self, library: Any) -> None:
        self._c = library
        self._contexts: dict[int, int] = {}

    def call(self, function: str, *arguments: Any, what: str = "") -> None:
        """Call a C function.

        Raises
        ------
        OutOfMemory, KernelFailed
            If it doesn't give CUDA_SUCCESS.
        """
        status = getattr(self._c, function)(*arguments)
        if status:
            raise self.failure(status, what or function)

    def failure(self, status: int, what: str) -> DispatchError:
        """Return the exception for a status."""
        text = ctypes.c_char_p()
        self._c.cuGetErrorString(status, ctypes.byref(text))
        reason = f"{what}: {(text.value or b'unknown error').decode()} ({status})"
        if status == _OUT_OF_MEMORY:
            return OutOfMemory(f"CUDA: no memory for {reason}")
        if status in _LOST:
            return KernelFailed(f"CUDA: {reason}; the device is lost to this process: start anew")
        return KernelFailed(f"CUDA: {reason}")

    @property
    def version(self) -> int:
        """The latest CUDA version that the driver knows."""
        number = c_int()
        self.call("cuDriverGetVersion", ctypes.byref(number))
        return number.value

    def devices(self) -> tuple[GPU, ...]:
        """Return all devices.

        Raises
        ------
        PackUnavailable
            If there is none.
        """
        status = self._c.cuInit(0)
        count = c_int()
        if status == 0:
            self.call("cuDeviceGetCount", ctypes.byref(count))
        elif status != _NO_DEVICE:
            raise PackUnavailable(f"pack cudnn: {self.failure(status, 'cuInit')}; {HINT}")
        if count.value == 0:
            raise PackUnavailable(f"pack cudnn: no NVIDIA GPU is visible; {HINT}")
        return tuple(self._device(index) for index in range(count.value))

    def _device(self, index: int) -> GPU:
        name, number = (c_char * _NAME_BYTES)(), c_int()
        self.call("cuDeviceGetName", name, _NAME_BYTES, index)
        found = {}
        for key, attribute in _ATTRIBUTES.items():
            self.call("cuDeviceGetAttribute", ctypes.byref(number), attribute, index)
            found[key] = number.value
        capability = 10 * found.pop("major") + found.pop("minor")
        return GPU(name.value.decode(), capability, **found)

    def context(self, device_id: int) -> int:
        """Return a device's primary context, which CuPy's and PyTorch's arrays are of."""
        context = self._contexts.get(device_id)
        if context is None:
            retained = c_void_p()
            self.call("cuDevicePrimaryCtxRetain", ctypes.byref(retained), device_id)
            context = self._contexts[device_id] = retained.value or 0
        return context

    @contextmanager
    def on(self, device_id: int) -> Iterator[None]:
        """Have the device's primary context current."""
        context, now = self.context(device_id), c_void_p()
        self.call("cuCtxGetCurrent", ctypes.byref(now))
        if now.value == context:
            yield
            return
        self.call("cuCtxPushCurrent_v2", c_void_p(context))
        try:
            yield
        finally:
            self.call("cuCtxPopCurrent_v2", ctypes.byref(now))

    def load(self, image: bytes, function: str, what: str) -> int:
        """Return a function of a cubin, loaded into the current context to stay."""
        module, found = c_void_p(), c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), image, what=what)
        self.call("cuModuleGetFunction", ctypes.byref(found), module, function.encode(), what=what)
        return found.value or 0

    def launch(
        self,
        function: int,
        groups: tuple[int, ...],
        items: tuple[int, ...],
        stream: int,
        pointers: Any,
        what: str,
    ) -> None:
        """Enqueue a kernel; `pointers` are where its arguments lie."""
        grid, block = ((*sizes, 1, 1)[:3] for sizes in (groups, items))
        self.call(
            "cuLaunchKernel",
            *(c_void_p(function), *grid, *block, 0, c_void_p(stream), pointers, None),
            what=what,
        )

    def order(self, first: int, then: int) -> None:
        """Have a stream wait for what is on another by now."""
        event = c_void_p()
        self.call("cuEventCreate", ctypes.byref(event), _NO_TIMING)
        self.call("cuEventRecord", event, c_void_p(first))
        self.call("cuStreamWaitEvent", c_void_p(then), event, 0)
        self.call("cuEventDestroy_v2", event)

    def record(self, stream: int, enqueue: Callable[[], None]) -> int:
        """Return the executable graph of what `enqueue` puts on a stream, which doesn't run.

        Raises
        ------
        KernelFailed
            If something was put there that no graph can hold; what `enqueue` raises.
        """
        on, graph, executable = c_void_p(stream), c_void_p(), c_void_p()
        self.call("cuStreamBeginCapture_v2", on, _THIS_THREADS_CALLS)
        try:
            enqueue()
        except BaseException:
            self._c.cuStreamEndCapture(on, ctypes.byref(graph))
            self._destroy("cuGraphDestroy", graph)
            raise
        self.call("cuStreamEndCapture", on, ctypes.byref(graph), what="recording a graph")
        try:
            given = ctypes.byref(executable), graph, c_uint64(0)
            self.call("cuGraphInstantiateWithFlags", *given, what="making a graph ready")
        finally:
            self._destroy("cuGraphDestroy", graph)
        return executable.value or 0

    def is_recording(self, stream: int) -> bool:
        """Say whether what a stream is given is recorded, and doesn't run."""
        state = c_int()
        self.call("cuStreamIsCapturing", c_void_p(stream), ctypes.byref(state))
        return state.value != 0

    def launcher(self, device_id: int, executable: int) -> Callable[[int], None]:
        """Return what launches an executable graph on a stream, with little Python.

        A graph may be used by one thread at a time. Its launches are in order, on whatever
        streams; it isn't to be discarded before the last of them was made.
        """
        launch, get_current = self._c.cuGraphLaunch, self._c.cuCtxGetCurrent
        graph, context, now = c_void_p(executable), self.context(device_id), c_void_p()
        current, lock = ctypes.byref(now), threading.Lock()

        def run(stream: int) -> None:
            with lock:
                if get_current(current) == 0 and now.value == context:
                    status = launch(graph, c_void_p(stream))
                else:
                    with self.on(device_id):
                        status = launch(graph, c_void_p(stream))
            if status:
                raise self.failure(status, f"a recorded graph on device {device_id}")

        return run

    def discard(self, device_id: int, executable: int) -> None:
        """Free an executable graph: if it runs, when it is done. Nobody hears of a failure."""
        with self.on(device_id):
            self._destroy("cuGraphExecDestroy", c_void_p(executable))

    def _destroy(self, function: str, handle: c_void_p) -> None:
        if handle.value:
            getattr(self._c, function)(handle)

    def copy(self, target: int, source: int, size: int, stream: int) -> None:
        """Enqueue a copy of bytes within the device."""
        self.call(
            "cuMemcpyDtoDAsync_v2",
            *(c_uint64(target), c_uint64(source), c_size_t(size), c_void_p(stream)),
            what=f"a copy of {size} bytes",
        )

    def write(self, stream: int, target: int, values: Any) -> None:
        """Copy an array of the host to the device, behind what is on the stream, and wait.

        On the stream itself: a copy without one may return before its last bytes are there, and
        streams that don't wait for the default stream would not wait for them.
        """
        source, size = c_void_p(values.ctypes.data), c_size_t(values.nbytes)
        self.call(
            "cuMemcpyHtoDAsync_v2",
            *(c_uint64(target), source, size, c_void_p(stream)),
            what=f"{values.nbytes} bytes",
        )
        self.wait(stream)

    def read(self, stream: int, values: Any, source: int) -> None:
        """Copy from the device, behind what is on the stream, and wait."""
        self.wait(stream)
        self.call(
            "cuMemcpyDtoH_v2",
            *(c_void_p(values.ctypes.data), c_uint64(source), c_size_t(values.nbytes)),
        )

    def wait(self, stream: int) -> None:
        """Wait until a stream is done."""
        self.call("cuStreamSynchronize", c_void_p(stream))

    def seconds(self, stream: int, work: Any) -> float:
        """Return the device's time between two events around what `work` enqueues.

        What is on the stream before isn't waited for: while it runs, the work is enqueued.
        """
        before, after, elapsed = c_void_p(), c_void_p(), c_float()
        for event in (before, after):
            self.call("cuEventCreate", ctypes.byref(event), 0)
        self.call("cuEventRecord", before, c_void_p(stream))
        work()
        self.call("cuEventRecord", after, c_void_p(stream))
        self.call("cuEventSynchronize", after)
        self.call("cuEventElapsedTime", ctypes.byref(elapsed), before, after)
        for event in (before, after):
            self.call("cuEventDestroy_v2", event)
        return 1e-3 * elapsed.value


@cache
def driver() -> Driver:
    """Return the driver.

    Raises
    ------
    PackUnavailable
        If there is none, or it is older than the libraries.
    """
    try:
        library = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        raise PackUnavailable(f"pack cudnn: no NVIDIA driver ({error}); {HINT}") from error
    found = Driver(library)
    try:
        version = found.version
    except KernelFailed as error:
        raise PackUnavailable(
            f"pack cudnn: NVIDIA's driver doesn't work ({error}); {HINT}"
        ) from error
    if version < MIN_DRIVER:
        raise PackUnavailable(
            f"pack cudnn: NVIDIA's driver is too old: expected one for CUDA >= "
            f"{_shown(MIN_DRIVER)}, got one for {_shown(version)}; {HINT}"
        )
    return found


def _shown(version: int) -> str:
    return f"{version // 1000}.{version % 1000 // 10}"
