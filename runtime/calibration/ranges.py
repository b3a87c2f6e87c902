"""Ranges of values, from samples that come one after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from dispatch.errors import InvalidArgument
from dispatch.operator import Array

__all__ = ["METHODS", "Histogram", "Method", "chosen_range", "parameters"]

Method: TypeAlias = Literal["minmax", "percentile", "entropy"]

BINS = 2048
"""On each side of 0."""
NARROWEST = 2.0**-100
"""A side's least width: narrower bins aren't normal numbers."""
LEVELS = 128
"""What is left of one side's bins in 8 bits, of which a sign takes one."""


class Histogram:
    """Smallest, largest and frequencies of all values seen, in one pass.

    Bins lie evenly around 0, as wide as the largest value needs; where a larger
    one comes, pairs of bins are joined.

    Attributes
    ----------
    low, high
        The smallest and the largest value.
    edge
        Where the last bin ends.
    counts
        Of ``2 * BINS`` bins from ``-edge`` to ``edge``, without the zeros.
    zeros
        How many values are 0, which every range holds exactly.
    """

    def __init__(self) -> None:
        self.low = self.high = self.edge = 0.0
        self.counts = np.zeros(2 * BINS, np.int64)
        self.zeros = 0

    def add(self, values: Array) -> None:
        """Count values.

        Raises
        ------
        InvalidArgument
            If one isn't finite.
        """
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise InvalidArgument("expected finite values, got NaN or infinity")
        self.low, self.high = min(self.low, low), max(self.high, high)
        largest = max(-low, high)
        if self.edge == 0.0 and largest > 0.0:
            self.edge = max(largest, NARROWEST)
        while self.edge < largest:
            self._widen()
        rest = values[values != 0.0]
        self.zeros += values.size - rest.size
        if rest.size:
            found, _ = np.histogram(rest, 2 * BINS, (-self.edge, self.edge))
            self.counts += found

    def _widen(self) -> None:
        pairs = self.counts.reshape(BINS, 2).sum(axis=1)
        self.counts = np.zeros(2 * BINS, np.int64)
        self.counts[BINS // 2 : BINS // 2 + BINS] = pairs
        self.edge *= 2.0

    def join(self, other: Histogram) -> Histogram:
        """Return the histogram of what both have seen."""
        wide, narrow = (self, other) if self.edge >= other.edge else (other, self)
        joined = Histogram()
        joined.low, joined.high = min(self.low, other.low), max(self.high, other.high)
        joined.edge, joined.counts = wide.edge, wide.counts.copy()
        joined.zeros = self.zeros + other.zeros
        if narrow.edge > 0.0:
            centres = (np.arange(2 * BINS) - BINS + 0.5) * narrow.edge / BINS
            places = np.floor((centres / wide.edge + 1.0) * BINS).astype(np.int64)
            np.add.at(joined.counts, np.clip(places, 0, 2 * BINS - 1), narrow.counts)
        return joined


def chosen_range(histogram: Histogram, method: Method, percentile: float) -> tuple[float, float]:
    """Return the range that the integers will stand for; 0 is within.

    Parameters
    ----------
    percentile
        How many percent of the values lie within the range, for that method.
    """
    low, high = METHODS[method](histogram, percentile)
    return min(low, 0.0), max(high, 0.0)


def _minmax(histogram: Histogram, percentile: float) -> tuple[float, float]:
    return histogram.low, histogram.high


def _percentile(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """Cut off equal parts of the values at both ends, as far as there are values."""
    if histogram.edge == 0.0:
        return histogram.low, histogram.high
    counts = histogram.counts.copy()
    counts[BINS] += histogram.zeros
    share = np.cumsum(counts) / counts.sum()
    tail = (1.0 - percentile / 100.0) / 2.0
    width = histogram.edge / BINS
    first = int(np.searchsorted(share, tail, side="right"))
    last = int(np.searchsorted(share, 1.0 - tail, side="left"))
    low, high = first * width - histogram.edge, (last + 1) * width - histogram.edge
    return max(low, histogram.low), min(high, histogram.high)


def _entropy(histogram: Histogram, percentile: float) -> tuple[float, float]:
    """Cut off where the distribution loses least: the least Kullback-Leibler divergence.

    Migacz, S.: 8-bit inference with TensorRT, GTC 2017. Both sides are cut at the
    same absolute value.
    """
    sides = histogram.counts[BINS:] + histogram.counts[:BINS][::-1]
    if histogram.edge == 0.0 or not sides.any():
        return histogram.low, histogram.high
    best, kept = np.inf, BINS
    for length in range(LEVELS, BINS + 1, 16):
        lost = _divergence(sides, length)
        if lost < best:
            best, kept = lost, length
    limit = histogram.edge * kept / BINS
    return max(histogram.low, -limit), min(histogram.high, limit)


def _divergence(sides: Array, length: int) -> float:
    """Return what is lost where `length` bins become `LEVELS`, those beyond added to the last."""
    reference = sides[:length].astype(np.float64)
    occupied = sides[:length] > 0
    reference[-1] += sides[length:].sum()
    starts = (np.arange(LEVELS) * length) // LEVELS
    mass = np.add.reduceat(sides[:length].astype(np.float64), starts)
    filled = np.add.reduceat(occupied.astype(np.int64), starts)
    level = np.repeat(np.arange(LEVELS), np.diff(np.append(starts, length)))
    with np.errstate(all="ignore"):
        spread = np.where(occupied, (mass / filled)[level], 0.0)
    p, q = reference / reference.sum(), spread / max(spread.sum(), 1.0)
    seen = p > 0
    if (q[seen] <= 0).any():
        q = np.where(seen & (q <= 0), 1e-9, q)
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())


METHODS: dict[str, Callable[[Histogram, float], tuple[float, float]]] = {
    "minmax": _minmax,
    "percentile": _percentile,
    "entropy": _entropy,
}
"""Ways to choose a range."""


def parameters(low: float, high: float, dtype: str) -> dict[str, Any]:
    """Return the scale and zero point with which a dtype holds a range that has 0 within."""
    least, most = (0, 255) if dtype == "uint8" else (-128, 127)
    scale = np.float32((high - low) / 255.0)
    if not np.finfo(np.float32).tiny <= scale < np.inf:
        scale = np.float32(1.0)
    point = int(np.clip(np.rint(least - low / float(scale)), least, most))
    return {"scale": float(scale), "zero_point": point}
