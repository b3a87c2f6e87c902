"""The kernel packs' contract in Python, the twin of ``include/kernel_pack.h``.

A pack is an object under the entry-point group ``dispatch.packs``. `NativePack`
makes one of a shared library that keeps to ``kernel_pack.h``; a pack driven
from Python implements `Pack`, `OpenPack`, `Kernel` and `Prepared` itself. The
rest of the project sees no difference.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from dispatch.answer import Answer
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import RegistrationError
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["CONTRACT_VERSION", "Kernel", "KernelName", "OpenPack", "Pack", "Prepared"]

CONTRACT_VERSION = 1


class KernelName(NamedTuple):
    """The parts of ``pack.operator.algorithm.dtype``."""

    pack: str
    operator: str
    algorithm: str
    dtype: str

    @staticmethod
    def parse(name: str) -> KernelName:
        """Split a kernel's name.

        Raises
        ------
        RegistrationError
            If the name doesn't keep to the grammar.
        """
        match = _NAME.fullmatch(name)
        if match is None:
            raise RegistrationError(
                f"kernel name: expected pack.operator.algorithm.dtype in lower case with a dtype "
                f"of {', '.join(SHORT_NAMES.values())}, got {name!r}"
            )
        return KernelName(*match.groups())


_WORD = r"([a-z][a-z0-9_]*)"
_NAME = re.compile(rf"{_WORD}\.{_WORD}\.([a-z0-9][a-z0-9_]*)\.({'|'.join(SHORT_NAMES.values())})")


@runtime_checkable
class Prepared(Protocol):
    """A kernel made ready for one problem. May be run by several threads at once."""

    @property
    def packed_bytes(self) -> tuple[int, ...]:
        """For each input: the bytes of a constant's packed form, or 0."""

    def pack(self, index: int, value: Array) -> Any:
        """Return the packed form of constant input `index`, to be given to `run` in its place."""

    def run(self, buffers: Sequence[Any], queue: Any = None) -> None:
        """Run on one buffer for each input (None: absent), then for each output.

        Raises
        ------
        KernelFailed
            If the kernel reports a failure.
        """


@runtime_checkable
class Kernel(Protocol):
    """One implementation of one operator for one dtype."""

    @property
    def name(self) -> str:
        """``pack.operator.algorithm.dtype``."""

    @property
    def source(self) -> str:
        """Where it is registered: ``file:line``."""

    @property
    def deterministic(self) -> bool:
        """The same bits from run to run and with any number of threads."""

    def query(self, problem: Problem) -> Answer:
        """May this problem be run, and how? Cheap, without side effects."""

    def prepare(self, problem: Problem, constants: Sequence[Array | None]) -> Prepared:
        """Make the kernel ready for a problem that `query` said yes to.

        Raises
        ------
        KernelFailed
            If the kernel reports a failure.
        """


@runtime_checkable
class OpenPack(Protocol):
    """A pack whose library was found."""

    @property
    def version(self) -> str:
        """The pack's own version."""

    @property
    def library_version(self) -> str:
        """The vendor library's version and what it uses of the machine."""

    @property
    def kernels(self) -> Sequence[Kernel]:
        """All kernels."""


@runtime_checkable
class Pack(Protocol):
    """What an entry point of the group ``dispatch.packs`` names."""

    @property
    def name(self) -> str:
        """The first part of its kernels' names."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the devices that it serves."""

    @property
    def fallback(self) -> bool:
        """It serves where no vendor's pack does, and ranks last."""

    def open(self, options: Mapping[str, str] | None = None) -> OpenPack:
        """Find the library and check its version.

        Raises
        ------
        PackUnavailable
            With the reason, and how to get what is missing.
        """
