"""A pack's own kernels through the contract: prepared, packed, in the layouts that they like."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

from bench._machine import ffi, lib
from bench.engines.base import Runner
from bench.engines.pack import find_pack, settings_of
from bench.errors import Refused, WorkerFailed
from dispatch import core
from dispatch.answer import Yes
from dispatch.contract import Kernel
from dispatch.errors import NoKernel
from dispatch.native import NativePrepared
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.selection import Decision, select
from dispatch.tensor import ANY, LAYOUT_BLOCKS
from dispatch.tuning.buffers import logical_outputs
from dispatch.tuning.workload import DeviceWorkload, prepare

__all__ = ["KernelEngine", "KernelRunner", "in_layouts", "preferred", "with_free_layouts"]


def with_free_layouts(problem: Problem) -> Problem:
    """Return the problem with layouts that a kernel may choose: of images, but for constants."""
    return problem.with_layouts(
        tuple(
            ANY if t is not None and t.rank == 4 and not t.constant else "" for t in problem.tensors
        )
    )


def in_layouts(asked: Problem, answer: Yes) -> Problem:
    """Return the problem in the layouts that a kernel chose."""
    layouts = tuple(layout if layout in LAYOUT_BLOCKS else "" for layout in answer.layouts)
    return asked.with_layouts(layouts or ("",) * len(asked.tensors))


def preferred(problem: Problem, pack: str) -> tuple[Problem, Decision]:
    """Return the problem in the layouts that the pack's best kernel likes, and the decision.

    Raises
    ------
    Refused
        If no kernel of the pack serves it.
    """
    refusals = []
    with settings_of(problem, pack) as settings:
        for asked in (with_free_layouts(problem), problem):
            try:
                decision = select(asked, settings)
            except NoKernel as error:
                refusals.append(str(error))
                continue
            return in_layouts(asked, decision.answer), decision
    raise Refused(refusals[-1])


class KernelEngine:
    """One pack's kernels, in the layouts that they like; or one kernel, in the problem's.

    Parameters
    ----------
    pack
        Its name.
    kernel
        The one kernel's full name, or "".
    """

    def __init__(self, pack: str, kernel: str = "") -> None:
        self._pack, self._kernel = pack, kernel
        self.version = find_pack(pack).library_version

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Choose the kernel, prepare it, pack the constants."""
        if self._kernel:
            return KernelRunner(problem, registry().find(self._kernel), arrays)
        wanted, decision = preferred(problem, self._pack)
        return KernelRunner(wanted, decision.kernel, arrays)


class KernelRunner:
    """A prepared kernel with buffers of its own; native ones are timed in C, others on devices
    with memory of their own by the device's clock.
    """

    def __init__(self, problem: Problem, kernel: Kernel, arrays: Sequence[Array | None]) -> None:
        self._workload = prepare(kernel, problem, arrays)
        prepared, stored = self._workload.prepared, self._workload.buffers
        self.information: Mapping[str, Any] = {
            "kernel": kernel.name,
            "layouts": [None if t is None else t.layout for t in problem.tensors],
        }
        self.seconds_of = self._python_clock
        if isinstance(self._workload, DeviceWorkload):
            self.seconds_of = self._workload.seconds
        elif isinstance(prepared, NativePrepared):
            self.seconds_of = _native_clock(prepared, stored)

    def cold(self) -> Runner:
        """Return the same with other data in the caches before each run.

        Raises
        ------
        Refused
            If it works in the host's memory.
        """
        if not isinstance(self._workload, DeviceWorkload):
            raise Refused("cold caches are for devices with memory of their own")
        self.seconds_of = self._workload.cold_seconds
        return self

    def outputs(self) -> list[Array]:
        """Run once; the outputs in the logical layouts."""
        return logical_outputs(self._workload.problem, self._workload.outputs())

    def run(self, iterations: int) -> float:
        """Run `iterations` times; the seconds that this took."""
        seconds: float = self.seconds_of(iterations)
        if seconds < 0:
            raise WorkerFailed(f"{self.information['kernel']}: a run failed")
        return seconds

    def _python_clock(self, iterations: int) -> float:
        start = perf_counter()
        prepared, stored = self._workload.prepared, self._workload.buffers
        for _ in range(iterations):
            prepared.run(stored)
        return perf_counter() - start


def _native_clock(prepared: NativePrepared, stored: Sequence[Any]) -> Any:
    """Return a clock around the core's run in C."""
    address = core.ffi.addressof(core.lib, "core_call_run")
    run = ffi.cast("bench_function", int(core.ffi.cast("uintptr_t", address)))
    handle = ffi.cast("void *", int(core.ffi.cast("uintptr_t", prepared.call)))
    buffers = ffi.new(
        "void *[]",
        [
            ffi.NULL if b is None else ffi.cast("void *", b.__array_interface__["data"][0])
            for b in stored
        ],
    )
    return lambda n: lib.bench_time_calls(run, handle, buffers, ffi.NULL, n)
