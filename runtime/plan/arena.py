"""Where in one block of memory each tensor lies, by the time it lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Interval", "place"]


@dataclass(frozen=True, slots=True)
class Interval:
    """A tensor's size, and the steps (both included) at which it must be there."""

    size: int
    start: int
    end: int


def place(intervals: Sequence[Interval], alignment: int) -> tuple[list[int], int]:
    """Return an offset for each tensor, a multiple of `alignment`, and the size of it all.

    Two that live at the same time never overlap. The largest is placed first,
    each into the tightest gap between those that live when it does.
    """
    offsets = [0] * len(intervals)
    placed: list[int] = []
    total = 0
    order = sorted(range(len(intervals)), key=lambda i: (-intervals[i].size, intervals[i].start))
    for index in order:
        own = intervals[index]
        size = -(-own.size // alignment) * alignment
        busy = sorted(
            (offsets[i], offsets[i] + intervals[i].size)
            for i in placed
            if intervals[i].start <= own.end and own.start <= intervals[i].end
        )
        best, tightest, at = -1, -1, 0
        for begin, end in busy:
            gap = begin - at
            if gap >= size and (best < 0 or gap < tightest):
                best, tightest = at, gap
            at = max(at, -(-end // alignment) * alignment)
        offsets[index] = at if best < 0 else best
        total = max(total, offsets[index] + size)
        placed.append(index)
    return offsets, total
