"""pyopencl, imported at the first use, and the devices that it finds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from dispatch.errors import DispatchError, KernelFailed, OutOfMemory, PackUnavailable
from kernels.gpu.process import DriverProcess
from kernels.gpu.traits import Traits
from kernels.opencl.described import described_devices

__all__ = ["devices", "failure", "library", "process", "reported", "traits_of"]

HINT = (
    "install a device's OpenCL driver (an ICD: for a CPU, Debian's pocl-opencl-icd), and see "
    "`clinfo`"
)

process = DriverProcess("OpenCL")

GPU_REGISTERS = 64
"""Of a work-item on any GPU: OpenCL can't be asked, and some have no more."""


@cache
def library() -> Any:
    """Return the module pyopencl.

    Raises
    ------
    PackUnavailable
        If it isn't installed, or the OpenCL loader is missing.
    """
    try:
        import pyopencl
        import pyopencl.array
    except ImportError as error:
        raise PackUnavailable(
            f"pack opencl: pyopencl can't be imported ({error}); "
            "pip install kernel-dispatch[opencl]"
        ) from error
    return pyopencl


CPU_TYPE = 2
"""CL_DEVICE_TYPE_CPU."""


@cache
def devices() -> tuple[Any, ...]:
    """Return every OpenCL device here, GPUs and other accelerators before CPUs.

    Where the environment describes devices, those alone.

    Raises
    ------
    PackUnavailable
        If there is none; says what is missing.
    """
    described = described_devices()
    if described is not None:
        return described
    cl = library()
    process.enter()
    try:
        platforms = cl.get_platforms()
    except cl.LogicError as error:
        raise PackUnavailable(f"pack opencl: no OpenCL platform ({error}); {HINT}") from error
    found = []
    for platform in platforms:
        try:
            found += platform.get_devices()
        except cl.RuntimeError as error:
            if error.code != cl.status_code.DEVICE_NOT_FOUND:
                raise
    if not found:
        raise PackUnavailable(f"pack opencl: no OpenCL device; {HINT}")
    return tuple(sorted(found, key=_is_cpu))


def _is_cpu(device: Any) -> bool:
    return bool(device.type & CPU_TYPE)


@cache
def traits_of(device: Any) -> Traits:
    """Return what plans have to know of a device."""
    vector_bytes = min(max(4 * device.native_vector_width_float, 16), 64)
    return Traits(
        name=device.name.strip(),
        is_cpu=_is_cpu(device),
        has_f64="cl_khr_fp64" in device.extensions,
        has_dot="cl_khr_integer_dot_product" in device.extensions,
        has_shuffle="cl_khr_subgroup_shuffle" in device.extensions,
        units=device.max_compute_units,
        max_items=device.max_work_group_size,
        local_bytes=device.local_mem_size,
        registers=GPU_REGISTERS if not _is_cpu(device) else 16 if vector_bytes == 32 else 32,
        vector_bytes=vector_bytes,
    )


def failure(error: Any, what: str) -> DispatchError:
    """Return the project's exception for one of pyopencl's: out of memory, or any other."""
    status = library().status_code
    full = (
        status.MEM_OBJECT_ALLOCATION_FAILURE,
        status.INVALID_BUFFER_SIZE,
        status.OUT_OF_HOST_MEMORY,
        status.OUT_OF_RESOURCES,
    )
    if error.code in full:
        return OutOfMemory(f"OpenCL: no memory for {what}: {error}")
    return KernelFailed(f"OpenCL: {what}: {error}")


@contextmanager
def reported(what: str) -> Iterator[None]:
    """Raise the project's exceptions for pyopencl's."""
    try:
        yield
    except library().Error as error:
        raise failure(error, what) from error
