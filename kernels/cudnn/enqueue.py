"""Plans of `kernels.gpu` on a GPU: programs built once, arguments set, launches enqueued."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from dispatch.operator import Array
from kernels.cudnn.arrays import device_memory
from kernels.cudnn.capture import keep_if_recorded
from kernels.cudnn.compiler import compiler, options_for, text_of
from kernels.cudnn.driver import driver
from kernels.cudnn.kept import kept
from kernels.cudnn.library import devices
from kernels.cudnn.queue import CudaQueue
from kernels.gpu.plan import SCRATCH, Launch

__all__ = ["PreparedLaunches", "build", "program_key"]

KEPT_PROGRAMS = 1024

_lock = threading.Lock()


def program_key(text: str, options: tuple[str, ...], driver_version: int) -> tuple[str, ...]:
    """Return all that a cubin depends on; the compute capability is among the options."""
    return (text, *options, f"nvrtc {compiler().version}", f"driver {driver_version}")


def build(source: str, defines: tuple[tuple[str, str], ...], capability: int) -> bytes:
    """Return a program's cubin, from disk where it was built before.

    Raises
    ------
    KernelFailed
        With the compiler's log.
    """
    text, options = text_of(source, defines), options_for(capability)
    what = f"{source}.h"
    key = program_key(text, options, driver().version)
    return kept("cubin", key, lambda: compiler().compile(text, options, what))


@lru_cache(KEPT_PROGRAMS)
def _function(
    device_id: int, source: str, defines: tuple[tuple[str, str], ...], function: str
) -> int:
    """Return a function loaded on a device, whose context is current."""
    image = build(source, defines, devices()[device_id].capability)
    return driver().load(image, function, f"{source}.h on device {device_id}")


class _Call:
    """One launch, and where its arguments lie."""

    def __init__(self, launch: Launch, tables: Sequence[int], function: int) -> None:
        self.function = function
        self.groups, self.items = launch.groups, launch.items
        count = len(launch.arguments)
        self.addresses = (ctypes.c_uint64 * max(count, 1))()
        self._parameters = ctypes.create_string_buffer(
            launch.parameters, max(len(launch.parameters), 1)
        )
        self.places: list[tuple[int, int]] = []
        for position, argument in enumerate(launch.arguments):
            if argument < SCRATCH:
                self.addresses[position] = tables[-2 - argument]
            else:
                self.places.append((position, argument))
        start, size = ctypes.addressof(self.addresses), ctypes.sizeof(ctypes.c_uint64)
        self.pointers = (ctypes.c_void_p * (count + 1))(
            *(start + size * position for position in range(count)),
            ctypes.addressof(self._parameters),
        )

    def set(self, buffers: Sequence[Any], scratch: Any) -> None:
        """Set the buffers' addresses."""
        for position, argument in self.places:
            self.addresses[position] = (
                scratch if argument == SCRATCH else buffers[argument]
            ).pointer


class PreparedLaunches:
    """A plan's launches for one device: `dispatch.contract.DevicePrepared`.

    Parameters
    ----------
    launches, tables
        Of a `kernels.gpu.plan.Plan`.
    queue
        Any of the device's.
    inputs
        How many the problem has.
    scratch_bytes
        What the plan says.
    """

    def __init__(
        self,
        launches: tuple[Launch, ...],
        tables: Sequence[Array],
        queue: CudaQueue,
        inputs: int = 0,
        scratch_bytes: int = 0,
    ) -> None:
        self._launches, self._device_id = launches, queue.device_id
        self._memory = [device_memory(self._device_id, queue.stream, t.nbytes) for t in tables]
        with driver().on(queue.device_id):
            for (pointer, _), table in zip(self._memory, tables, strict=True):
                driver().write(queue.stream, pointer, table)
            self._functions = [self._loaded(launch) for launch in launches]
        self._calls = self._make_calls()
        self._lock = threading.Lock()
        self.packed_bytes = (0,) * inputs
        self.scratch_bytes = scratch_bytes

    def _loaded(self, launch: Launch) -> int:
        with _lock:
            return _function(self._device_id, launch.source, launch.defines, launch.function)

    def _make_calls(self) -> list[_Call]:
        """Return calls with arguments of their own; nothing is loaded for them."""
        tables = [pointer for pointer, _ in self._memory]
        return [
            _Call(launch, tables, function)
            for launch, function in zip(self._launches, self._functions, strict=True)
        ]

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        """Nothing is packed."""
        return value

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        """Set the addresses and enqueue, while nobody else does with the same arguments."""
        keep_if_recorded(queue, scratch)
        with self._lock, driver().on(self._device_id):
            for call in self._calls:
                call.set(buffers, scratch)
                _launch(call, queue)

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Callable[[], None]:
        """Return a function that enqueues with arguments of its own, which stay set."""
        calls = self._make_calls()
        for call in calls:
            call.set(buffers, scratch)
        device_id = self._device_id

        def run(_kept: object = (self, tuple(buffers), scratch)) -> None:
            with driver().on(device_id):
                for call in calls:
                    _launch(call, queue)

        return run


def _launch(call: _Call, queue: CudaQueue) -> None:
    driver().launch(
        *(call.function, call.groups, call.items, queue.stream, call.pointers),
        what=f"a kernel on {queue}",
    )
