"""Tilings of products: how results are shared out among groups and work-items, and what that costs.

A tiling is data, and each makes kernels of its own name, among which measured times choose; costs
choose where nothing was measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from dispatch.answer import No, NoCode
from kernels.gpu.plan import numeric_defines
from kernels.gpu.traits import SECTOR_BYTES, Traits

__all__ = ["BANKS", "MISFIT", "RUN", "TILINGS", "WORD", "Blocked", "Sizes", "Tiled", "Tiling"]

MISFIT = 50.0
"""How much slower a kernel is expected to be that is written for the other kind of device."""
RUN = 4
"""Rows of the first operand, and columns of the second, that are read from local memory at once."""
BANKS = 32
"""Words of local memory that lie side by side, and neighbours that reach it at once."""
WORD = 4
"""Elements of 8 bits that are brought together."""
TAP_BYTES = 16
"""Local memory for where a convolution's tap lies."""
BUSY_ITEMS = 256
"""Work-items that keep a GPU's compute unit busy."""
LOCAL_READ, GLOBAL_READ = 1.0, 4.0
"""What a GPU spends on reading an element from local memory, and to there: in products."""
VECTOR_READ, GATHER, STRIDED_GATHER = 0.3, 4.0, 25.0
"""What a CPU spends on reading a vector, and on bringing an element from beside others and from
far from them, the more the more rows it comes from: likewise."""
SPILL = 4.0
"""How much slower what doesn't fit into registers is."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Products of matrices.

    Parameters
    ----------
    m, n, k
        Rows and columns of the result, and products that each of its elements sums up.
    batches
        How many such products there are.
    strided
        The second operand lies transposed.
    """

    m: int
    n: int
    k: int
    batches: int
    strided: bool = False


class Tiling(Protocol):
    """How products are shared out."""

    source: ClassVar[str]
    """The file of ``src`` that computes them."""
    is_portable: ClassVar[bool]
    """That file is CUDA C too."""

    @property
    def name(self) -> str:
        """The algorithm in kernels' names."""

    @property
    def items(self) -> int:
        """Work-items of a group."""

    def refusal(self, computed: str, traits: Traits) -> No | None:
        """Say why a device can't compute so in a dtype."""

    def tile(self, computed: str, traits: Traits) -> tuple[int, int]:
        """Return a group's results, down and across."""

    def defines(self, computed: str, traits: Traits) -> dict[str, str]:
        """Return the source's macros."""

    def slowdown(self, computed: str, sizes: Sizes, traits: Traits) -> float:
        """Return how many times as long as the device needs at best it is expected to take."""


def _bytes(computed: str) -> int:
    return int(numeric_defines(computed)["COMPUTED_BYTES"])


def _texts(numbers: Mapping[str, int]) -> dict[str, str]:
    return {name: str(number) for name, number in numbers.items()}


def _local_refusal(needed: int, traits: Traits) -> No | None:
    if needed <= traits.local_bytes:
        return None
    return No(NoCode.DEVICE, "local memory", f"<= {traits.local_bytes}", str(needed))


def _pitch(width: int) -> int:
    """Return from where to where a tile's rows go, as src/tiled.h has it."""
    return width if width % BANKS else width + RUN


