"""Packs driven from Python, given to libreplay as what it takes: a table of C functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.answer import Answer, No
from dispatch.contract import CONTRACT_VERSION, Kernel, Prepared
from dispatch.core import ffi, lib
from dispatch.dtypes import numpy_dtype
from dispatch.errors import RegistrationError
from dispatch.operator import Array
from dispatch.problem import AttributeValue, EpilogueStep, Problem
from dispatch.registry import RegisteredPack
from dispatch.tensor import LAYOUT_BLOCKS, NCHW, Quantization, TensorSpec

__all__ = ["meant", "open_table", "problem_from_c"]

_OK, _FAILED = 0, 5  # KP_OK, KP_LIBRARY_FAILED
_CONSTANT, _ABSENT = 1, 2  # KP_TENSOR_CONSTANT, KP_TENSOR_ABSENT
_DETERMINISTIC, _BINDS_CONSTANTS = 1, 1
_INTEGERS, _REALS = 0, 1
_PRECISIONS = ("highest", "high", "medium")
_KINDS = {0: "int", 1: "uint", 2: "float", 4: "bfloat", 6: "bool"}
_LAYOUT_SIZE = 16


def open_table(pack: RegisteredPack) -> Any:
    """Return the ``core_pack *`` of an opened pack that is driven from Python.

    Raises
    ------
    RegistrationError
        If the core doesn't take it.
    """
    assert pack.opened is not None
    kernels = [_CKernel(kernel) for kernel in pack.opened.kernels]
    table = _Table(pack, kernels)
    slot, error = ffi.new("core_pack **"), ffi.new("kp_error *")
    if lib.core_pack_open_table(table.table, ffi.NULL, 0, slot, error):
        raise RegistrationError(f"pack {pack.name}: {_text(error.message)}")
    _kept.append(table)
    return slot[0]


@contextmanager
def meant(problems: Iterable[Problem]) -> Iterator[None]:
    """Give kernels these problems, as Python has them, while a plan of them is made ready.

    C's form doesn't tell a list of one number from the number.
    """
    _thread.problems = {_flat(p): p for p in problems}
    try:
        yield
    finally:
        _thread.problems = {}


_thread = threading.local()


def _flat(problem: Problem) -> Problem:
    attributes = tuple(
        (name, value[0] if isinstance(value, tuple) and len(value) == 1 else value)
        for name, value in problem.attributes
    )
    return replace(problem, attributes=attributes)


def _meant(problem: Any) -> Problem:
    flat = problem_from_c(problem)
    known: dict[Problem, Problem] = getattr(_thread, "problems", {})
    return known.get(flat, flat)


_kept: list[Any] = []
"""Tables and their functions live as long as the process, as packs do."""


def _function(struct: str, name: str, work: Callable[..., Any]) -> Any:
    """Return a C function for a slot of a struct."""
    return ffi.callback(dict(ffi.typeof(struct).fields)[name].type, work)


class _Table:
    """The table of one pack."""

    def __init__(self, pack: RegisteredPack, kernels: list[_CKernel]) -> None:
        self.kernels = kernels
        self._list = ffi.new("kp_kernel *[]", [k.kernel for k in kernels] or 1)
        self._texts = [ffi.new("char[]", t.encode()) for t in (pack.name, pack.version)]
        self._library = ffi.new("char[]", pack.library_version.encode())
        self._functions = [
            _function("kp_pack_table", "open", self._open),
            _function("kp_pack_table", "close", lambda _pack: None),
            _function("kp_pack_table", "library_version", lambda _pack: self._library),
            _function("kp_pack_table", "kernels", self._kernels),
        ]
        self.table = ffi.new("kp_pack_table *")
        self.table.struct_size = ffi.sizeof("kp_pack_table")
        self.table.contract_version = CONTRACT_VERSION
        self.table.name, self.table.pack_version = self._texts
        (
            self.table.open,
            self.table.close,
            self.table.library_version,
            self.table.kernels,
        ) = self._functions

    def _open(self, _options: Any, _count: int, pack: Any, _error: Any) -> int:
        pack[0] = ffi.cast("kp_pack *", self.table)
        return _OK

    def _kernels(self, _pack: Any, count: Any) -> Any:
        count[0] = len(self.kernels)
        return self._list


class _CKernel:
    """One kernel's C functions."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._prepared: dict[int, _Ready] = {}
        self._texts = [ffi.new("char[]", t.encode()) for t in (kernel.name, kernel.source)]
        self._reasons: dict[str, Any] = {}
        self.kernel = ffi.new("kp_kernel *")
        self.kernel.struct_size = ffi.sizeof("kp_kernel")
        self.kernel.flags = _DETERMINISTIC if kernel.deterministic else 0
        self.kernel.name, self.kernel.source = self._texts
        self._functions = [
            _function("kp_kernel", "query", self._query),
            _function("kp_kernel", "prepare", self._prepare),
            _function("kp_kernel", "pack_constant", self._pack_constant),
            _function("kp_kernel", "run", self._run),
            _function("kp_kernel", "release", self._release),
        ]
        (
            self.kernel.query,
            self.kernel.prepare,
            self.kernel.pack_constant,
            self.kernel.run,
            self.kernel.release,
        ) = self._functions

    def _query(self, _pack: Any, _kernel: Any, problem: Any, answer: Any) -> None:
        try:
            given = self._kernel.query(_meant(problem))
        except Exception as error:  # noqa: BLE001 -- nothing may cross the boundary
            answer.code = 13  # KP_NO_LIBRARY
            answer.subject, answer.limit = self._text(f"{error!r}"), self._text("")
            return
        self._fill(answer, given)

    def _fill(self, answer: Any, given: Answer) -> None:
        if isinstance(given, No):
            answer.code = int(given.code)
            answer.subject, answer.limit = self._text(given.subject), self._text(given.limit)
            return
        answer.code = _OK
        answer.flags = _BINDS_CONSTANTS if given.binds_constants else 0
        answer.cost = given.cost
        answer.scratch_bytes = 0  # a kernel in Python has its own
        answer.may_overwrite = sum(1 << i for i in given.may_overwrite)
        for i, layout in enumerate(given.layouts):
            ffi.memmove(answer.layouts[i], layout.encode().ljust(_LAYOUT_SIZE, b"\0"), _LAYOUT_SIZE)
        for i, size in enumerate(given.packed_bytes):
            answer.packed_bytes[i] = size

    def _text(self, text: str) -> Any:
        """Return a text that lives on, as those of an answer must."""
        if text not in self._reasons:
            self._reasons[text] = ffi.new("char[]", text.encode())
        return self._reasons[text]

    def _prepare(
        self, _pack: Any, _kernel: Any, problem: Any, constants: Any, slot: Any, error: Any
    ) -> int:
        def work() -> None:
            ready = _Ready(self._kernel, _meant(problem), constants)
            self._prepared[int(ffi.cast("uintptr_t", ready.handle))] = ready
            slot[0] = ffi.cast("kp_prepared *", ready.handle)

        return _guarded(work, error)

    def _pack_constant(
        self, prepared: Any, index: int, source: Any, destination: Any, error: Any
    ) -> int:
        return _guarded(lambda: _ready(prepared).pack(index, source, destination), error)

    def _run(self, prepared: Any, buffers: Any, _scratch: Any, queue: Any) -> int:
        return _guarded(lambda: _ready(prepared).run(buffers, queue), ffi.NULL)

    def _release(self, prepared: Any) -> None:
        self._prepared.pop(int(ffi.cast("uintptr_t", prepared)), None)


