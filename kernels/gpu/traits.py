"""What the kernels here have to know of a device."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SECTOR_BYTES", "Traits"]

SECTOR_BYTES = 32
"""What a GPU's memory gives at once."""


@dataclass(frozen=True, slots=True)
class Traits:
    """A device, as far as plans depend on it.

    Parameters
    ----------
    name
        Its own name.
    is_cpu
        Work-items of a group run one after the other, with vector instructions at best, and
        local memory is no faster than any other.
    has_f64, has_dot
        It computes in float64; it has an instruction for the sum of four products of bytes.
    has_shuffle
        Neighbouring work-items exchange values without memory: sub-groups, or warps.
    units
        Compute units: what groups run on, each on one.
    max_items
        Work-items that a group may have.
    local_bytes
        Local memory of a group.
    registers
        Values that a work-item has at hand, or vectors where it is a CPU.
    vector_bytes
        Of a CPU's vectors.
    """

    name: str
    is_cpu: bool
    has_f64: bool
    has_dot: bool
    has_shuffle: bool
    units: int
    max_items: int
    local_bytes: int
    registers: int
    vector_bytes: int

    @property
    def map_items(self) -> int:
        """Work-items of a group of elementwise kernels."""
        return min(self.max_items, 1024 if self.is_cpu else 256)

    @property
    def row_items(self) -> int:
        """Work-items of a group that reduces one row together."""
        return min(self.max_items, 64 if self.is_cpu else 256)

    def beside(self, neighbours: int, itemsize: int) -> int:
        """Return how many rows a group reduces, of which so many lie beside each other.

        As many as one read from memory has elements of, on a GPU of a sector, on a CPU of a vector,
        or one: each number is a program of its own.
        """
        read = self.vector_bytes if self.is_cpu else SECTOR_BYTES
        most = min(max(read // itemsize, 1), self.row_items)
        return most if 1 < neighbours >= most // 4 else 1

    def row_defines(self, beside: int = 1) -> dict[str, str]:
        """Return macros of groups that reduce `beside` rows together: src/group.h's.

        On a CPU sub-groups save nothing, and keep a compiler from what else it would do; where
        rows lie beside each other, one may be smaller than they are many.
        """
        exchange = self.has_shuffle and not self.is_cpu and beside == 1
        return {
            "BESIDE": str(beside),
            "ROW_ITEMS": str(self.row_items // beside),
            "SUB_GROUPS": str(int(exchange)),
        }
