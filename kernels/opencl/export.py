"""Kernels as a file, which the pack's native side runs without Python.

The file is what `native/image.c` reads: little-endian numbers of 4 and 8 bytes, texts and bytes
after their length. It holds programs, so it is code: who loads one must trust where it is from.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from dispatch.contract import Kernel, Timed
from dispatch.errors import InvalidArgument
from dispatch.problem import AttributeValue, Problem
from dispatch.tensor import TensorSpec
from kernels.gpu.plan import Launch, Plan
from kernels.gpu.traits import Traits
from kernels.opencl.enqueue import language_options, text_for

__all__ = ["Exported", "image", "read_times", "signature"]

MAGIC, VERSION = b"KPOPENCL", 1
CONSTANT, ABSENT = 1, 2
INTEGERS, REALS, STRING = 0, 1, 2
PRECISIONS = ("highest", "high", "medium")
NEEDS_F64, NEEDS_DOT, NEEDS_SHUFFLE = 1, 2, 4
DTYPES = {
    **{f"int{bits}": (0, bits) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (1, bits) for bits in (8, 16, 32, 64)},
    **{f"float{bits}": (2, bits) for bits in (16, 32, 64)},
    "bfloat16": (4, 16),
    "bool": (6, 8),
}
"""DLPack's codes and bits."""


def _u32(*values: int) -> bytes:
    return b"".join(struct.pack("<I", value & 0xFFFFFFFF) for value in values)


def _bytes(data: bytes) -> bytes:
    return _u32(len(data)) + data


def _string(text: str) -> bytes:
    """Return a text as the file has it: its closing zero counts."""
    return _bytes(text.encode() + b"\0")


def _word(text: str) -> bytes:
    """Return a text as a signature has it."""
    return _bytes(text.encode())


# ---- Problems ----------------------------------------------------------------------------------


def signature(problem: Problem) -> bytes:
    """Return a problem as bytes: all that may change a result, as ``native/signature.c`` has it."""
    counts = (len(problem.inputs), problem.num_operator_inputs, len(problem.outputs))
    return b"".join(
        (
            _word(problem.operator),
            _u32(*counts),
            *map(_tensor, problem.tensors),
            _u32(len(problem.attributes)),
            *(_attribute(name, value) for name, value in problem.attributes),
            _u32(len(problem.epilogue)),
            *(
                _word(step.name) + _u32(step.input) + struct.pack("<2d", step.alpha, step.beta)
                for step in problem.epilogue
            ),
            _u32(PRECISIONS.index(problem.precision), problem.deterministic),
        )
    )


def _tensor(tensor: TensorSpec | None) -> bytes:
    if tensor is None:
        return _u32(ABSENT)
    parts = [
        _u32(CONSTANT if tensor.constant else 0, *DTYPES[tensor.dtype]),
        _word(tensor.layout),
        _u32(tensor.rank),
        struct.pack(f"<{tensor.rank}q", *tensor.shape),
    ]
    meaning = tensor.quantization
    if meaning is None:
        parts.append(_u32(0))
    else:
        parts += [
            _u32(1, meaning.axis, len(meaning.scales)),
            np.asarray(meaning.scales, "<f4").tobytes(),
            np.asarray(meaning.zero_points, "<i4").tobytes(),
        ]
    return b"".join(parts)


def _attribute(name: str, value: AttributeValue) -> bytes:
    if isinstance(value, str):
        return _word(name) + _u32(STRING) + _word(value)
    values = value if isinstance(value, tuple) else (value,)
    real = any(isinstance(v, float) for v in values)
    kind, code = (REALS, "d") if real else (INTEGERS, "q")
    return _word(name) + _u32(kind, len(values)) + struct.pack(f"<{len(values)}{code}", *values)


