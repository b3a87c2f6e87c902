"""Launch programs that were PTX, by `ctypes`."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tests.packs.ptx.traffic import USE

__all__ = ["Program", "UndefinedBehaviour"]

MESSAGE_BYTES = 512


class UndefinedBehaviour(AssertionError):
    """A launch did what the PTX manual leaves undefined."""


class Program:
    """A shared object of `tests.packs.ptx.build`.

    Parameters
    ----------
    image
        Its bytes.
    """

    def __init__(self, image: bytes) -> None:
        with tempfile.NamedTemporaryFile(suffix=".so") as file:
            file.write(image)
            file.flush()
            self._library = ctypes.PyDLL(file.name)

    def sizes(self, kernel: str) -> tuple[int, ...]:
        """Return the bytes of a kernel's parameters."""
        table = ctypes.addressof(ctypes.c_uint.in_dll(self._library, f"ptx_sizes_{kernel}"))
        found: list[int] = []
        while size := ctypes.c_uint.from_address(table + 4 * len(found)).value:
            found.append(size)
        return tuple(found)

    def log(self) -> Any:
        """Return the uses of memory that were noted, and forget them."""
        count = ctypes.c_size_t.in_dll(self._library, "ptx_log_count")
        start = ctypes.c_void_p.in_dll(self._library, "ptx_log").value
        held = ctypes.string_at(start, count.value * USE.itemsize) if start else b""
        count.value = 0
        return np.frombuffer(held, USE)

    def launch(
        self,
        kernel: str,
        grid: Sequence[int],
        block: Sequence[int],
        parameters: Sequence[bytes],
        memory: Iterable[tuple[int, int]],
    ) -> None:
        """Run a kernel.

        Parameters
        ----------
        kernel
            Its name.
        grid, block
            Three extents each.
        parameters
            The bytes of each.
        memory
            All that may be read and written: addresses, from and up to.

        Raises
        ------
        UndefinedBehaviour
            Naming the thread, and what it did.
        """
        spans = sorted(memory)
        ends = (ctypes.c_size_t * (2 * len(spans)))(*(end for span in spans for end in span))
        ctypes.c_void_p.in_dll(self._library, "ptx_spans").value = ctypes.addressof(ends)
        ctypes.c_size_t.in_dll(self._library, "ptx_span_count").value = len(spans)
        held = [ctypes.create_string_buffer(part, len(part)) for part in parameters]
        pointers = (ctypes.c_void_p * len(held))(*map(ctypes.addressof, held))
        message = ctypes.create_string_buffer(MESSAGE_BYTES)
        extents = ((ctypes.c_uint * 3)(*given) for given in (grid, block))
        size = ctypes.c_size_t(MESSAGE_BYTES)
        if getattr(self._library, f"ptx_{kernel}")(pointers, *extents, message, size):
            raise UndefinedBehaviour(f"{kernel}: {message.value.decode()}")
