"""Statistics of rounds: ratios of neighbours, their intervals, geometric means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Ratio", "geometric_mean", "paired_ratio", "relative_spread"]

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Ratio:
    """The median of paired ratios with its confidence interval.

    Parameters
    ----------
    value
        The median over the rounds.
    low, high
        The interval that holds it with a probability of 95 %, by bootstrap.
    """

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of the interval as a part of the value."""
        return (self.high - self.low) / 2 / self.value


def paired_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Ratio:
    """Return the ratio of two engines that took turns, round by round.

    Neighbours in time share the machine's mood, so each round's ratio is taken
    first and the median after.

    Parameters
    ----------
    numerators, denominators
        One positive time for each round, in the same order.

    Raises
    ------
    ValueError
        If the two differ in length or hold nothing.
    """
    if len(numerators) != len(denominators) or not numerators:
        raise ValueError(
            f"expected as many rounds of both, at least one, "
            f"got {len(numerators)} and {len(denominators)}"
        )
    ratios = np.asarray(numerators, np.float64) / np.asarray(denominators, np.float64)
    rng = np.random.default_rng(len(ratios))
    drawn = np.median(rng.choice(ratios, (RESAMPLES, len(ratios))), axis=1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Ratio(float(np.median(ratios)), float(low), float(high))


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive values, NaN of none."""
    if not values:
        return math.nan
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def relative_spread(values: Sequence[float]) -> float:
    """Return the distance between the quartiles as a part of the median."""
    low, middle, high = np.quantile(np.asarray(values, np.float64), (0.25, 0.5, 0.75))
    return float((high - low) / middle)
