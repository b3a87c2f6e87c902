"""CLBlast's products of matrices, where the library is installed: Debian's libclblast1."""

from __future__ import annotations

import atexit
import ctypes
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import KernelFailed
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import TensorSpec
from kernels.gpu.answers import refusal, seconds_of
from kernels.gpu.tiling import Sizes, Tiled
from kernels.opencl.costs import SPEED
from kernels.opencl.described import described_devices
from kernels.opencl.library import devices, traits_of
from kernels.opencl.memory import OpenCLMemory
from kernels.opencl.queue import OpenCLQueue, here

__all__ = ["ClblastKernel", "library_version"]

VARIABLE = "DISPATCH_CLBLAST_LIBRARY"
"""Names the library; empty: none, so that all kernels are the pack's own."""
LIBRARY = "libclblast.so.1"
ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112
PREFIXES = {"float32": "S", "float64": "D"}
REALS = {"float32": ctypes.c_float, "float64": ctypes.c_double}
TILES, ADVANTAGE = Tiled(64, 64, 16, 16), 0.5
"""It is expected to tile about as this one of ours, and to take so much of its time on GPUs, for
which it is tuned; a CPU is a misfit to both."""


@cache
def library() -> ctypes.CDLL | None:
    """Return the library, None where it isn't installed or isn't wanted."""
    name = os.environ.get(VARIABLE, LIBRARY)
    if not name:
        return None
    try:
        found = ctypes.CDLL(name)
    except OSError:
        return None
    # Left to its destructor, the programs would be released after the driver has shut down.
    atexit.register(found.CLBlastClearCache)
    return found


def library_version() -> str:
    """Return what is added to the pack's library version."""
    return "" if library() is None else f", {LIBRARY}"


@dataclass(frozen=True, slots=True)
class _Product:
    """A product's arguments that don't depend on its buffers."""

    dtype: str
    a_order: int
    b_order: int
    m: int
    n: int
    k: int
    a_row: int
    b_row: int
    alpha: float

    def function(self, name: str) -> Any:
        """Return a function of the library for the dtype."""
        return getattr(library(), f"CLBlast{PREFIXES[self.dtype]}{name}")

    def temporary_bytes(self, queue: OpenCLQueue) -> int:
        """Return how much memory a run needs beside its matrices."""
        size, handle = ctypes.c_size_t(), ctypes.c_void_p(queue.handle.int_ptr)
        sizes = map(ctypes.c_size_t, (self.m, self.n, self.k, 0, self.a_row, 0, self.b_row))
        status = self.function("GemmTempBufferSize")(
            ROW_MAJOR, self.a_order, self.b_order, *sizes, ctypes.c_size_t(0),
            ctypes.c_size_t(self.n), ctypes.byref(handle), ctypes.byref(size),
        )  # fmt: skip
        _check(status)
        return size.value

    def enqueue(self, buffers: Sequence[Any], queue: OpenCLQueue, scratch: Any) -> None:
        """Enqueue the product of the first two buffers into the last."""
        word, real = ctypes.c_size_t, REALS[self.dtype]
        a, b, y = (ctypes.c_void_p(buffers[i].int_ptr) for i in (0, 1, -1))
        temporary = ctypes.c_void_p(None if scratch is None else scratch.int_ptr)
        handle = ctypes.c_void_p(queue.handle.int_ptr)
        status = self.function("gemmWithTempBuffer")(
            ROW_MAJOR, self.a_order, self.b_order, word(self.m), word(self.n), word(self.k),
            real(self.alpha), a, word(0), word(self.a_row), b, word(0), word(self.b_row),
            real(0), y, word(0), word(self.n), ctypes.byref(handle), None, temporary,
        )  # fmt: skip
        _check(status)


def _check(status: int) -> None:
    if status:
        raise KernelFailed(f"CLBlast reported status {status}")


class _Prepared:
    """A product ready to run: `dispatch.contract.DevicePrepared`."""

    packed_bytes = (0, 0, 0)

    def __init__(self, product: _Product, queue: OpenCLQueue) -> None:
        self._product = product
        self.scratch_bytes = product.temporary_bytes(queue)

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        """Nothing is packed."""
        return value

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        """Enqueue; the library builds its own kernels at the first time."""
        self._product.enqueue(buffers, queue, scratch)

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Callable[[], None]:
        """Return a function that enqueues the same again."""
        return lambda: self._product.enqueue(buffers, queue, scratch)


@dataclass(frozen=True, slots=True)
class ClblastKernel:
    """One dtype's product.

    Parameters
    ----------
    dtype
        float32 or float64.
    memory
        Gives a queue, which the library must have to tell what memory it needs.
    """

    dtype: str
    memory: OpenCLMemory
    deterministic: bool = True

    @property
    def name(self) -> str:
        """``opencl.matmul.clblast.dtype``."""
        return f"opencl.matmul.clblast.{SHORT_NAMES[self.dtype]}"

    @property
    def source(self) -> str:
        """The file that defines it."""
        return __file__

    def query(self, problem: Problem) -> Answer:
        """Take one product of two matrices."""
        traits = traits_of(devices()[problem.device_id])
        refused = refusal("matmul", (self.dtype,), problem, traits) or _refusal(problem)
        if refused is not None:
            return refused
        product, queue = _product(problem), here(self.memory.open_queue(problem.device_id))
        try:
            scratch = product.temporary_bytes(queue)
        except KernelFailed as error:
            return No(NoCode.LIBRARY, LIBRARY, "", str(error))
        sizes = Sizes(product.m, product.n, product.k, 1)
        slowdown = ADVANTAGE * TILES.slowdown(self.dtype, sizes, traits)
        seconds = seconds_of(operators()["matmul"], problem, 1, slowdown, SPEED)
        return Yes(seconds, scratch_bytes=scratch)

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> _Prepared:
        """Look up what memory the product needs."""
        return _Prepared(_product(problem), queue)


def _refusal(problem: Problem) -> No | None:
    a, b, bias = (*problem.inputs[:2], problem.inputs[2])
    assert a is not None and b is not None
    if described_devices() is not None:
        return No(NoCode.LIBRARY, "device", "one that is here", "a description")
    if library() is None:
        return No(NoCode.LIBRARY, LIBRARY, "Debian's libclblast1 or another build", "none")
    if any(t is not None and t.layout != "nchw" for t in problem.tensors):
        return No(NoCode.LAYOUT, "layout", "nchw")
    if problem.epilogue or bias is not None:
        return No(NoCode.EPILOGUE, "epilogue and bias", "none")
    if a.rank != 2 or b.rank != 2:
        return No(NoCode.RANK, "rank", "2", f"{a.rank} and {b.rank}")
    if min(*a.shape, *b.shape) == 0:
        return No(NoCode.SHAPE, "extents", ">= 1", "0")
    return None


def _product(problem: Problem) -> _Product:
    a, b = problem.inputs[:2]
    assert isinstance(a, TensorSpec) and isinstance(b, TensorSpec)
    transpose_a, transpose_b = problem.attribute("transpose_a"), problem.attribute("transpose_b")
    alpha: Any = problem.attribute("alpha")
    m, n = problem.outputs[0].shape
    return _Product(
        problem.dtype,
        TRANSPOSED if transpose_a else PLAIN,
        TRANSPOSED if transpose_b else PLAIN,
        m,
        n,
        a.shape[0 if transpose_a else 1],
        a.shape[1],
        b.shape[1],
        alpha,
    )
