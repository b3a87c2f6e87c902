"""The two libraries whose arrays are taken, each by the few functions that the pack needs."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dispatch.dtypes import SHORT_NAMES, dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, KernelFailed, OutOfMemory, UnsupportedDtype
from kernels.cudnn.library import cupy

__all__ = ["CUPY", "ForeignStream", "Library", "device_memory", "library_of"]


class Library(Protocol):
    """A library's arrays."""

    def device_id(self, array: Any) -> int:
        """Return the device that an array lies on."""

    def stream(self, device_id: int) -> tuple[int, Any]:
        """Return the handle of the current stream, and its owner."""

    def describe(self, array: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]:
        """Return an array's dtype, shape and strides in bytes."""

    def pointer(self, array: Any) -> int:
        """Return the address of an array's first element."""

    def new(self, shape: tuple[int, ...], dtype: np.dtype[Any], device_id: int) -> Any:
        """Return an array on a device, from the library's allocator.

        Raises
        ------
        OutOfMemory
            If the device has no more.
        KernelFailed
            If it gives none for another reason: it may be lost.
        """


class _CuPy:
    def device_id(self, array: Any) -> int:
        return int(array.data.device_id)

    def stream(self, device_id: int) -> tuple[int, Any]:
        stream = cupy().cuda.get_current_stream(device_id)
        return int(stream.ptr), stream

    def describe(self, array: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]:
        return array.dtype, array.shape, array.strides

    def pointer(self, array: Any) -> int:
        return int(array.data.ptr)

    def new(self, shape: tuple[int, ...], dtype: np.dtype[Any], device_id: int) -> Any:
        module = cupy()
        try:
            with module.cuda.Device(device_id):
                return module.empty(shape, dtype)
        except module.cuda.memory.OutOfMemoryError as error:
            raise OutOfMemory(f"CUDA: no memory for {dtype} {shape}: {error}") from error
        except module.cuda.runtime.CUDARuntimeError as error:
            raise KernelFailed(f"CUDA: no array {dtype} {shape}: {error}") from error


class _Torch:
    def device_id(self, array: Any) -> int:
        if array.requires_grad:
            raise InvalidArgument(
                "expected a tensor without gradients, got one that requires them: x.detach()"
            )
        return int(array.device.index)

    def stream(self, device_id: int) -> tuple[int, Any]:
        stream = sys.modules["torch"].cuda.current_stream(device_id)
        return int(stream.cuda_stream), stream

    def describe(self, array: Any) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, ...]]:
        name = str(array.dtype).removeprefix("torch.")
        if name not in SHORT_NAMES:
            raise UnsupportedDtype(f"expected a dtype of the project, got {array.dtype}")
        dtype = numpy_dtype(name)
        strides = tuple(step * dtype.itemsize for step in array.stride())
        return dtype, tuple(array.shape), strides

    def pointer(self, array: Any) -> int:
        return int(array.data_ptr())

    def new(self, shape: tuple[int, ...], dtype: np.dtype[Any], device_id: int) -> Any:
        torch = sys.modules["torch"]
        kind = getattr(torch, str(dtype_name(dtype)))
        try:
            return torch.empty(shape, dtype=kind, device=f"cuda:{device_id}")
        except torch.cuda.OutOfMemoryError as error:
            raise OutOfMemory(f"CUDA: no memory for {dtype} {shape}: {error}") from error
        except RuntimeError as error:
            raise KernelFailed(f"CUDA: no array {dtype} {shape}: {error}") from error


CUPY = _CuPy()
_LIBRARIES: dict[str, Library] = {"cupy": CUPY, "torch": _Torch()}
"""By the top-level module of their arrays' types."""


def library_of(array: Any) -> Library:
    """Return the library of an array.

    Raises
    ------
    InvalidArgument
        If it is neither CuPy's nor PyTorch's.
    """
    kind = type(array)
    found = _LIBRARIES.get(kind.__module__.partition(".")[0])
    if found is None or not hasattr(array, "dtype"):
        raise InvalidArgument(
            f"expected a cupy.ndarray or a torch.Tensor on a GPU, got {kind.__module__}."
            f"{kind.__name__}"
        )
    return found


@dataclass(frozen=True, slots=True)
class ForeignStream:
    """Any library's stream, as CuPy takes one (``Stream.from_external``).

    Parameters
    ----------
    pointer
        The driver's handle.
    """

    pointer: int

    def __cuda_stream__(self) -> tuple[int, int]:
        """Return the protocol's version, and the handle."""
        return 0, self.pointer


def device_memory(device_id: int, stream: int, size: int) -> tuple[int, Any]:
    """Return the address of new memory from CuPy's pool, and what owns it.

    The pool gives freed memory to the stream that it was allocated for alone, so that what is
    enqueued there may still use it.

    Raises
    ------
    OutOfMemory
        If the device has no more.
    KernelFailed
        If it gives none for another reason: it may be lost.
    """
    cuda = cupy().cuda
    try:
        with cuda.Device(device_id), cuda.Stream.from_external(ForeignStream(stream)):
            owner = cuda.alloc(max(size, 1))
    except cuda.memory.OutOfMemoryError as error:
        raise OutOfMemory(f"CUDA: no memory for {size} bytes: {error}") from error
    except cuda.runtime.CUDARuntimeError as error:
        raise KernelFailed(f"CUDA: no allocation of {size} bytes: {error}") from error
    return int(owner.ptr), owner
