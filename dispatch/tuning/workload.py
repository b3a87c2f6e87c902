"""A kernel made ready on buffers of its own, to be run many times over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from dispatch.contract import (
    CapturingMemory,
    DeviceKernel,
    DevicePrepared,
    Kernel,
    Memory,
    Prepared,
    Queue,
)
from dispatch.core import ffi, lib
from dispatch.dtypes import numpy_dtype
from dispatch.errors import KernelFailed
from dispatch.memory import memory_of_device
from dispatch.native import NativePrepared
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.tuning.buffers import empty_outputs, stored_inputs

__all__ = ["DeviceWorkload", "Workload", "prepare", "runner"]

RECORDED = 20
"""Runs in a record: many a kernel takes less time than this process to start one."""
SWEPT_BYTES = 256 << 20
"""More than a GPU's caches hold."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A prepared kernel and its buffers.

    Parameters
    ----------
    problem
        In the layouts that the kernel works on.
    prepared
        The kernel.
    buffers
        Inputs (packed constants in the place of constants), then outputs.
    """

    problem: Problem
    prepared: Prepared
    buffers: tuple[Any, ...]

    def outputs(self) -> Sequence[Array]:
        """Run once; return what was written, in the problem's layouts."""
        self.prepared.run(self.buffers)
        found: Sequence[Array] = self.buffers[len(self.problem.inputs) :]
        return found


@dataclass(frozen=True, slots=True)
class DeviceWorkload(Workload):
    """The same on a device with memory of its own.

    Parameters
    ----------
    memory, queue
        Where.
    step
        Enqueues a run.
    steps
        Enqueues `RECORDED` runs at once, where the device's library records work.
    """

    memory: Memory
    queue: Queue
    step: Callable[[], None]
    steps: Callable[[], None] | None = None

    def outputs(self) -> Sequence[Array]:
        """Run once; return copies of what was written."""
        self.step()
        found = []
        for spec, buffer in zip(
            self.problem.outputs, self.buffers[len(self.problem.inputs) :], strict=True
        ):
            values = np.empty(spec.nbytes // spec.itemsize, numpy_dtype(spec.dtype))
            self.memory.read(self.queue, buffer, values)
            found.append(values)
        return found

    def seconds(self, iterations: int) -> float:
        """Run a number of times; return the device's own time."""
        whole, rest = divmod(iterations, RECORDED) if self.steps else (0, iterations)

        def work() -> None:
            for _ in range(whole):
                assert self.steps is not None
                self.steps()
            for _ in range(rest):
                self.step()

        return self.memory.seconds(self.queue, work)

    def cold_seconds(self, iterations: int) -> float:
        """The same, with other data in the device's caches before each run."""
        sweep = self.memory.new_array(self.queue, (SWEPT_BYTES,), np.dtype(np.uint8), None)
        total, zero = 0.0, np.zeros((), np.uint8)
        for _ in range(iterations):
            self.memory.fill(self.queue, sweep, zero)
            total += self.memory.seconds(self.queue, self.step)
        return total


def prepare(kernel: Kernel, problem: Problem, arrays: Sequence[Array | None]) -> Workload:
    """Make a kernel ready.

    Parameters
    ----------
    arrays
        The inputs' values in the logical order.

    Raises
    ------
    KernelFailed
        If the kernel reports a failure.
    """
    memory = memory_of_device(problem.device)
    if memory is not None:
        return _prepare_on_device(kernel, problem, arrays, memory)
    constants = [
        a if s is not None and s.constant else None
        for a, s in zip(arrays, problem.inputs, strict=True)
    ]
    prepared = kernel.prepare(problem, constants)
    packed = {
        index: prepared.pack(index, array)
        for index, (size, array) in enumerate(zip(prepared.packed_bytes, arrays, strict=True))
        if size and array is not None
    }
    # What is packed needs no memory in its own layout too.
    rest = [None if index in packed else array for index, array in enumerate(arrays)]
    stored = [packed.get(i, buffer) for i, buffer in enumerate(stored_inputs(problem, rest))]
    return Workload(problem, prepared, (*stored, *empty_outputs(problem)))


def _prepare_on_device(
    kernel: Kernel, problem: Problem, arrays: Sequence[Array | None], memory: Memory
) -> DeviceWorkload:
    queue = memory.open_queue(problem.device_id)
    buffers: list[Any] = []
    for stored in stored_inputs(problem, arrays):
        buffer = None
        if stored is not None:
            buffer = memory.allocate(queue, stored.nbytes)
            memory.write(queue, buffer, stored)
        buffers.append(buffer)
    constants = [
        buffer if spec is not None and spec.constant else None
        for buffer, spec in zip(buffers, problem.inputs, strict=True)
    ]
    assert isinstance(kernel, DeviceKernel)
    prepared = kernel.prepare(problem, constants, queue)
    for index, value in enumerate(constants):
        if value is not None and prepared.packed_bytes[index]:
            buffers[index] = prepared.pack(index, value, queue)
    buffers += [memory.allocate(queue, spec.nbytes) for spec in problem.outputs]
    size = prepared.scratch_bytes
    scratch = memory.allocate(queue, size) if size else None
    step = prepared.bind(buffers, queue, scratch)
    step()  # some drivers finish a program's code when it runs first
    steps = None
    if isinstance(memory, CapturingMemory):
        once, often = (
            memory.capture(queue, partial(_enqueue, prepared, buffers, scratch, count))
            for count in (1, RECORDED)
        )
        step, steps = partial(once, queue), partial(often, queue)
    workload = DeviceWorkload(problem, prepared, tuple(buffers), memory, queue, step, steps)
    workload.seconds(1)
    return workload


def _enqueue(
    prepared: DevicePrepared, buffers: Sequence[Any], scratch: Any, count: int, queue: Queue
) -> None:
    run = prepared.bind(buffers, queue, scratch)
    for _ in range(count):
        run()


def runner(workload: Workload) -> Callable[[int], None]:
    """Return what runs a workload a number of times, with as little beside it as may be."""
    if isinstance(workload, DeviceWorkload):
        device = workload

        def run_on_device(iterations: int) -> None:
            device.seconds(iterations)

        return run_on_device
    prepared, buffers = workload.prepared, workload.buffers
    if not isinstance(prepared, NativePrepared):

        def run(iterations: int) -> None:
            for _ in range(iterations):
                prepared.run(buffers)

        return run
    pointers = ffi.new(
        "void *[]",
        [
            ffi.NULL if b is None else ffi.cast("void *", b.__array_interface__["data"][0])
            for b in buffers
        ],
    )
    handle, once, null = prepared.call, lib.core_call_run, ffi.NULL

    def run_native(iterations: int) -> None:
        for _ in range(iterations):
            status = once(handle, pointers, null)
            if status:
                prepared.check(status)
                raise KernelFailed(f"a run reported status {status}")

    # What the pointers lead to lives as long as the function.
    run_native.__dict__["keep"] = workload
    return run_native
