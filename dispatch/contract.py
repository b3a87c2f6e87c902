"""The kernel packs' contract in Python, the twin of ``include/kernel_pack.h``.

A pack is an object under the entry-point group ``dispatch.packs``. `NativePack`
makes one of a shared library that keeps to ``kernel_pack.h``; a pack driven
from Python implements `Pack`, `OpenPack`, `Kernel` and `Prepared` itself. The
rest of the project sees no difference.

A pack for a device with memory of its own has an attribute `memory`, a `Memory`,
and its kernels are `DeviceKernel`: they are made ready for a `Queue`, take the
device's buffers and scratch, enqueue, and return.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from dispatch.answer import Answer
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import RegistrationError
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = [
    "CONTRACT_VERSION",
    "CapturingMemory",
    "DeviceKernel",
    "DevicePrepared",
    "ExportingPack",
    "Kernel",
    "KernelName",
    "Memory",
    "OpenPack",
    "Pack",
    "Prepared",
    "Queue",
    "Span",
    "Timed",
]

CONTRACT_VERSION = 1


class KernelName(NamedTuple):
    """The parts of ``pack.operator.algorithm.dtype``."""

    pack: str
    operator: str
    algorithm: str
    dtype: str

    @staticmethod
    def parse(name: str) -> KernelName:
        """Split a kernel's name.

        Raises
        ------
        RegistrationError
            If the name doesn't keep to the grammar.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise RegistrationError(
                f"kernel name: expected pack.operator.algorithm.dtype in lower case with a dtype "
                f"of {', '.join(SHORT_NAMES.values())}, got {name!r}"
            )
        return KernelName(*match.groups())


_WORD = r"([a-z][a-z0-9_]*)"
_NAME = re.compile(rf"{_WORD}\.{_WORD}\.([a-z0-9][a-z0-9_]*)\.({'|'.join(SHORT_NAMES.values())})")


@runtime_checkable
class Prepared(Protocol):
    """A kernel made ready for one problem. May be run by several threads at once."""

    @property
    def packed_bytes(self) -> tuple[int, ...]:
        """For each input: the bytes of a constant's packed form, or 0."""

    def pack(self, index: int, value: Array) -> Any:
        """Return the packed form of constant input `index`, to be given to `run` in its place."""

    def run(self, buffers: Sequence[Any], queue: Any = None) -> None:
        """Run on one buffer for each input (None: absent), then for each output.

        Raises
        ------
        KernelFailed
            If the kernel reports a failure.
        """


@runtime_checkable
class Kernel(Protocol):
    """One implementation of one operator for one dtype."""

    @property
    def name(self) -> str:
        """``pack.operator.algorithm.dtype``."""

    @property
    def source(self) -> str:
        """Where it is registered: ``file:line``."""

    @property
    def deterministic(self) -> bool:
        """The same bits from run to run and with any number of threads."""

    def query(self, problem: Problem) -> Answer:
        """May this problem be run, and how? Cheap, without side effects."""

    def prepare(self, problem: Problem, constants: Sequence[Array | None]) -> Prepared:
        """Make the kernel ready for a problem that `query` said yes to.

        Raises
        ------
        KernelFailed
            If the kernel reports a failure.
        """


@runtime_checkable
class OpenPack(Protocol):
    """A pack whose library was found."""

    @property
    def version(self) -> str:
        """The pack's own version."""

    @property
    def library_version(self) -> str:
        """The vendor library's version and what it uses of the machine."""

    @property
    def kernels(self) -> Sequence[Kernel]:
        """All kernels."""


class Timed(NamedTuple):
    """How long a kernel took for a problem.

    Parameters
    ----------
    kernel, problem
        In concrete layouts.
    seconds
        The median; infinite if the kernel failed.
    spread
        The distance between the quartiles as a part of the median.
    rounds
        How many rounds the figures are from.
    """

    kernel: Kernel
    problem: Problem
    seconds: float
    spread: float
    rounds: int


@runtime_checkable
class ExportingPack(OpenPack, Protocol):
    """A pack driven from Python whose kernels a native side of it runs without."""

    def export(self, kernels: Sequence[tuple[Kernel, Problem]]) -> bytes:
        """Return a file of kernels for problems in concrete layouts, all of one device.

        The native side takes it as the option ``kernels``. It may hold code.

        Raises
        ------
        InvalidArgument
            If a kernel needs Python.
        """

    def read_times(self, text: str, kernels: Sequence[tuple[Kernel, Problem]]) -> list[Timed]:
        """Read what the native side's timing of such a file printed, as far as it is of `kernels`.

        Raises
        ------
        InvalidArgument
            If it is something else.
        """


@runtime_checkable
class Pack(Protocol):
    """What an entry point of the group ``dispatch.packs`` names."""

    @property
    def name(self) -> str:
        """The first part of its kernels' names."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices that it serves."""

    @property
    def fallback(self) -> bool:
        """It serves where no vendor's pack does, and ranks last."""

    def open(self, options: Mapping[str, str] | None = None) -> OpenPack:
        """Find the library and check its version.

        Raises
        ------
        PackUnavailable
            With the reason, and how to get what is missing.
        """


# ---- Devices with memory of their own --------------------------------------------------------


class Queue(Protocol):
    """A caller's queue (a stream) as its pack knows it: one object for each queue, hashable.

    What is enqueued runs in order. Nothing here waits for it.
    """

    @property
    def device_id(self) -> int:
        """Index into `Memory.devices`."""

    @property
    def context(self) -> Hashable:
        """Equal for queues that can use each other's memory."""

    def __str__(self) -> str:
        """Name the device, and the context where the device's name doesn't say enough."""


