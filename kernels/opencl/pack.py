"""The pack: the kernels of `kernels.gpu` on OpenCL devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.answer import Answer, Yes
from dispatch.contract import Kernel, Timed
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import InvalidArgument
from dispatch.problem import Problem
from kernels.gpu.answers import SERVES, answer, plan_of, where
from kernels.gpu.catalogue import CATALOGUE, Algorithm
from kernels.gpu.plan import Plan
from kernels.gpu.traits import Traits
from kernels.opencl import clblast
from kernels.opencl.costs import SPEED
from kernels.opencl.described import VARIABLE, described_devices
from kernels.opencl.enqueue import Prepared
from kernels.opencl.export import Exported, image, read_times
from kernels.opencl.library import devices, library, traits_of
from kernels.opencl.memory import OpenCLMemory
from kernels.opencl.queue import here

__all__ = ["OpenCLPack"]

VERSION = "0.1"


@dataclass(frozen=True, slots=True)
class OpenCLKernel:
    """One algorithm for one dtype."""

    name: str
    source: str
    algorithm: Algorithm
    deterministic: bool = True

    def query(self, problem: Problem) -> Answer:
        """Plan the problem, without building anything."""
        traits = traits_of(devices()[problem.device_id])
        return answer(self.algorithm, problem, traits, SPEED)

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> Prepared:
        """Build the plan's programs for the queue's device."""
        queue = here(queue)
        plan = plan_of(self.algorithm, problem, traits_of(devices()[problem.device_id]))
        assert isinstance(plan, Plan)
        return Prepared(plan.launches, plan.tables, queue, len(problem.inputs), plan.scratch_bytes)


class OpenCLOpenPack:
    """The pack, with pyopencl and a device at least: `dispatch.contract.ExportingPack`."""

    version = VERSION

    def __init__(self, memory: OpenCLMemory) -> None:
        self._memory = memory
        found = devices()
        names = "; ".join(f"{d.name.strip()} ({d.version.strip()})" for d in found)
        source = f"described by {VARIABLE}"
        if described_devices() is None:
            source = f"pyopencl {library().VERSION_TEXT}{clblast.library_version()}"
        self.library_version = f"{source}, {names}"
        ours = tuple(
            OpenCLKernel(f"opencl.{a.operator}.{a.name}.{SHORT_NAMES[dtype]}", where(a), a)
            for a in CATALOGUE
            for dtype in a.dtypes
        )
        self.kernels: tuple[Kernel, ...] = (
            *ours,
            *(clblast.ClblastKernel(dtype, memory) for dtype in clblast.PREFIXES),
        )

    def export(self, kernels: Sequence[tuple[Kernel, Problem]]) -> bytes:
        """Return the file that ``libkernels_opencl.so`` runs kernels from."""
        numbers = {problem.device_id for _, problem in kernels}
        if len(numbers) != 1:
            raise InvalidArgument(
                f"kernels: expected problems of one device, got those of {sorted(numbers)}"
            )
        (number,) = numbers
        traits = traits_of(devices()[number])
        exported = [_exported(kernel, problem, traits) for kernel, problem in kernels]
        return image(exported, traits, self._memory.alignment(self._memory.open_queue(number)))

    def read_times(self, text: str, kernels: Sequence[tuple[Kernel, Problem]]) -> list[Timed]:
        """Read what ``opencl_time`` printed."""
        return read_times(text, kernels)


def _exported(kernel: Kernel, problem: Problem, traits: Traits) -> Exported:
    if not isinstance(kernel, OpenCLKernel):
        raise InvalidArgument(
            f"kernels: {kernel.name} can't run without Python: expected one of this pack's own; "
            f"where {clblast.VARIABLE} is empty, no other is planned"
        )
    plan, found = plan_of(kernel.algorithm, problem, traits), kernel.query(problem)
    if not isinstance(plan, Plan) or not isinstance(found, Yes):
        raise InvalidArgument(f"kernels: {kernel.name} refuses {problem}: {found}")
    return Exported(kernel.name, problem, plan, found.cost)


class OpenCLPack:
    """OpenCL devices: `dispatch.contract.Pack`.

    Attributes
    ----------
    memory : OpenCLMemory
        Of all its devices.
    serves : tuple of str
        What its kernels are for, so that nothing is imported to find out.
    """

    name = "opencl"
    devices = ("opencl",)
    fallback = True

    def __init__(self, memory: OpenCLMemory) -> None:
        self.memory = memory
        self.serves = SERVES

    def open(self, options: Mapping[str, str] | None = None) -> OpenCLOpenPack:
        """Import pyopencl and look for devices."""
        return OpenCLOpenPack(self.memory)