def _guarded(work: Callable[[], None], error: Any) -> int:
    """Run `work`; an exception becomes a status and a message."""
    try:
        work()
    except Exception as problem:  # noqa: BLE001 -- nothing may cross the boundary
        if error != ffi.NULL:
            text = repr(problem).encode()[:511]
            ffi.memmove(error.message, text + b"\0", len(text) + 1)
        return _FAILED
    return _OK


class _Ready:
    """A prepared kernel, and the packed constants that it gave out."""

    def __init__(self, kernel: Kernel, problem: Problem, constants: Any) -> None:
        self.handle = ffi.new_handle(self)
        self._problem = problem
        values = [
            _array(constants[i], tensor)
            if constants[i] != ffi.NULL and tensor is not None
            else None
            for i, tensor in enumerate(problem.inputs)
        ]
        self._prepared: Prepared = kernel.prepare(problem, values)
        self._packed: dict[int, Any] = {}

    def pack(self, index: int, source: Any, destination: Any) -> None:
        tensor = self._problem.inputs[index]
        assert tensor is not None
        packed = self._prepared.pack(index, _array(source, tensor).copy())
        self._packed[index] = packed
        if isinstance(packed, np.ndarray):
            size = min(packed.nbytes, self._prepared.packed_bytes[index])
            ffi.memmove(
                destination, ffi.from_buffer(np.ascontiguousarray(packed).view(np.uint8)), size
            )

    def run(self, buffers: Any, queue: Any) -> None:
        arrays: list[Any] = []
        for i, tensor in enumerate(self._problem.tensors):
            if tensor is None or buffers[i] == ffi.NULL:
                arrays.append(None)
            elif i in self._packed:
                arrays.append(self._packed[i])
            else:
                arrays.append(_array(buffers[i], tensor))
        self._prepared.run(arrays, None if queue == ffi.NULL else queue)


