"""oneDNN called without the contract, for ``bench run --direct``."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from importlib import resources
from typing import Any

from cffi import FFI

from dispatch import core
from dispatch.errors import InvalidArgument, PackUnavailable
from dispatch.native import parse_problem
from dispatch.operator import Array
from dispatch.problem import Problem
from kernels.mkldnn import options

__all__ = ["DirectConvolution", "prepare"]

LIBRARY = "libdirect_mkldnn.so"

ffi = FFI()
ffi.cdef(
    """
    typedef struct { char message[512]; } kp_error;
    void *direct_create(const void *problem, void *const *buffers, kp_error *error);
    const char *direct_implementation(const void *handle);
    int direct_run(const void *handle, void *const *buffers, void *queue);
    void direct_release(void *handle);
    """
)


class DirectConvolution:
    """A convolution primitive with its arguments.

    Attributes
    ----------
    implementation : str
        oneDNN's name for its code.
    function, handle : int
        Addresses of a C function ``int (const void *handle, void *const *, void *)`` and of what
        it takes first.
    """

    def __init__(self, lib: Any, made: Any, buffers: Sequence[Array | None]) -> None:
        self._made, self._buffers = made, buffers
        self.implementation: str = ffi.string(lib.direct_implementation(made)).decode()
        self.function = int(ffi.cast("uintptr_t", ffi.addressof(lib, "direct_run")))
        self.handle = int(ffi.cast("uintptr_t", made))


def prepare(problem: Problem, buffers: Sequence[Array | None]) -> DirectConvolution:
    """Set oneDNN up for a problem.

    Parameters
    ----------
    problem
        A convolution, in concrete layouts.
    buffers
        Its inputs, then its output, in the problem's layouts; used by every run.

    Raises
    ------
    InvalidArgument
        If it is a problem that isn't served this way.
    PackUnavailable
        If oneDNN isn't here.
    """
    try:
        ctypes.CDLL(options()["library"], mode=ctypes.RTLD_GLOBAL)
        lib = ffi.dlopen(str(resources.files("kernels.mkldnn").joinpath(LIBRARY)))
    except OSError as error:
        raise PackUnavailable(f"direct calls of oneDNN: {error}") from error
    parsed = parse_problem(problem)
    address = int(core.ffi.cast("uintptr_t", core.lib.core_problem_get(parsed)))
    pointers = ffi.new(
        "void *[]",
        [
            ffi.NULL if b is None else ffi.cast("void *", b.__array_interface__["data"][0])
            for b in buffers
        ],
    )
    error = ffi.new("kp_error *")
    made = lib.direct_create(ffi.cast("void *", address), pointers, error)
    if made == ffi.NULL:
        raise InvalidArgument(f"direct calls of oneDNN: {ffi.string(error.message).decode()}")
    return DirectConvolution(lib, ffi.gc(made, lib.direct_release), buffers)