def _padded(extent: int, step: int) -> float:
    """Return an extent in whole steps, over itself; an empty one is as it is."""
    return -(-extent // step) * step / extent if extent else 1.0


@dataclass(frozen=True, slots=True)
class Tiled:
    """Tiles in local memory, a group's work-items side by side: for GPUs.

    Parameters
    ----------
    m, n
        A group's results, down and across.
    items_m, items_n, items_k
        Its work-items: along the results, of which each has runs of rows, and along the sum of
        each. Their number is a multiple of `m`, `n` and `k`.
    k
        Columns and rows of the operands that a group brings at a time.
    """

    m: int
    n: int
    items_m: int
    items_n: int
    items_k: int = 1
    k: int = 16

    source: ClassVar[str] = "tiled"
    is_portable: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """``tiled_MxN``."""
        return f"tiled_{self.m}x{self.n}"

    @property
    def items(self) -> int:
        """Work-items of a group."""
        return self.items_m * self.items_n * self.items_k

    def local_bytes(self, computed: str) -> int:
        """Return the local memory that a group needs, with the places of a convolution's taps."""
        shared = self.m * self.n * self.items_k if self.items_k > 1 else 0
        tiles = self.k * (_pitch(self.m) + _pitch(self.n))
        return (tiles + shared) * _bytes(computed) + TAP_BYTES * WORD * self.k

    def refusal(self, computed: str, traits: Traits) -> No | None:
        """Refuse a device whose groups have too few work-items or too little local memory."""
        if self.items > traits.max_items:
            return No(NoCode.DEVICE, "work-items", f"<= {traits.max_items}", str(self.items))
        return _local_refusal(self.local_bytes(computed), traits)

    def tile(self, computed: str, traits: Traits) -> tuple[int, int]:
        """Return a group's results."""
        return self.m, self.n

    def defines(self, computed: str, traits: Traits) -> dict[str, str]:
        """Return the macros of src/tiled.h."""
        return _texts(
            {
                "ITEMS_K": self.items_k,
                "ITEMS_M": self.items_m,
                "ITEMS_N": self.items_n,
                "TILE_K": self.k,
                "TILE_M": self.m,
                "TILE_N": self.n,
            }
        )

    def slowdown(self, computed: str, sizes: Sizes, traits: Traits) -> float:
        """Weigh tiles beyond the edges, idle units, reads for each product, and registers."""
        down, across = self.m // self.items_m, self.n // self.items_n
        # Rows of the second operand that are shorter than a sector waste the rest of it.
        waste = 1.0 if sizes.strided else max(SECTOR_BYTES / (self.n * _bytes(computed)), 1.0)
        brought = GLOBAL_READ * (waste / self.m + 1 / self.n)
        reads = LOCAL_READ * (1 / down + 1 / across / RUN) + brought
        groups = -(-sizes.m // self.m) * -(-sizes.n // self.n) * sizes.batches
        at_once = traits.units * max(BUSY_ITEMS // self.items, 1)
        wasted = _padded(sizes.m, self.m) * _padded(sizes.n, self.n) * _padded(sizes.k, self.k)
        spill = SPILL if down * across + down + across > traits.registers else 1.0
        misfit = MISFIT if traits.is_cpu else 1.0
        return (1 + reads) * wasted * _padded(groups, at_once) * spill * misfit


@dataclass(frozen=True, slots=True)
class Blocked:
    """Blocks in registers, a work-item at a time: for CPUs.

    Parameters
    ----------
    rows, vectors
        Results that are in registers at a time: down, and vectors across.
    blocks
        How many times as many rows a group computes.
    k
        Rows of the second operand that are brought at a time.
    """

    rows: int
    vectors: int
    blocks: int
    k: int = 128

    source: ClassVar[str] = "blocked"
    is_portable: ClassVar[bool] = False

    @property
    def name(self) -> str:
        """``blocked_ROWSxVECTORS``."""
        return f"blocked_{self.rows}x{self.vectors}"

    @property
    def items(self) -> int:
        """One: the others would take turns."""
        return 1

    def refusal(self, computed: str, traits: Traits) -> No | None:
        """Refuse a device with too little local memory."""
        tile_m, tile_n = self.tile(computed, traits)
        return _local_refusal((tile_m + self.k) * tile_n * _bytes(computed), traits)

    def tile(self, computed: str, traits: Traits) -> tuple[int, int]:
        """Return a group's results."""
        return self.rows * self.blocks, self.vectors * _width(computed, traits)

    def defines(self, computed: str, traits: Traits) -> dict[str, str]:
        """Return the macros of src/blocked.h."""
        numbers = {
            "BLOCK_K": self.k,
            "BLOCK_M": self.rows * self.blocks,
            "ROWS": self.rows,
            "VECTORS": self.vectors,
            "VECTOR_WIDTH": _width(computed, traits),
        }
        return {**_texts(numbers), "VECTOR_OF": _VECTORS[computed]}

    def slowdown(self, computed: str, sizes: Sizes, traits: Traits) -> float:
        """Weigh vectors beyond the edges, idle units, reads for each product, and registers."""
        tile_m, tile_n = self.tile(computed, traits)
        reads = VECTOR_READ * (1 / self.rows + 1 / self.vectors)
        groups = -(-sizes.m // tile_m) * -(-sizes.n // tile_n) * sizes.batches
        wasted = _padded(sizes.m, self.rows) * _padded(sizes.n, tile_n)
        spill = SPILL if (self.rows + 1) * self.vectors + 1 > traits.registers else 1.0
        gather = STRIDED_GATHER * self.vectors if sizes.strided else GATHER
        gathered = gather / max(min(sizes.m, tile_m), 1) * _padded(sizes.n, tile_n)
        misfit = 1.0 if traits.is_cpu else MISFIT
        return ((1 + reads) * wasted * spill + gathered) * _padded(groups, traits.units) * misfit


def _width(computed: str, traits: Traits) -> int:
    return traits.vector_bytes // _bytes(computed)


_VECTORS = {
    "float32": "float", "float16": "float", "bfloat16": "float", "float64": "double",
    "int32": "int", "int64": "long",
}  # fmt: skip

_ALL = ("float32", "float64", "float16", "bfloat16", "int32", "int64", "uint8", "int8")

TILINGS: tuple[tuple[Tiling, tuple[str, ...]], ...] = (
    (Tiled(128, 128, 16, 16, k=8), ("float32",)),
    (Tiled(128, 64, 16, 16), ("float32", "float16")),
    (Tiled(64, 64, 16, 16), ("float32", "uint8", "int8")),
    (Tiled(32, 32, 8, 8), _ALL),
    (Tiled(32, 4, 8, 4, items_k=8, k=64), ("float32",)),
    (Tiled(4, 32, 1, 32, items_k=8, k=64), ("float32", "float16", "uint8", "int8")),
    (Blocked(6, 2, 16), _ALL),
    (Blocked(24, 1, 4), ("float32",)),
    (Blocked(2, 4, 16, k=64), ("float32",)),
)
"""All tilings, and the dtypes of the problems that each is for; one of each kind serves all."""