class Span(NamedTuple):
    """Where an array lies: bytes `start` to `end` of the allocation `base`."""

    base: Hashable
    start: int
    end: int

    def overlaps(self, other: Span) -> bool:
        """Say whether the two share a byte."""
        return self.base == other.base and self.start < other.end and other.start < self.end


class Memory(Protocol):
    """A device's own memory: which arrays lie there, and how results get theirs.

    An array is whatever a caller's library calls one; a buffer is what kernels
    take. Nothing here moves data between host and device or waits but `write`,
    `read` and `seconds`, which eager calls never use.
    """

    @property
    def libraries(self) -> tuple[str, ...]:
        """Top-level modules of the types whose values all lie there; they aren't imported."""

    @property
    def dlpack_devices(self) -> tuple[int, ...]:
        """DLPack's device types of other arrays that lie there."""

    def devices(self) -> Sequence[str]:
        """Return the names of the devices that are here; their indices are `Queue.device_id`."""

    def queue_of(self, array: Any) -> Queue:
        """Return the queue that an array's owner works on.

        Raises
        ------
        InvalidArgument
            If it is no array, or none that kernels can take, or no queue is known.
        """

    def open_queue(self, device_id: int) -> Queue:
        """Return a queue for who has no arrays yet: that of `new_array`'s without `like`."""

    def describe(self, array: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]:
        """Return an array's dtype, shape and strides in bytes."""

    def span(self, array: Any) -> Span:
        """Return where an array lies, at least; an empty one has `start` equal to `end`."""

    def buffer(self, queue: Queue, array: Any) -> Any | None:
        """Return the buffer of an array's elements, None if they aren't dense or not aligned.

        Raises
        ------
        InvalidArgument
            If it lies in memory of a kind that kernels don't take.
        """

    def new_array(
        self, queue: Queue, shape: tuple[int, ...], dtype: np.dtype[Any], like: Any
    ) -> Any:
        """Return a dense array, its values undefined.

        Parameters
        ----------
        like
            An array whose kind, queue and allocator it has; None: the pack's own.

        Raises
        ------
        OutOfMemory
            If the device has no more.
        """

    def copy(self, queue: Queue, target: Any, source: Any) -> None:
        """Enqueue a copy between arrays of one shape and dtype, whatever their strides."""

    def fill(self, queue: Queue, array: Any, value: Array) -> None:
        """Enqueue the setting of all elements of a dense array to the one of `value`."""

    def order(self, first: Queue, then: Queue) -> None:
        """Have what is enqueued on `then` from now on come after what is on `first` by now."""

    def allocate(self, queue: Queue, size: int) -> Any:
        """Return a buffer of at least `size` bytes and 1, aligned for any kernel.

        Raises
        ------
        OutOfMemory
            If the device has no more.
        """

    def part(self, buffer: Any, start: int, size: int) -> Any:
        """Return a buffer over a part of `buffer`; `start` is a multiple of `alignment`."""

    def alignment(self, queue: Queue) -> int:
        """Return what the start of a part must be a multiple of, in bytes."""

    def write(self, queue: Queue, buffer: Any, values: Array) -> None:
        """Copy bytes from the host into a buffer, and wait."""

    def read(self, queue: Queue, buffer: Any, values: Array) -> None:
        """Copy bytes from a buffer to the host, and wait."""

    def seconds(self, queue: Queue, work: Callable[[], None]) -> float:
        """Return how long the device takes for what `work` enqueues; waits for it.

        Only for queues that `open_queue` gave.
        """


@runtime_checkable
class CapturingMemory(Memory, Protocol):
    """Memory of a device whose library records work, to start all of it at once."""

    def capture(self, queue: Queue, enqueue: Callable[[Queue], None]) -> Callable[[Queue], None]:
        """Record what `enqueue` puts on the queue that it is given, without running it.

        Parameters
        ----------
        queue
            Any of the context that the record is for.
        enqueue
            Called once, with a queue of that context. It binds prepared kernels and runs what
            `DevicePrepared.bind` gave, and allocates nothing.

        Returns
        -------
        function
            Runs all of it on a queue of that context, with one launch.

        Raises
        ------
        KernelFailed
            If something can't be recorded.
        """


@runtime_checkable
class DevicePrepared(Prepared, Protocol):
    """A kernel made ready for one problem and the context of one queue."""

    @property
    def scratch_bytes(self) -> int:
        """What `run` needs, as the answer said."""

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        """Enqueue the packing of constant input `index`, a buffer; return the packed buffer."""

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        """Enqueue a run on a queue of the same context; returns before it is done.

        Parameters
        ----------
        buffers
            One for each input (None: absent), then for each output.
        queue
            A `Queue`.
        scratch
            A buffer of `scratch_bytes`, None if that is 0; used by what is enqueued on the queue
            before alone.
        """

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Callable[[], None]:
        """Return a function that does what `run` would do, again and again: a replay's step.

        It keeps the prepared kernel, the buffers and the scratch as long as it is there.
        """


@runtime_checkable
class DeviceKernel(Kernel, Protocol):
    """A kernel of a device with memory of its own."""

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> DevicePrepared:
        """Make the kernel ready for a queue's context; `constants` are the device's buffers.

        Raises
        ------
        KernelFailed
            If it can't be built; the message has the compiler's log.
        """
