"""The pack: the kernels of `kernels.gpu` on OpenCL devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.consistency import is_consistent
from dispatch.dtypes import SHORT_NAMES
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import ANY, NCHW
from kernels.gpu.catalogue import CATALOGUE, Algorithm
from kernels.gpu.plan import MAX_ELEMENTS, Plan
from kernels.gpu.traits import Traits
from kernels.opencl.enqueue import Prepared
from kernels.opencl.library import devices, library, traits_of
from kernels.opencl.memory import OpenCLMemory
from kernels.opencl.queue import OpenCLQueue

__all__ = ["OpenCLPack"]

VERSION = "0.1"
KEPT_PLANS = 4096
LAUNCH_SECONDS, BYTES_A_SECOND, FLOPS_A_SECOND = 5e-6, 1e11, 1e12
"""What a launch, a byte and an operation are expected to cost, on a device of middle size."""


@dataclass(frozen=True, slots=True)
class OpenCLKernel:
    """One algorithm for one dtype."""

    name: str
    source: str
    algorithm: Algorithm
    deterministic: bool = True

    def query(self, problem: Problem) -> Answer:
        """Plan the problem, without building anything."""
        plan = _planned(self.algorithm, _concrete(problem))
        if isinstance(plan, No):
            return plan
        operator = operators()[problem.operator]
        cost = (
            LAUNCH_SECONDS * len(plan.launches)
            + operator.bytes_moved(problem) / BYTES_A_SECOND
            + operator.flops(problem) / FLOPS_A_SECOND * plan.slowdown
        )
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


def _concrete(problem: Problem) -> Problem:
    """Return the problem in the logical layout where it leaves layouts open."""
    return problem.with_layouts(
        tuple(NCHW if t is not None and t.layout == ANY else "" for t in problem.tensors)
    )


@lru_cache(KEPT_PLANS)
def _planned(algorithm: Algorithm, problem: Problem) -> Plan | No:
    traits = traits_of(devices()[problem.device_id])
    return _refusal(algorithm, problem, traits) or algorithm.plan(problem, traits)


def _refusal(algorithm: Algorithm, problem: Problem, traits: Traits) -> No | None:
    """Refuse what no algorithm here takes."""
    if problem.operator != algorithm.operator or problem.dtype not in algorithm.dtypes:
        return No(NoCode.DTYPE, "dtype", ", ".join(algorithm.dtypes), problem.dtype)
    present = [t for t in problem.tensors if t is not None]
    for tensor in present:
        if tensor.layout != NCHW and problem.operator != "reorder":
            return No(NoCode.LAYOUT, "layout", NCHW, tensor.layout)
        if tensor.dtype == "float64" and not traits.has_f64:
            return No(NoCode.DEVICE, "cl_khr_fp64", "a device that has it", traits.name)
    if not is_consistent(operators()[problem.operator], problem):
        return No(NoCode.SHAPE, "tensors and attributes", "what the operator's rule gives")
    largest = max(tensor.size for tensor in present)
    if largest > MAX_ELEMENTS:
        return No(NoCode.SHAPE, "elements", f"<= {MAX_ELEMENTS}", str(largest))
    return None


class OpenCLOpenPack:
    """The pack, with pyopencl and a device at least."""

    version = VERSION

    def __init__(self) -> None:
        found = devices()
        names = "; ".join(f"{d.name.strip()} ({d.version.strip()})" for d in found)
        self.library_version = f"pyopencl {library().VERSION_TEXT}, {names}"
        self.kernels = tuple(
            OpenCLKernel(f"opencl.{a.operator}.{a.name}.{SHORT_NAMES[dtype]}", _where(a), a)
            for a in CATALOGUE
            for dtype in a.dtypes
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
        return OpenCLOpenPack()
