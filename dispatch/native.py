"""Packs that are shared libraries: `NativePack` and what it opens to."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.core import ffi, lib
from dispatch.errors import ForkedProcessError, KernelFailed, PackUnavailable, RegistrationError
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["NativeKernel", "NativeOpenPack", "NativePack", "NativePrepared", "aligned_bytes"]

ALIGNMENT = 64
_UNAVAILABLE = (3, 4)  # KP_UNAVAILABLE, KP_WRONG_VERSION
_DETERMINISTIC = 1  # KP_KERNEL_DETERMINISTIC
_BINDS_CONSTANTS = 1  # KP_ANSWER_BINDS_CONSTANTS


def aligned_bytes(count: int) -> Array:
    """Return `count` uninitialised bytes at a multiple of the contract's alignment."""
    raw = np.empty(count + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count]


def _text(pointer: Any) -> str:
    return "" if pointer == ffi.NULL else ffi.string(pointer).decode("utf-8", "replace")


@lru_cache(maxsize=512)
def parse_problem(problem: Problem) -> Any:
    """Return the C form of a problem, freed with the last reference."""
    text = problem.to_json().encode()
    slot, error = ffi.new("core_problem **"), ffi.new("kp_error *")
    if lib.core_problem_parse(text, len(text), slot, error):
        raise KernelFailed(f"problem {problem}: {_text(error.message)}")
    return ffi.gc(slot[0], lib.core_problem_free)


class NativePrepared:
    """A prepared native kernel.

    Attributes
    ----------
    call : cdata
        The ``core_call *``.
    """

    __slots__ = ("_kernel", "call", "packed_bytes")

    def __init__(self, kernel: NativeKernel, call: Any, num_inputs: int) -> None:
        self._kernel = kernel
        self.call = call
        self.packed_bytes: tuple[int, ...] = tuple(
            int(lib.core_call_packed_bytes(call, i)) for i in range(num_inputs)
        )

    def pack(self, index: int, value: Array) -> Array:
        """Return the packed form of constant input `index`: aligned bytes."""
        packed = aligned_bytes(self.packed_bytes[index])
        error = ffi.new("kp_error *")
        source = np.ascontiguousarray(value)
        if lib.core_call_pack(self.call, index, _address(source), ffi.from_buffer(packed), error):
            raise KernelFailed(
                f"{self._kernel.name}: packing input {index}: {_text(error.message)}"
            )
        return packed

    def run(self, buffers: Sequence[Any], queue: Any = None) -> None:
        """Run on dense arrays, one for each input (None: absent), then for each output."""
        pointers = [ffi.NULL if b is None else _address(b) for b in buffers]
        self.check(lib.core_call_run(self.call, ffi.new("void *[]", pointers), ffi.NULL))

    def check(self, status: int) -> None:
        """Raise what a run's status stands for."""
        if status == 0:
            return
        if lib.core_forked_with_threads():
            raise ForkedProcessError(
                f"{self._kernel.name}: prepared for several threads before fork(); "
                f"their pool doesn't exist in the child: use threads=1 or start processes by spawn"
            )
        raise KernelFailed(f"{self._kernel.name}: the kernel reported status {status}")


def _address(array: Array) -> Any:
    return ffi.cast("void *", array.__array_interface__["data"][0])


class NativeKernel:
    """A kernel of a native pack."""

    __slots__ = ("deterministic", "handle", "name", "pack", "source")

    def __init__(self, pack: NativeOpenPack, handle: Any) -> None:
        self.pack = pack
        self.handle = handle
        self.name = _text(handle.name)
        self.source = _text(handle.source)
        self.deterministic = bool(handle.flags & _DETERMINISTIC)

    def __repr__(self) -> str:
        return f"<kernel {self.name}>"

    def query(self, problem: Problem) -> Answer:
        """Ask the pack."""
        native = parse_problem(problem)
        held = lib.core_query(self.pack.handle, self.handle, native)
        if held == ffi.NULL:
            raise MemoryError(f"{self.name}: no memory for an answer")
        try:
            return self._answer(problem, native, held.answer)
        finally:
            lib.core_answer_free(held)

    def _answer(self, problem: Problem, native: Any, answer: Any) -> Answer:
        if answer.code == 0:
            inputs = len(problem.inputs)
            return Yes(
                cost=answer.cost,
                scratch_bytes=answer.scratch_bytes,
                layouts=tuple(
                    ffi.string(answer.layouts[i]).decode() for i in range(len(problem.tensors))
                ),
                packed_bytes=tuple(answer.packed_bytes[i] for i in range(inputs)),
                may_overwrite=frozenset(
                    i for i in range(min(inputs, 64)) if answer.may_overwrite >> i & 1
                ),
                binds_constants=bool(answer.flags & _BINDS_CONSTANTS),
            )
        try:
            code = NoCode(answer.code)
        except ValueError:
            raise RegistrationError(
                f"{self.name}: refuses with code {answer.code}, which the catalogue doesn't have"
            ) from None
        subject = _text(answer.subject)
        got = str(answer.got) if answer.has_got else got_of(problem, subject)
        if code is NoCode.LIBRARY and self.handle.reason != ffi.NULL:
            text = ffi.new("char[512]")
            self.handle.reason(
                lib.core_pack_handle(self.pack.handle),
                self.handle,
                lib.core_problem_get(native),
                text,
                512,
            )
            got = ffi.string(text).decode("utf-8", "replace") or got
        return No(code, subject, _text(answer.limit), got)

    def prepare(self, problem: Problem, constants: Sequence[Array | None]) -> NativePrepared:
        """Make the kernel ready; `constants` has one entry for each input."""
        slot, error = ffi.new("core_call **"), ffi.new("kp_error *")
        values = [None if c is None else np.ascontiguousarray(c) for c in constants]
        pointers = ffi.new(
            "void *[]", [ffi.NULL if v is None else _address(v) for v in values] or 1
        )
        native = parse_problem(problem)
        if lib.core_call_prepare(self.pack.handle, self.handle, native, pointers, slot, error):
            raise KernelFailed(f"{self.name}: {_text(error.message)}")
        return NativePrepared(self, ffi.gc(slot[0], lib.core_call_release), len(problem.inputs))


