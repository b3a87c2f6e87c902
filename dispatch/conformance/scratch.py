"""Scratch memory of native kernels: exactly what they ask for, poisoned, between guards."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from dispatch.conformance.constants import passing
from dispatch.conformance.memory import Buffer
from dispatch.core import ffi, lib
from dispatch.errors import KernelFailed
from dispatch.native import NativeKernel, parse_problem
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["run_in_guarded_scratch"]


@cache
def _threads() -> Any:
    return ThreadpoolController()


def run_in_guarded_scratch(
    kernel: NativeKernel,
    problem: Problem,
    constants: Sequence[Array | None],
    buffers: Sequence[Any],
    scratch_bytes: int,
) -> str:
    """Prepare and run through the contract itself; say where scratch was overrun, "" if nowhere.

    Raises
    ------
    KernelFailed
        If the kernel reports a failure.
    """
    scratch = Buffer((scratch_bytes,), np.dtype(np.uint8))
    handle, error, slot = kernel.handle, ffi.new("kp_error *"), ffi.new("kp_prepared **")
    native = parse_problem(problem)
    pack = lib.core_pack_handle(kernel.pack.handle)
    with _threads().limit(limits=problem.threads, user_api="openmp"):
        with passing(constants) as lent:
            values = ffi.new("void *[]", [_pointer(c) for c in lent] or 1)
            status = handle.prepare(pack, handle, lib.core_problem_get(native), values, slot, error)
        if status:
            raise KernelFailed(f"{kernel.name}: {ffi.string(error.message).decode()}")
        try:
            places = ffi.new("void *[]", [_pointer(b) for b in buffers])
            status = handle.run(slot[0], places, _pointer(scratch.array), ffi.NULL)
        finally:
            handle.release(slot[0])
    if status:
        raise KernelFailed(f"{kernel.name}: the kernel reported status {status}")
    return scratch.guards_broken()


def _pointer(array: Any) -> Any:
    if array is None:
        return ffi.NULL
    return ffi.cast("void *", array.__array_interface__["data"][0])
