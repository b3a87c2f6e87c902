"""Plans on a device: programs built once a context, arguments set, launches enqueued."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from dispatch.errors import KernelFailed
from dispatch.operator import Array
from kernels.gpu.plan import SCRATCH, Launch
from kernels.gpu.sources import program_text
from kernels.gpu.traits import Traits
from kernels.opencl.library import failure, library, traits_of
from kernels.opencl.queue import OpenCLQueue

__all__ = ["Prepared", "language_options", "text_for"]

KEPT_PROGRAMS = 1024

_programs: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()


def build(queue: OpenCLQueue, source: str, defines: tuple[tuple[str, str], ...]) -> Any:
    """Return a program for a queue's device, built at the first time.

    Raises
    ------
    KernelFailed
        With the compiler's log.
    """
    device = queue.handle.device
    key = (queue.context, device, source, defines)
    found = _programs.get(key)
    if found is None:
        with _lock:
            found = _programs.get(key) or _build(queue, source, defines)
            while len(_programs) >= KEPT_PROGRAMS:
                _programs.pop(next(iter(_programs)))
            _programs[key] = found
    return found


def _build(queue: OpenCLQueue, source: str, defines: tuple[tuple[str, str], ...]) -> Any:
    cl = library()
    program = cl.Program(queue.context, text_for(queue.traits, source, defines))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)
            return program.build(options_for(queue.handle.device), devices=[queue.handle.device])
    except cl.Error as error:
        macros = " ".join(f"-D{name}={value!r}" for name, value in defines)
        raise KernelFailed(
            f"{source}.h wasn't built for {queue} with {macros}:\n{error}"
        ) from error


def text_for(traits: Traits, source: str, defines: tuple[tuple[str, str], ...]) -> str:
    """Return a program's text for a device."""
    extra = (("HAS_F64", "1"),) if traits.has_f64 else ()
    return program_text(source, (*extra, *defines))


def language_options(traits: Traits) -> list[str]:
    """Return what compilers are told of the language.

    Of its versions it is the oldest that has all that a device's plans use.
    """
    version = "3.0" if traits.has_dot or traits.has_shuffle else "1.2"
    return [f"-cl-std=CL{version}", "-w"]


def options_for(device: Any) -> list[str]:
    """Return the compiler's options; quotients are rounded correctly where the device can."""
    correct = library().device_fp_config.CORRECTLY_ROUNDED_DIVIDE_SQRT
    exact = ["-cl-fp32-correctly-rounded-divide-sqrt"] if device.single_fp_config & correct else []
    return [*language_options(traits_of(device)), *exact]


class _Call:
    """One launch with a kernel object of its own, whose arguments are set in place."""

    def __init__(self, launch: Launch, tables: Sequence[Any], queue: OpenCLQueue) -> None:
        cl = library()
        self.kernel = cl.Kernel(build(queue, launch.source, launch.defines), launch.function)
        self.global_size = tuple(g * i for g, i in zip(launch.groups, launch.items, strict=True))
        self.local_size = launch.items
        self.places: list[tuple[int, int]] = []
        for position, argument in enumerate(launch.arguments):
            if argument < SCRATCH:
                self.kernel.set_arg(position, tables[-2 - argument])
            else:
                self.places.append((position, argument))
        self.kernel.set_arg(len(launch.arguments), launch.parameters)

    def set(self, buffers: Sequence[Any], scratch: Any) -> None:
        """Set the buffers."""
        set_argument = self.kernel.set_arg
        for position, argument in self.places:
            set_argument(position, scratch if argument == SCRATCH else buffers[argument])


class Prepared:
    """A plan's launches for one device of one context: `dispatch.contract.DevicePrepared`.

    Parameters
    ----------
    launches, tables
        Of a `kernels.gpu.plan.Plan`.
    queue
        Any of the context's and device's.
    inputs
        How many the problem has.
    scratch_bytes
        What the plan says.
    """

    def __init__(
        self,
        launches: tuple[Launch, ...],
        tables: Sequence[Array],
        queue: OpenCLQueue,
        inputs: int = 0,
        scratch_bytes: int = 0,
    ) -> None:
        cl = library()
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        self._launches, self._queue = launches, queue
        self._tables = [cl.Buffer(queue.context, flags, hostbuf=t) for t in tables]
        self._calls = self._make_calls()
        self._lock = threading.Lock()
        self._enqueue, self._error = cl.enqueue_nd_range_kernel, cl.Error
        self.packed_bytes = (0,) * inputs
        self.scratch_bytes = scratch_bytes

    def _make_calls(self) -> list[_Call]:
        return [_Call(launch, self._tables, self._queue) for launch in self._launches]

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        """Nothing is packed."""
        return value

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        """Set the arguments and enqueue, while nobody else does with the same kernels."""
        enqueue, handle = self._enqueue, queue.handle
        try:
            with self._lock:
                for call in self._calls:
                    call.set(buffers, scratch)
                    enqueue(handle, call.kernel, call.global_size, call.local_size)
        except self._error as error:
            raise failure(error, f"a kernel on {queue}") from error

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Callable[[], None]:
        """Return a function that enqueues with kernels of its own, whose arguments stay set."""
        calls, enqueue, handle = self._make_calls(), self._enqueue, queue.handle
        for call in calls:
            call.set(buffers, scratch)
        fixed = [(call.kernel, call.global_size, call.local_size) for call in calls]
        error_type = self._error
        # A kernel object doesn't retain the memory that its arguments name.
        kept = (self, tuple(buffers), scratch)

        def run(_kept: Any = kept) -> None:
            try:
                for kernel, global_size, local_size in fixed:
                    enqueue(handle, kernel, global_size, local_size)
            except error_type as error:
                raise failure(error, f"a kernel on {queue}") from error

        return run
