"""The pack: cuDNN's graphs, cuBLAS's products, and the kernels of `kernels.gpu`, on NVIDIA GPUs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.answer import Answer
from dispatch.contract import Kernel
from dispatch.dtypes import SHORT_NAMES
from dispatch.problem import Problem
from kernels.cudnn.blas_kernel import BLAS_DTYPES, BlasKernel, gemm_of
from kernels.cudnn.enqueue import PreparedLaunches
from kernels.cudnn.frontend import MAX_PLANS
from kernels.cudnn.graph_kernel import DTYPES, GraphKernel
from kernels.cudnn.in_two import GraphThenMapKernel
from kernels.cudnn.library import check_packages, devices, traits_of, versions
from kernels.cudnn.memory import CudaMemory
from kernels.cudnn.operations import OPERATIONS
from kernels.cudnn.queue import CudaQueue
from kernels.cudnn.remainder import partings
from kernels.gpu.answers import SERVES, Speed, answer, plan_of, where
from kernels.gpu.catalogue import CATALOGUE, Algorithm
from kernels.gpu.plan import Plan

__all__ = ["ALGORITHMS", "CudnnPack"]

VERSION = "0.1"
SPEED = Speed(launch=5e-6, bytes=1e12, flops=3e12)
"""Of our kernels on a GPU for servers; guesses, as long as nothing was measured."""

ALGORITHMS: tuple[Algorithm, ...] = tuple(a for a in CATALOGUE if a.is_portable)
"""All but those for CPUs, which are written in OpenCL's vector types."""


@dataclass(frozen=True, slots=True)
class LaunchKernel:
    """One algorithm of ours for one dtype."""

    name: str
    source: str
    algorithm: Algorithm
    deterministic: bool = True

    def query(self, problem: Problem) -> Answer:
        """Plan the problem, without building anything."""
        return answer(self.algorithm, problem, traits_of(problem.device_id), SPEED)

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> PreparedLaunches:
        """Build the plan's programs for the queue's device."""
        assert isinstance(queue, CudaQueue)
        plan = plan_of(self.algorithm, problem, queue.traits)
        assert isinstance(plan, Plan)
        given = len(problem.inputs), plan.scratch_bytes
        return PreparedLaunches(plan.launches, plan.tables, queue, *given)


class CudnnOpenPack:
    """The pack, with all that it needs."""

    version = VERSION

    def __init__(self) -> None:
        check_packages()
        names = "; ".join(f"{gpu.name} (sm_{gpu.capability})" for gpu in devices())
        self.library_version = f"{versions()}, {names}"
        self.kernels: tuple[Kernel, ...] = (
            *(
                GraphKernel(_name(name, _graph(rank), dtype), _source(describe), rank)
                for name, describe in OPERATIONS.items()
                for dtype in DTYPES
                for rank in range(MAX_PLANS)
            ),
            *(
                GraphThenMapKernel(_name(name, "graph_then_map", dtype), _source(partings))
                for name in ("conv2d", "conv_transpose2d")
                for dtype in DTYPES
            ),
            *(
                BlasKernel(_name(name, "cublas", dtype), _source(gemm_of))
                for name in ("linear", "matmul")
                for dtype in BLAS_DTYPES
            ),
            *(
                LaunchKernel(_name(a.operator, a.name, dtype), where(a), a)
                for a in ALGORITHMS
                for dtype in a.dtypes
            ),
        )


def _name(operator: str, algorithm: str, dtype: str) -> str:
    return f"cudnn.{operator}.{algorithm}.{SHORT_NAMES[dtype]}"


def _graph(rank: int) -> str:
    """Return how the plan of a rank is called: the first has no number."""
    return f"graph_{rank + 1}" if rank else "graph"


def _source(function: Callable[..., Any]) -> str:
    code = function.__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


class CudnnPack:
    """NVIDIA GPUs: `dispatch.contract.Pack`.

    Attributes
    ----------
    memory : CudaMemory
        Of all of them.
    serves : tuple of str
        What its kernels are for, so that nothing is imported to find out.
    """

    name = "cudnn"
    devices = ("nvidia",)
    fallback = False

    def __init__(self, memory: CudaMemory) -> None:
        self.memory = memory
        self.serves = SERVES

    def open(self, options: Mapping[str, str] | None = None) -> CudnnOpenPack:
        """Look for the packages, the driver, a GPU and cuDNN, in this order."""
        return CudnnOpenPack()
