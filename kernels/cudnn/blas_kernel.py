"""Kernels that are a product of cuBLAS's, and a launch of ours for what follows it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dispatch.answer import Answer, No, NoCode
from dispatch.problem import Problem
from kernels.cudnn.blas import Gemm, blas
from kernels.cudnn.capture import keep_if_recorded
from kernels.cudnn.driver import driver
from kernels.cudnn.graph_kernel import chosen_layouts, refused
from kernels.cudnn.in_two import InTwo, PreparedInTwo, answer_in_two
from kernels.cudnn.library import devices, traits_of
from kernels.cudnn.products import MatrixProduct, product_of
from kernels.cudnn.queue import CudaQueue
from kernels.cudnn.remainder import bare, launch_of

__all__ = ["BLAS_DTYPES", "BlasKernel", "PreparedProduct", "gemm_of", "workspace_bytes"]

BLAS_DTYPES = ("float32", "float16", "bfloat16", "float64")
KEPT = 4096
HOPPER, AMPERE = 90, 80
"""Compute capabilities."""
PREFERENCE = 0.95
"""Of what a graph is expected to take: a guess, since products are all that cuBLAS is for."""
_COMPUTE = {"highest": "strict float32", "high": "float32", "medium": "tf32"}
"""What float32 is multiplied in, by the precision asked for."""


def workspace_bytes(capability: int) -> int:
    """Return the workspace that NVIDIA recommends for an architecture."""
    return 32 << 20 if capability >= HOPPER else 4 << 20


def gemm_of(problem: Problem) -> Gemm | No:
    """Return what cuBLAS is asked for: the transposed product, whose matrices lie by columns.

    Parameters
    ----------
    problem
        A product without bias and epilogue, whose result may be wider than its factors.
    """
    product = product_of(problem)
    if isinstance(product, No):
        return product
    if product.alpha == 0.0:  # without its factors being read, NaN among them
        return No(NoCode.ATTRIBUTE, "alpha", "not 0", "0")
    dtype = problem.dtype
    compute = _COMPUTE[problem.precision] if dtype == "float32" else "float32"
    rows, columns, inner = product.rows, product.columns, product.inner
    return Gemm(
        transpose_a=product.transpose_b,
        transpose_b=product.transpose_a,
        m=columns,
        n=rows,
        k=inner,
        batch=product.batch,
        leading=(
            inner if product.transpose_b else columns,
            rows if product.transpose_a else inner,
            columns,
        ),
        strides=_strides(product),
        types=(dtype, problem.outputs[0].dtype),
        compute="float64" if dtype == "float64" else compute,
        alpha=product.alpha,
    )


def _strides(product: MatrixProduct) -> tuple[int, int, int]:
    """Return the elements from a matrix to the next, of the second factor, the first, the result.

    One matrix that serves all is taken again and again.
    """
    rows, columns, inner = product.rows, product.columns, product.inner
    of_a, of_b = product.batches
    return (
        inner * columns if of_b > 1 else 0,
        rows * inner if of_a > 1 else 0,
        rows * columns,
    )


@lru_cache(KEPT)
def _planned(problem: Problem) -> tuple[InTwo, Gemm] | No:
    wrong = refused(problem, BLAS_DTYPES)
    if wrong is not None:
        return wrong
    capability = devices()[problem.device_id].capability
    if problem.dtype == "bfloat16" and capability < AMPERE:
        return No(NoCode.DEVICE, "compute capability", f">= {AMPERE}", str(capability))
    parted = bare(problem)
    gemm = gemm_of(parted.first)
    if isinstance(gemm, No):
        return gemm
    launch = launch_of(problem, parted, traits_of(problem.device_id))
    if isinstance(launch, No):
        return launch
    return InTwo(problem, parted, workspace_bytes(capability), launch), gemm


@dataclass(frozen=True, slots=True)
class BlasKernel:
    """Products in one dtype. Each run has a workspace of its own, so its bits are the same."""

    name: str
    source: str
    deterministic: bool = True

    def query(self, problem: Problem) -> Answer:
        """Answer by rule; cuBLAS chooses its algorithm when it runs."""
        layouts = chosen_layouts(problem)
        found = _planned(problem.with_layouts(layouts))
        return found if isinstance(found, No) else answer_in_two(found[0], layouts, PREFERENCE)

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> PreparedInTwo:
        """Lay the arguments out, and build the launch's program."""
        assert isinstance(queue, CudaQueue)
        found = _planned(problem)
        assert not isinstance(found, No)
        two, gemm = found
        first = PreparedProduct(gemm, two.workspace, queue, len(problem.inputs))
        return PreparedInTwo(two, first, queue)


class PreparedProduct:
    """A product on one device: `dispatch.contract.DevicePrepared`.

    Parameters
    ----------
    gemm
        What is computed: of the problem's second input and its first.
    workspace
        Bytes.
    queue
        Any of the device's.
    inputs
        How many the problem has.
    """

    def __init__(self, gemm: Gemm, workspace: int, queue: CudaQueue, inputs: int) -> None:
        self._enqueue = blas().product(gemm)
        self._device_id = queue.device_id
        self.packed_bytes = (0,) * inputs
        self.scratch_bytes = workspace

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        """Nothing is packed."""
        return value

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        """Enqueue on the queue's stream."""
        keep_if_recorded(queue, scratch)
        self.bind(buffers, queue, scratch)()

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Callable[[], None]:
        """Return a function that enqueues on the addresses given."""
        a, b, y = (buffers[index].pointer for index in (1, 0, -1))
        given = a, b, y, scratch.pointer, self.scratch_bytes
        enqueue, device_id = self._enqueue, self._device_id

        def run(_kept: object = (tuple(buffers), scratch)) -> None:
            with queue.lock, driver().on(device_id):
                enqueue(queue.blas_handle, *given)

        return run
