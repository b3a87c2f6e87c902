"""cuBLAS by its C interface: products of matrices, with all that it needs given by the caller."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_double, c_float, c_int, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from dispatch.errors import DispatchError, KernelFailed, OutOfMemory
from kernels.cudnn.wheels import shared_library

__all__ = ["Blas", "Gemm", "Product", "blas"]

Product: TypeAlias = Callable[[int, int, int, int, int, int], None]
"""Of a handle, the addresses of A, B, C and the workspace, and the workspace's bytes."""

_ALLOCATION_FAILED = 3
_SUMS_IN_FLOAT = 16
"""CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION"""
_DEFAULT = -1
_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
"""Of cudaDataType."""
_COMPUTE = {"float32": 68, "strict float32": 69, "tf32": 77, "float64": 70}
"""Of cublasComputeType_t: what is multiplied and added in."""
_VERSION_PARTS = 3


@dataclass(frozen=True, slots=True)
class Gemm:
    """Products of matrices that lie by columns: C = alpha * op(A) @ op(B).

    Parameters
    ----------
    transpose_a, transpose_b
        Whether op transposes.
    m, n, k
        C is m x n, op(A) m x k.
    batch
        How many products.
    leading
        Elements from a column to the next, of A, B and C.
    strides
        Elements from a matrix to the next, of A, B and C; 0 where one serves all.
    types
        Dtypes of A and B, and of C.
    compute
        Of `_COMPUTE`.
    alpha
        The factor.
    """

    transpose_a: bool
    transpose_b: bool
    m: int
    n: int
    k: int
    batch: int
    leading: tuple[int, int, int]
    strides: tuple[int, int, int]
    types: tuple[str, str]
    compute: str
    alpha: float = 1.0


class Blas:
    """The functions of cuBLAS that the pack uses.

    Parameters
    ----------
    library
        What has the C functions.
    """

    def __init__(self, library: Any) -> None:
        self._c = library

    @property
    def version(self) -> str:
        """Major, minor and patch version; needs no GPU."""
        parts, number = [], c_int()
        for part in range(_VERSION_PARTS):
            self._call("cublasGetProperty", part, ctypes.byref(number))
            parts.append(str(number.value))
        return ".".join(parts)

    def create(self) -> int:
        """Return a handle for the device whose context is current, which adds up in float32.

        Raises
        ------
        KernelFailed, OutOfMemory
            If cuBLAS can't.
        """
        handle = c_void_p()
        self._call("cublasCreate_v2", ctypes.byref(handle))
        self._call("cublasSetMathMode", handle, _SUMS_IN_FLOAT)
        return handle.value or 0

    def set_stream(self, handle: int, stream: int) -> None:
        """Set a handle's stream."""
        self._call("cublasSetStream_v2", c_void_p(handle), c_void_p(stream))

    def product(self, gemm: Gemm) -> Product:
        """Return what enqueues products on a handle's stream.

        It raises KernelFailed if cuBLAS doesn't take them. With a workspace of its own for each
        stream the bits of a result are the same in each run, and nothing is allocated.
        """
        real = c_double if gemm.compute == "float64" else c_float
        alpha, beta = real(gemm.alpha), real(0.0)
        factors, result = (_TYPES[dtype] for dtype in gemm.types)
        shape = (
            *(int(gemm.transpose_a), int(gemm.transpose_b)),
            *(c_int64(extent) for extent in (gemm.m, gemm.n, gemm.k)),
            ctypes.byref(alpha),
        )
        of_a, of_b, of_c = (
            (dtype, c_int64(leading), c_int64(stride))
            for dtype, leading, stride in zip(
                (factors, factors, result), gemm.leading, gemm.strides, strict=True
            )
        )
        how = c_int64(gemm.batch), _COMPUTE[gemm.compute], _DEFAULT

        def enqueue(handle: int, a: int, b: int, c: int, workspace: int, size: int) -> None:
            on = c_void_p(handle)
            self._call("cublasSetWorkspace_v2", on, c_void_p(workspace), c_size_t(size))
            self._call(
                "cublasGemmStridedBatchedEx_64",
                *(on, *shape, c_void_p(a), *of_a, c_void_p(b), *of_b),
                *(ctypes.byref(beta), c_void_p(c), *of_c, *how),
            )

        return enqueue

    def _call(self, function: str, *arguments: Any) -> None:
        status = getattr(self._c, function)(*arguments)
        if status:
            raise self._failure(status, function)

    def _failure(self, status: int, function: str) -> DispatchError:
        describe = self._c.cublasGetStatusString
        describe.restype = ctypes.c_char_p
        text = (describe(status) or b"unknown error").decode()
        if status == _ALLOCATION_FAILED:
            return OutOfMemory(f"cuBLAS: no memory for {function}: {text} ({status})")
        return KernelFailed(f"cuBLAS: {function}: {text} ({status})")


@cache
def blas() -> Blas:
    """Return cuBLAS, of its wheel or the system's.

    Raises
    ------
    PackUnavailable
        If it isn't found.
    """
    return Blas(shared_library("nvidia-cublas", "libcublas.so.13"))
