"""What a kernel enqueues: launches with all that is fixed before the buffers are known."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from dispatch.dtypes import SHORT_NAMES
from dispatch.operator import Array

__all__ = ["MAX_ELEMENTS", "SCRATCH", "Launch", "Plan", "numeric_defines", "parameters", "table"]

SCRATCH = -1
"""The scratch buffer among a launch's arguments."""
MAX_ELEMENTS = 2**31 - 2**16
"""Kernels count elements in 32 bits, and work-items up to a whole group beyond."""


def table(index: int) -> int:
    """Return how a launch's arguments name the plan's table of an index."""
    return -2 - index


@dataclass(frozen=True, slots=True)
class Launch:
    """One kernel of one source.

    Parameters
    ----------
    source
        A file of ``src``, without its ending.
    function
        The kernel in it.
    defines
        Macros, sorted by name.
    arguments
        Buffers: indices into the problem's inputs and outputs, `SCRATCH`, or a `table`.
    parameters
        The struct that the kernel takes last.
    groups, items
        Work-groups, and work-items in each, along each axis.
    """

    source: str
    function: str
    defines: tuple[tuple[str, str], ...]
    arguments: tuple[int, ...]
    parameters: bytes
    groups: tuple[int, ...]
    items: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All launches of a problem, in order.

    Parameters
    ----------
    launches
        None where there is nothing to compute.
    scratch_bytes
        What they need between them.
    tables
        Values that they read beside the tensors: a prepared kernel has them on the device.
    may_overwrite
        Inputs whose memory the output may take.
    slowdown
        By how much it is expected to take longer than the device needs for such work.
    """

    launches: tuple[Launch, ...]
    scratch_bytes: int = 0
    tables: tuple[Array, ...] = ()
    may_overwrite: frozenset[int] = frozenset()
    slowdown: float = 1.0


_FORMATS = {
    "float32": "f", "float16": "f", "bfloat16": "f", "float64": "d",
    "int8": "i", "uint8": "i", "int16": "i", "uint16": "i", "int32": "i", "bool": "i",
    "uint32": "I", "int64": "q", "uint64": "Q",
}  # fmt: skip
"""How `real` of src/types.h lies in a struct."""


def parameters(dtype: str, numbers: Sequence[float | int], *integers: int | Sequence[int]) -> bytes:
    """Return a struct of numbers that a dtype is computed in, then 32-bit integers."""
    code = _FORMATS[dtype]
    values = [
        struct.pack(f"<{code}", float(n) if code in "fd" else _wrapped(int(n), code))
        for n in numbers
    ]
    flat: list[int] = []
    for value in integers:
        flat += [value] if isinstance(value, int) else value
    data = b"".join(values) + struct.pack(f"<{len(flat)}i", *flat)
    return data + bytes(-len(data) % struct.calcsize(code))


def _wrapped(value: int, code: str) -> int:
    """Return an integer as its type holds it."""
    whole = 1 << 8 * struct.calcsize(code)
    low = 0 if code.isupper() else -whole // 2
    return (value - low) % whole + low


def numeric_defines(dtype: str) -> dict[str, str]:
    """Return what src/functions.h wants to know of the dtype that is computed in."""
    return {
        "COMPUTED": SHORT_NAMES[dtype],
        "COMPUTED_BYTES": "8" if dtype in ("int64", "uint64", "float64") else "4",
        "IS_FLOATING": str(int("float" in dtype)),
        "IS_SIGNED": str(int(dtype not in ("uint32", "uint64"))),
    }
