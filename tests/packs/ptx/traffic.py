"""What warps ask of memory, by a log of their threads' uses of it.

A request is one instruction of a warp. Global memory gives sectors of 32 bytes; shared memory has
32 banks of 4 bytes, and a request takes a turn for each different word that one bank is asked for
(of vectors of 8 and 16 bytes, half and a quarter of the warp is served at once).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["USE", "Traffic", "traffic_of"]

WARP, SECTOR, BANKS, WORD = 32, 32, 32, 4

USE = np.dtype(
    [
        ("address", np.uint64),
        ("site", np.uint32),
        ("thread", np.uint32),
        ("block", np.uint32),
        ("size", np.uint16),
        ("is_shared", np.uint8),
        ("writes", np.uint8),
    ],
    align=True,
)
"""A record of the log, as machine.h has it."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Uses of memory of one kind.

    Parameters
    ----------
    requests
        Instructions of warps.
    units
        Sectors of global memory, or turns of shared memory, that they took.
    least
        What as many bytes take at best.
    """

    requests: int
    units: int
    least: int

    @property
    def waste(self) -> float:
        """How many times the least it took; 1 where nothing was asked for."""
        return self.units / self.least if self.least else 1.0


def traffic_of(log: Any) -> dict[str, Traffic]:
    """Return the traffic of a launch: ``loads`` and ``stores``, of shared memory ``shared_…``."""
    found = {}
    for is_shared, prefix in ((0, ""), (1, "shared_")):
        for writes, name in ((0, "loads"), (1, "stores")):
            uses = log[(log["is_shared"] == is_shared) & (log["writes"] == writes)]
            found[prefix + name] = _traffic(uses, bool(is_shared))
    return found


def _traffic(uses: Any, is_shared: bool) -> Traffic:
    if not len(uses):
        return Traffic(0, 0, 0)
    request = _requests(uses)
    size = uses["size"].astype(np.int64)
    unit = WORD if is_shared else SECTOR
    first = uses["address"].astype(np.int64) // unit
    last = (uses["address"].astype(np.int64) + size - 1) // unit
    spans = last - first + 1
    # Each use asks for some units, one after the other.
    which = np.repeat(np.arange(len(uses)), spans)
    units = (
        np.repeat(first, spans) + np.arange(len(which)) - np.repeat(spans.cumsum() - spans, spans)
    )
    asked = np.unique(np.stack([request[which], units], 1), axis=0)
    count = int(request.max()) + 1
    if not is_shared:
        bytes_asked = np.bincount(request, size, minlength=count)
        least = np.ceil(bytes_asked / SECTOR)
        # Threads that ask for the same bytes need them once.
        return Traffic(count, len(asked), int(np.minimum(least, np.bincount(asked[:, 0])).sum()))
    banks = np.zeros((count, BANKS), np.int64)
    np.add.at(banks, (asked[:, 0], asked[:, 1] % BANKS), 1)
    words = banks.sum(1)
    return Traffic(count, int(banks.max(1).sum()), int(np.ceil(words / BANKS).sum()))


def _requests(uses: Any) -> Any:
    """Number the requests: threads of a warp that use a place for the same time do so together."""
    order = np.lexsort((np.arange(len(uses)), uses["thread"], uses["block"], uses["site"]))
    ordered = uses[order]
    same = (
        (ordered["site"][1:] == ordered["site"][:-1])
        & (ordered["thread"][1:] == ordered["thread"][:-1])
        & (ordered["block"][1:] == ordered["block"][:-1])
    )
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    turn = np.arange(len(uses)) - np.repeat(starts, np.diff(np.append(starts, len(uses))))
    key = np.stack([ordered["site"], ordered["block"], ordered["thread"] // WARP, turn], 1)
    _, numbers = np.unique(key, axis=0, return_inverse=True)
    found = np.empty(len(uses), np.int64)
    found[order] = numbers.reshape(-1)
    return found