def got_of(problem: Problem, subject: str) -> str:
    """Return what a problem has where a refusal's subject says: an attribute, ``x.dtype``."""
    from dispatch.operators import operators

    for name, value in problem.attributes:
        if name == subject:
            return str(value)
    if subject == "epilogue":
        return "+".join(step.name for step in problem.epilogue)
    if subject in ("precision", "deterministic", "threads", "device"):
        return str(getattr(problem, subject))
    tensor, _, what = subject.partition(".")
    operator = operators().get(problem.operator)
    if operator is None or what not in ("dtype", "shape", "layout", "rank"):
        return ""
    named = dict(zip((i.name for i in operator.inputs), problem.inputs, strict=False))
    named["y"] = problem.outputs[0]
    found = named.get(tensor)
    return "" if found is None else str(getattr(found, what))


class NativeOpenPack:
    """An opened native pack.

    Attributes
    ----------
    handle : cdata
        The ``core_pack *``.
    """

    def __init__(self, handle: Any, path: Path, options: Mapping[str, str]) -> None:
        self.handle = handle
        self.path = path
        self.options = dict(options)
        self.version = _text(lib.core_pack_version(handle))
        self.library_version = _text(lib.core_pack_library_version(handle))
        self.kernels: tuple[NativeKernel, ...] = tuple(
            NativeKernel(self, lib.core_pack_kernel(handle, i))
            for i in range(lib.core_pack_num_kernels(handle))
        )


@dataclass(frozen=True)
class NativePack:
    """A pack that is a shared library beside a Python package.

    Parameters
    ----------
    name
        The first part of its kernels' names.
    package
        The Python package that the library lies beside or in.
    library
        The shared library's file name.
    devices
        Names of the devices that it serves.
    fallback
        It serves where no vendor's pack does.
    options
        Gives the pack's own options, such as the vendor library's path, when
        the pack is opened.
    levels
        Values of the pack's option ``level``, each of which the conformance
        kit checks.
    build
        What building the library takes; said where it wasn't built.
    serves
        ``operator.dtype`` of all kernels, where opening the pack costs too much
        to be done for anything else.
    """

    name: str
    package: str
    library: str
    devices: tuple[str, ...]
    fallback: bool = False
    options: Callable[[], Mapping[str, str]] = dict
    levels: tuple[str, ...] = ()
    build: str = ""
    serves: tuple[str, ...] = ()

    def find(self) -> Path:
        """Return the shared library's path.

        Raises
        ------
        PackUnavailable
            If it isn't there.
        """
        spec = importlib.util.find_spec(self.package)
        places = list(spec.submodule_search_locations or []) if spec is not None else []
        for place in places:
            path = Path(place, self.library)
            if path.exists():
                return path
        resource = _resource(self.package, self.library)
        if resource is not None:
            return resource
        raise PackUnavailable(
            f"pack {self.name}: {self.library} was not built for this machine"
            + (f"; {self.build}" if self.build else "")
        )

    def open(self, options: Mapping[str, str] | None = None) -> NativeOpenPack:
        """Load the library and open the pack."""
        path = self.find()
        chosen = {**self.options(), **(options or {})}
        texts = [
            (ffi.new("char[]", k.encode()), ffi.new("char[]", v.encode()))
            for k, v in chosen.items()
        ]
        native = ffi.new("kp_option[]", [{"name": k, "value": v} for k, v in texts] or 1)
        slot, error = ffi.new("core_pack **"), ffi.new("kp_error *")
        status = lib.core_pack_open(str(path).encode(), native, len(texts), slot, error)
        if status in _UNAVAILABLE:
            raise PackUnavailable(f"pack {self.name}: {_text(error.message)}")
        if status:
            raise RegistrationError(f"pack {self.name} ({path}): {_text(error.message)}")
        return NativeOpenPack(slot[0], path, chosen)


def _resource(package: str, name: str) -> Path | None:
    """Find a file that an editable install keeps in its build folder."""
    from importlib.resources import files

    try:
        path = Path(str(files(package).joinpath(name)))
    except (ModuleNotFoundError, FileNotFoundError, TypeError):
        return None
    return path if path.exists() else None
