"""Two reports side by side: what changed beyond noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.table import Table
from rich.text import Text

from bench.report import format_seconds
from bench.results import SECONDS, Measurement, Report
from bench.statistics import CONFIDENCE, RESAMPLES, Ratio, geometric_mean, relative_spread

__all__ = ["Change", "Comparison", "compare", "table_of_changes", "unpaired_ratio"]

NOISE_SPREADS = 1.0
"""A change must also exceed this many of the larger spread between the quartiles."""


@dataclass(frozen=True, slots=True)
class Change:
    """One benchmark in both reports.

    Parameters
    ----------
    case, engine
        Which.
    before, after
        Medians.
    ratio
        After by before, with its interval.
    noise
        The relative change below which nothing is said.
    """

    case: str
    engine: str
    before: float
    after: float
    ratio: Ratio
    noise: float
    unit: str = SECONDS

    @property
    def significant(self) -> bool:
        """The interval excludes 1, and the change is larger than the noise."""
        outside = self.ratio.low > 1 or self.ratio.high < 1
        return outside and abs(self.ratio.value - 1) > self.noise

    @property
    def slower(self) -> bool:
        """Slower, or more instructions, beyond noise."""
        return self.significant and self.ratio.value > 1


@dataclass(frozen=True)
class Comparison:
    """All changes, and what only one of the reports has."""

    changes: tuple[Change, ...]
    only_before: tuple[str, ...]
    only_after: tuple[str, ...]
    same_machine: bool

    def regressions(self, above: float) -> list[Change]:
        """Return those that are slower beyond noise and by more than `above` (0.05: 5 %)."""
        return [c for c in self.changes if c.slower and c.ratio.value - 1 > above]


def unpaired_ratio(after: Measurement, before: Measurement) -> Ratio:
    """Return the ratio of two runs' medians; its interval by resampling each on its own."""
    rng = np.random.default_rng(len(after.values) * 7919 + len(before.values))
    medians = [
        np.median(rng.choice(m.values, (RESAMPLES, len(m.values))), axis=1) for m in (after, before)
    ]
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians[0] / medians[1], (tail, 1 - tail))
    return Ratio(after.median / before.median, float(low), float(high))


def compare(before: Report, after: Report) -> Comparison:
    """Compare two reports, benchmark by benchmark."""
    old = {(m.case, m.engine): m for m in before.measurements}
    new = {(m.case, m.engine): m for m in after.measurements}
    changes = []
    for key, m in new.items():
        was = old.get(key)
        if was is None or was.unit != m.unit:
            continue
        spread = max(relative_spread(m.values), relative_spread(was.values))
        changes.append(
            Change(
                *key,
                was.median,
                m.median,
                unpaired_ratio(m, was),
                NOISE_SPREADS * spread,
                m.unit,
            )
        )
    machines = [r.settings.get("machine") for r in (before, after)]
    return Comparison(
        tuple(changes),
        tuple(f"{case} [{engine}]" for case, engine in old if (case, engine) not in new),
        tuple(f"{case} [{engine}]" for case, engine in new if (case, engine) not in old),
        machines[0] == machines[1],
    )


def table_of_changes(comparison: Comparison, everything: bool) -> Table:
    """Return a table of the changes beyond noise, or of all."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    shown = [c for c in comparison.changes if everything or c.significant]
    mean = geometric_mean([c.ratio.value for c in comparison.changes])
    table.add_column("case", f"{len(comparison.changes)} compared, {len(shown)} shown")
    table.add_column("engine", "geometric mean of all")
    table.add_column("before", "", justify="right")
    table.add_column("after", "", justify="right")
    table.add_column("÷", f"{mean:.3f}", justify="right")
    table.add_column("95 % interval", "", justify="right")
    table.add_column("noise", "", justify="right")
    table.add_column("", "")
    for c in sorted(shown, key=lambda c: -c.ratio.value):
        more, less = ("slower", "faster") if c.unit == SECONDS else ("more", "less")
        word = (more if c.slower else less) if c.significant else ""
        form = format_seconds if c.unit == SECONDS else "{:,.0f}".format
        table.add_row(
            Text(c.case),
            c.engine,
            form(c.before),
            form(c.after),
            f"{c.ratio.value:.3f}",
            f"{c.ratio.low:.3f} - {c.ratio.high:.3f}",
            f"{c.noise * 100:.0f}%",
            Text(word, style="red" if c.slower else "green"),
        )
    return table
