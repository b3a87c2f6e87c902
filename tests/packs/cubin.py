"""What a cubin says of a kernel: its parameters, registers and shared memory."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["KernelFacts", "facts_of"]

_NO_BITS = 8
"""SHT_NOBITS: a section without contents."""
_BYTES = 4
"""The form of an attribute whose value has a length of its own."""
_PARAMETER, _REGISTERS = 0x17, 0x2F
"""EIATTR_KPARAM_INFO and EIATTR_REGCOUNT."""


@dataclass(frozen=True, slots=True)
class KernelFacts:
    """A kernel as it was compiled.

    Parameters
    ----------
    parameters
        Bytes of each, in order.
    registers
        Of a thread.
    shared_bytes
        Of a block.
    """

    parameters: tuple[int, ...]
    registers: int
    shared_bytes: int


def facts_of(cubin: bytes, function: str) -> KernelFacts:
    """Read a kernel's attributes out of an ELF file for NVIDIA's GPUs."""
    found = _sections(cubin)
    parameters = {}
    for attribute, value in _attributes(found[f".nv.info.{function}"][1]):
        if attribute == _PARAMETER:
            _, ordinal, _, word = struct.unpack("<IHHI", value)
            parameters[ordinal] = word >> 18
    registers = [
        struct.unpack("<II", value)[1]
        for attribute, value in _attributes(found[".nv.info"][1])
        if attribute == _REGISTERS
    ]
    shared, _ = found.get(f".nv.shared.{function}", (0, b""))
    sizes = tuple(parameters[ordinal] for ordinal in sorted(parameters))
    return KernelFacts(sizes, max(registers), shared)


def _sections(elf: bytes) -> dict[str, tuple[int, bytes]]:
    """Return each section's size and contents, by name."""
    (start,) = struct.unpack_from("<Q", elf, 0x28)
    size, count, names_at = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQ", elf, start + size * i) for i in range(count)]
    names = headers[names_at][4]
    found = {}
    for name, kind, _, _, offset, length in headers:
        at = names + name
        contents = b"" if kind == _NO_BITS else elf[offset : offset + length]
        found[elf[at : elf.index(b"\0", at)].decode()] = length, contents
    return found


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        form, attribute, length = struct.unpack_from("<BBH", data, at)
        at += 4
        taken = length if form == _BYTES else 0
        yield attribute, data[at : at + taken]
        at += taken
