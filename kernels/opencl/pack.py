"""The pack: the kernels of `kernels.gpu` on OpenCL devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dispatch.answer import Answer, No, Yes
from dispatch.contract import Kernel
from dispatch.dtypes import SHORT_NAMES
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import ANY, NCHW
from kernels.gpu.catalogue import CATALOGUE, Algorithm
from kernels.gpu.plan import Plan
from kernels.opencl import clblast
from kernels.opencl.costs import seconds_of
from kernels.opencl.enqueue import Prepared
from kernels.opencl.library import devices, library, traits_of
from kernels.opencl.memory import OpenCLMemory
from kernels.opencl.queue import OpenCLQueue
from kernels.opencl.refusals import concrete, refusal

__all__ = ["OpenCLPack"]

VERSION = "0.1"
KEPT_PLANS = 4096


@dataclass(frozen=True, slots=True)
class OpenCLKernel:
    """One algorithm for one dtype."""

    name: str
    source: str
    algorithm: Algorithm
    deterministic: bool = True

    def query(self, problem: Problem) -> Answer:
        """Plan the problem, without building anything."""
        plan = _planned(self.algorithm, concrete(problem))
        if isinstance(plan, No):
            return plan
        operator = operators()[problem.operator]
        cost = seconds_of(operator, problem, len(plan.launches), plan.slowdown)
        layouts = tuple(
            NCHW if tensor is not None and tensor.layout == ANY else ""
            for tensor in problem.tensors
        )
        return Yes(
            cost,
            scratch_bytes=plan.scratch_bytes,
            layouts=layouts if any(layouts) else (),
            may_overwrite=plan.may_overwrite,
        )

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> Prepared:
        """Build the plan's programs for the queue's device."""
        assert isinstance(queue, OpenCLQueue)
        plan = _planned(self.algorithm, problem)
        assert isinstance(plan, Plan)
        return Prepared(plan.launches, plan.tables, queue, len(problem.inputs), plan.scratch_bytes)


@lru_cache(KEPT_PLANS)
def _planned(algorithm: Algorithm, problem: Problem) -> Plan | No:
    traits = traits_of(devices()[problem.device_id])
    refused = refusal(algorithm.operator, algorithm.dtypes, problem, traits)
    return refused or algorithm.plan(problem, traits)


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
            OpenCLKernel(f"opencl.{a.operator}.{a.name}.{SHORT_NAMES[dtype]}", _where(a), a)
            for a in CATALOGUE
            for dtype in a.dtypes
        )
        self.kernels: tuple[Kernel, ...] = (
            *ours,
            *(clblast.ClblastKernel(dtype, memory) for dtype in clblast.PREFIXES),
        )


def _where(algorithm: Algorithm) -> str:
    code = getattr(algorithm.plan, "func", algorithm.plan).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


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
        self.serves = tuple(
            f"{a.operator}.{SHORT_NAMES[dtype]}" for a in CATALOGUE for dtype in a.dtypes
        )

    def open(self, options: Mapping[str, str] | None = None) -> OpenCLOpenPack:
        """Import pyopencl and look for devices."""
        return OpenCLOpenPack(self.memory)
