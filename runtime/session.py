"""A plan made ready by libreplay, and its runs."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.errors import (
    ForkedProcessError,
    InvalidArgument,
    KernelFailed,
    PackUnavailable,
    RegistrationError,
)
from dispatch.native import aligned_bytes
from dispatch.operator import Array
from runtime._native import ffi, lib
from runtime.bridge import pack_handle
from runtime.errors import PlanError
from runtime.plan.plan import Plan
from runtime.python_packs import meant

__all__ = ["Session", "Store", "address"]


class Store:
    """Constants that kernels packed, shared by the sessions made with it."""

    def __init__(self) -> None:
        slot, error = ffi.new("replay_store **"), ffi.new("replay_error *")
        check(lib.replay_store_new(slot, error), error)
        self.handle = ffi.gc(slot[0], lib.replay_store_free)


def address(array: Array) -> Any:
    """Return where an array's elements lie."""
    return ffi.cast("void *", array.__array_interface__["data"][0])


def check(status: int, error: Any) -> None:
    """Raise what a status of libreplay stands for."""
    if status:
        _raise(status, ffi.string(error.message).decode("utf-8", "replace"))


def _raise(status: int, message: str) -> NoReturn:
    kinds = {
        lib.REPLAY_INVALID_ARGUMENT: PlanError,
        lib.REPLAY_OUT_OF_MEMORY: MemoryError,
        lib.REPLAY_UNAVAILABLE: PackUnavailable,
        lib.REPLAY_WRONG_VERSION: RegistrationError,
    }
    raise kinds.get(status, KernelFailed)(f"replay: {message}")


class Session:
    """A plan whose kernels are prepared. May be run by several threads at once.

    Attributes
    ----------
    quantizations : tuple of Quantization or None
        What each output's integers stand for; empty if no output is quantised.

    Parameters
    ----------
    plan
        What to run.
    store
        Where packed constants are kept.

    Raises
    ------
    PlanError, KernelFailed, PackUnavailable
        If libreplay can't make the plan ready.
    """

    def __init__(self, plan: Plan, store: Store) -> None:
        self.plan = plan
        text = plan.to_json().encode()
        # Kept: what a kernel doesn't pack is read where it lies.
        self._constants = {name: _dense(array) for name, array in plan.constants.items()}
        names = {name: ffi.new("char[]", name.encode()) for name in self._constants}
        constants = ffi.new(
            "replay_constant[]",
            [
                {"name": names[name], "data": address(a), "bytes": a.nbytes}
                for name, a in self._constants.items()
            ]
            or 1,
        )
        handles = [pack_handle(name) for name in plan.data["packs"]]
        packs = ffi.new("replay_pack *[]", handles or 1)
        slot, error = ffi.new("replay **"), ffi.new("replay_error *")
        with meant(option.problem for option in plan.options):
            status = lib.replay_create_from_memory(
                text,
                len(text),
                constants,
                len(names),
                packs,
                len(handles),
                store.handle,
                slot,
                error,
            )
        check(status, error)
        release_pages(self._constants.values())
        self._store = store
        self._handle = ffi.gc(slot[0], lib.replay_free)
        self._results = [(s.shape, numpy_dtype(s.dtype)) for _, s in plan.outputs]
        meanings = tuple(spec.quantization for _, spec in plan.outputs)
        self.quantizations = meanings if any(meanings) else ()
        # NumPy exports no buffer of dtypes that aren't its own.
        self._plain = all(s.dtype != "bfloat16" for _, s in (*plan.inputs, *plan.outputs))

    @property
    def memory(self) -> dict[str, int]:
        """Bytes of the arena, of scratch memory and of packed constants."""
        sizes = lib.replay_memory(self._handle)
        return {
            "arena_bytes": int(sizes.arena_bytes),
            "scratch_bytes": int(sizes.scratch_bytes),
            "packed_bytes": int(sizes.packed_bytes),
        }

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Run on dense arrays of the plan's dtypes and shapes."""
        results = [np.empty(shape, dtype) for shape, dtype in self._results]
        if self._plain:
            sources = [ffi.from_buffer(x) for x in inputs]
            targets = [ffi.from_buffer(y) for y in results]
        else:
            sources, targets = list(map(address, inputs)), list(map(address, results))
        if lib.replay_run(
            self._handle,
            ffi.new("void *[]", sources) if sources else ffi.NULL,
            ffi.new("void *[]", targets),
            ffi.NULL,
        ):
            self._explain_failure(inputs, results)
        return results

    def bind(self, inputs: Sequence[Array], results: Sequence[Array]) -> Callable[[], None]:
        """Return a function that runs on arrays that stay the same."""
        handle, run, null = self._handle, lib.replay_run, ffi.NULL
        sources = ffi.new("void *[]", [address(x) for x in inputs] or 1)
        targets = ffi.new("void *[]", [address(y) for y in results])

        def run_bound() -> None:
            if run(handle, sources, targets, null):
                self._explain_failure(inputs, results)

        return run_bound

    def _explain_failure(self, inputs: Sequence[Array], results: Sequence[Array]) -> None:
        """Run again for the message: the usual run doesn't pay for one."""
        sources = ffi.new("void *[]", [address(x) for x in inputs] or 1)
        targets = ffi.new("void *[]", [address(y) for y in results])
        error = ffi.new("replay_error *")
        status = lib.replay_run(self._handle, sources, targets, error)
        message = ffi.string(error.message).decode("utf-8", "replace")
        if status == lib.REPLAY_UNAVAILABLE and "fork" in message:
            raise ForkedProcessError(f"replay: {message}")
        if status == lib.REPLAY_INVALID_ARGUMENT:
            raise InvalidArgument(f"replay: {message}")
        check(status, error)

    def run_timed(self, inputs: Sequence[Array]) -> Array:
        """Run, and return each step's seconds."""
        results = [np.empty(shape, dtype) for shape, dtype in self._results]
        sources = ffi.new("void *[]", [address(x) for x in inputs] or 1)
        targets = ffi.new("void *[]", [address(y) for y in results])
        error = ffi.new("replay_error *")
        seconds = np.zeros(max(1, len(self.plan.options)))
        out = ffi.cast("double *", address(seconds))
        check(lib.replay_run_timed(self._handle, sources, targets, out, error), error)
        return seconds[: len(self.plan.options)]


def release_pages(arrays: Iterable[Array]) -> None:
    """Give back the memory of arrays over a mapped file; what is read again comes from the file."""
    files = {id(m): m for m in map(_mapping, arrays) if m is not None}
    for mapped in files.values():
        if hasattr(mapped, "madvise"):
            mapped.madvise(mmap.MADV_DONTNEED)


def _mapping(array: Array) -> mmap.mmap | None:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    return base if isinstance(base, mmap.mmap) else None


def _dense(array: Array) -> Array:
    """Return a constant whose elements lie in order, each at a multiple of its size."""
    if array.flags.c_contiguous and array.flags.aligned:
        return array
    copy = aligned_bytes(max(1, array.nbytes))[: array.nbytes].view(array.dtype)
    copy = copy.reshape(array.shape)
    copy[...] = array
    return copy
