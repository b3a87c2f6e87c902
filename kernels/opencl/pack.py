"""The pack: the kernels of `kernels.gpu` on OpenCL devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.answer import Answer
from dispatch.contract import Kernel
from dispatch.dtypes import SHORT_NAMES
from dispatch.problem import Problem
from kernels.gpu.answers import SERVES, answer, plan_of, where
from kernels.gpu.catalogue import CATALOGUE, Algorithm
from kernels.gpu.plan import Plan
from kernels.opencl import clblast
from kernels.opencl.costs import SPEED
from kernels.opencl.enqueue import Prepared
from kernels.opencl.library import devices, library, traits_of
from kernels.opencl.memory import OpenCLMemory
from kernels.opencl.queue import OpenCLQueue

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
        assert isinstance(queue, OpenCLQueue)
        plan = plan_of(self.algorithm, problem, traits_of(devices()[problem.device_id]))
        assert isinstance(plan, Plan)
        return Prepared(plan.launches, plan.tables, queue, len(problem.inputs), plan.scratch_bytes)


class OpenCLOpenPack:
    """The pack, with pyopencl and a device at least."""

    version = VERSION

    def __init__(self, memory: OpenCLMemory) -> None:
        found = devices()
        names = "; ".join(f"{d.name.strip()} ({d.version.strip()})" for d in found)
        self.library_version = (
            f"pyopencl {library().VERSION_TEXT}{clblast.library_version()}, {names}"
        )
        ours = tuple(
            OpenCLKernel(f"opencl.{a.operator}.{a.name}.{SHORT_NAMES[dtype]}", where(a), a)
            for a in CATALOGUE
            for dtype in a.dtypes
        )
        self.kernels: tuple[Kernel, ...] = (
            *ours,
            *(clblast.ClblastKernel(dtype, memory) for dtype in clblast.PREFIXES),
        )


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
