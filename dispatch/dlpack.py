"""Arrays of other libraries as NumPy's and back, for all of the project's element types.

NumPy's own `from_dlpack` knows neither bfloat16 nor writable imports, hence
`dispatch._dlpack` (`dispatch/src/python/dlpack.c`).
"""

from __future__ import annotations

from typing import Any

from dispatch._dlpack import from_capsule, setup, to_capsule
from dispatch.dtypes import BFLOAT16
from dispatch.operator import Array

__all__ = ["CPU_DEVICES", "Exported", "from_capsule"]

CPU_DEVICES = (1, 3)
"""kDLCPU, and kDLCUDAHost, whose memory the CPU reads too."""

setup(BFLOAT16)


class Exported:
    """A NumPy array that other libraries' ``from_dlpack`` take, bfloat16 too."""

    __slots__ = ("_array",)

    def __init__(self, array: Array) -> None:
        self._array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the CPU."""
        return (1, 0)

    def __dlpack__(self, **_: Any) -> Any:
        """Return a capsule over the array's memory, which lives as long as its consumer wants."""
        return to_capsule(self._array)
