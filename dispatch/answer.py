"""What a kernel says of a problem: `Yes` or `No`, with the catalogue of refusals."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = ["Answer", "No", "NoCode", "Yes"]


class NoCode(enum.IntEnum):
    """Why a kernel refuses. The values are the contract's (kernel_pack.h)."""

    DTYPE = 1
    RANK = 2
    SHAPE = 3
    LAYOUT = 4
    ATTRIBUTE = 5
    EPILOGUE = 6
    PRECISION = 7
    DETERMINISM = 8
    CONSTANT = 9
    QUANTIZATION = 10
    CPU_FEATURE = 11
    MEMORY = 12
    LIBRARY = 13
    DEVICE = 14


@dataclass(frozen=True, slots=True)
class Yes:
    """The kernel serves the problem.

    Parameters
    ----------
    cost
        Expected seconds. Preference, never ability.
    scratch_bytes
        Memory that `run` needs beside its tensors.
    layouts
        The layout of each input, then each output; "" as in the problem.
    packed_bytes
        For each input: bytes of the packed form of a constant, 0 where it is used as it is.
    may_overwrite
        Indices of the inputs whose memory the first output may take.
    binds_constants
        The prepared kernel belongs to the constants it was prepared with.
    """

    cost: float
    scratch_bytes: int = 0
    layouts: tuple[str, ...] = ()
    packed_bytes: tuple[int, ...] = ()
    may_overwrite: frozenset[int] = field(default=frozenset())
    binds_constants: bool = False


@dataclass(frozen=True, slots=True)
class No:
    """The kernel refuses the problem.

    Parameters
    ----------
    code
        From the catalogue.
    subject
        An attribute or a tensor's property: ``"strides"``, ``"w.dtype"``.
    limit
        What would be served: ``"<= 3"``.
    got
        What came instead, where the subject alone doesn't say it.
    """

    code: NoCode
    subject: str
    limit: str = ""
    got: str = ""

    def __str__(self) -> str:
        text = self.subject
        if self.limit:
            text += f": expected {self.limit}"
        if self.got:
            text += f", got {self.got}"
        return text


Answer: TypeAlias = Yes | No