def read_times(text: str, kernels: Sequence[tuple[Kernel, Problem]]) -> list[Timed]:
    """Read what ``opencl_time`` printed, as far as it is of `kernels`.

    Raises
    ------
    InvalidArgument
        If it is something else.
    """
    known = {(k.name, signature(problem).hex()): (k, problem) for k, problem in kernels}
    found = []
    try:
        for row in json.loads(text):
            entry = known.get((row["kernel"], row["signature"]))
            seconds = math.inf if row["seconds"] is None else float(row["seconds"])
            spread, rounds = float(row["spread"]), int(row["rounds"])
            if not (seconds > 0 and spread >= 0 and rounds >= 0):
                raise ValueError(f"a time of {seconds} s, spread {spread}, {rounds} rounds")
            if entry is not None:
                found.append(Timed(*entry, seconds, spread, rounds))
    except (ValueError, TypeError, KeyError) as error:
        raise InvalidArgument(f"times: expected what opencl_time prints, got {error!r}") from error
    return found


# ---- The file ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Exported:
    """One kernel for one problem.

    Parameters
    ----------
    kernel
        Its name.
    problem
        In concrete layouts.
    plan
        What it enqueues.
    cost
        The seconds of its answer.
    """

    kernel: str
    problem: Problem
    plan: Plan
    cost: float


class _Numbers:
    """Different things of one kind, numbered in the order in which they turn up."""

    def __init__(self, write: Callable[[bytes], bytes] = lambda data: data) -> None:
        self._write = write
        self._numbers: dict[bytes, int] = {}

    def of(self, data: bytes) -> int:
        return self._numbers.setdefault(data, len(self._numbers))

    def to_bytes(self) -> bytes:
        return _u32(len(self._numbers)) + b"".join(map(self._write, self._numbers))


def image(kernels: Iterable[Exported], traits: Traits, alignment: int) -> bytes:
    """Return the file's bytes.

    Parameters
    ----------
    kernels
        Equal ones are kept once.
    traits
        Of the device that they were planned for.
    alignment
        At what multiples tensors begin in the plans that go with them.
    """
    programs, tables = _Numbers(), _Numbers(_bytes)
    entries: dict[tuple[str, bytes], bytes] = {}
    most = 1
    for k in kernels:
        key = (k.kernel, signature(k.problem))
        if key not in entries:
            entries[key] = _entry(k, key[1], traits, programs, tables)
            most = max(most, *(math.prod(launch.items) for launch in k.plan.launches), 1)
    needs = (
        NEEDS_F64 * traits.has_f64 | NEEDS_DOT * traits.has_dot | NEEDS_SHUFFLE * traits.has_shuffle
    )
    return b"".join(
        (
            MAGIC,
            _u32(VERSION, needs, most, alignment),
            _string(traits.name),
            programs.to_bytes(),
            tables.to_bytes(),
            _u32(len(entries)),
            *(entries[key] for key in sorted(entries)),
        )
    )


def _entry(
    kernel: Exported, signed: bytes, traits: Traits, programs: _Numbers, tables: _Numbers
) -> bytes:
    plan = kernel.plan
    numbers = [tables.of(np.ascontiguousarray(t).tobytes()) for t in plan.tables]
    sizes = [0 if t is None else t.nbytes for t in kernel.problem.tensors]
    overwritten = sum(1 << index for index in plan.may_overwrite)
    return b"".join(
        (
            _string(kernel.kernel),
            _bytes(signed),
            struct.pack("<dQQ", kernel.cost, plan.scratch_bytes, overwritten),
            _u32(len(sizes)),
            struct.pack(f"<{len(sizes)}Q", *sizes),
            _u32(len(numbers), *numbers),
            _u32(len(plan.launches)),
            *(_launch(launch, traits, programs) for launch in plan.launches),
        )
    )


def _launch(launch: Launch, traits: Traits, programs: _Numbers) -> bytes:
    options = " ".join(language_options(traits))
    text = text_for(traits, launch.source, launch.defines)
    sizes: Sequence[int] = [
        n for pair in zip(launch.groups, launch.items, strict=True) for n in pair
    ]
    return b"".join(
        (
            _u32(programs.of(_string(options) + _string(text))),
            _string(launch.function),
            _u32(len(launch.arguments), *launch.arguments),
            _bytes(launch.parameters),
            _u32(len(launch.groups), *sizes),
        )
    )