def _ready(prepared: Any) -> _Ready:
    found = ffi.from_handle(ffi.cast("void *", prepared))
    assert isinstance(found, _Ready)
    return found


def _array(pointer: Any, tensor: TensorSpec) -> Array:
    """Return an array over a tensor's memory, of the shape in which its layout stores it."""
    shape = tensor.shape
    if tensor.layout != NCHW:
        n, channels, height, width = shape
        block = LAYOUT_BLOCKS[tensor.layout]
        shape = (
            (n, height, width, channels)
            if block == 1
            else (n, -(-channels // block), height, width, block)
        )
    size = tensor.nbytes
    if not size:
        return np.empty(shape, numpy_dtype(tensor.dtype))
    memory = np.frombuffer(ffi.buffer(pointer, size), np.uint8)
    return memory.view(numpy_dtype(tensor.dtype)).reshape(shape)


def _text(pointer: Any) -> str:
    return str(ffi.string(pointer).decode("utf-8", "replace"))


def problem_from_c(problem: Any) -> Problem:
    """Return the Python form of a ``kp_problem``."""
    inputs = tuple(_tensor(problem.inputs[i]) for i in range(problem.num_inputs))
    outputs = tuple(_tensor(problem.outputs[i]) for i in range(problem.num_outputs))
    assert all(t is not None for t in outputs)
    return Problem(
        operator=_text(problem.operator_name),
        inputs=inputs,
        outputs=tuple(t for t in outputs if t is not None),
        attributes=tuple(_attribute(problem.attributes[i]) for i in range(problem.num_attributes)),
        epilogue=tuple(
            EpilogueStep(_text(e.name), e.input, e.alpha, e.beta)
            for e in (problem.epilogues[i] for i in range(problem.num_epilogues))
        ),
        num_operator_inputs=problem.num_operator_inputs,
        device=_text(problem.device_name),
        precision=_PRECISIONS[problem.precision],  # type: ignore[arg-type]
        deterministic=bool(problem.deterministic),
        threads=problem.threads,
    )


def _tensor(tensor: Any) -> TensorSpec | None:
    if tensor.flags & _ABSENT:
        return None
    dtype = tensor.dl.dtype
    kind = _KINDS[dtype.code]
    quantization = None
    if tensor.quantization != ffi.NULL:
        q = tensor.quantization
        quantization = Quantization(
            tuple(q.scales[i] for i in range(q.count)),
            tuple(q.zero_points[i] for i in range(q.count)),
            q.axis,
        )
    return TensorSpec(
        "bool" if kind == "bool" else f"{kind}{dtype.bits}",
        tuple(tensor.dl.shape[i] for i in range(tensor.dl.ndim)),
        _text(tensor.layout),
        bool(tensor.flags & _CONSTANT),
        quantization,
    )


def _attribute(attribute: Any) -> tuple[str, AttributeValue]:
    name = _text(attribute.name)
    if attribute.type not in (_INTEGERS, _REALS):
        return name, _text(attribute.string)
    numbers = attribute.integers if attribute.type == _INTEGERS else attribute.reals
    values = tuple(numbers[i] for i in range(attribute.count))
    return name, values[0] if attribute.count == 1 else values
