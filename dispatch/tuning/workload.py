"""A kernel made ready on buffers of its own, to be run many times over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch._native import ffi, lib
from dispatch.contract import Kernel, Prepared
from dispatch.errors import KernelFailed
from dispatch.native import NativePrepared
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.tuning.buffers import empty_outputs, stored_inputs

__all__ = ["Workload", "prepare", "runner"]


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

    @property
    def outputs(self) -> Sequence[Array]:
        """The buffers that are written."""
        return self.buffers[len(self.problem.inputs) :]


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


def runner(workload: Workload) -> Callable[[int], None]:
    """Return what runs a workload a number of times, with as little beside it as may be."""
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
