"""Pictures of a report: bars of ratios by case, or a roofline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bench.engines.base import require
from bench.errors import CaseError, ReportError
from bench.report import default_base
from bench.results import SECONDS, Report

__all__ = ["draw"]

FORMATS = (".png", ".svg", ".pdf")


def draw(report: Report, picture: Path, base: str | None = None, roofline: bool = False) -> None:
    """Draw a report into a file.

    Parameters
    ----------
    report
        What to draw.
    picture
        The file; its suffix gives the format.
    base
        The engine that ratios are to; default: as in the table.
    roofline
        Operations a second over operations a byte, below the machine's limits.

    Raises
    ------
    MissingExtra
        If matplotlib isn't installed.
    CaseError
        If the format or the base isn't known.
    ReportError
        If there is nothing to draw.
    """
    if picture.suffix not in FORMATS:
        raise CaseError(f"plot: expected a file of {', '.join(FORMATS)}, got {picture.name!r}")
    chosen = base or default_base(report)
    if chosen not in report.engines:
        raise CaseError(f"base: expected one of {', '.join(report.engines)}, got {chosen!r}")
    matplotlib = require("matplotlib", "bench")
    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 6), layout="constrained")
    try:
        if roofline:
            _roofline(report, axes)
        else:
            _bars(report, axes, chosen)
        axes.legend(frameon=False)
        figure.savefig(picture, dpi=150)
    finally:
        plt.close(figure)


def _bars(report: Report, axes: Any, base: str) -> None:
    """Each engine's time by the base's: a group of bars for each case, intervals as whiskers."""
    cases = [c for c in report.cases if report.find(c, base) is not None]
    others = [e for e in report.engines if e != base]
    if not cases or not others:
        raise ReportError(f"plot: expected cases of {base} and another engine")
    width = 0.8 / len(others)
    for number, engine in enumerate(others):
        places, values, whiskers = [], [], []
        for index, case in enumerate(cases):
            m, b = report.find(case, engine), report.find(case, base)
            if m is None or b is None:
                continue
            ratio = m.ratio(b)
            places.append(index + (number - (len(others) - 1) / 2) * width)
            values.append(ratio.value)
            whiskers.append((max(ratio.value - ratio.low, 0), max(ratio.high - ratio.value, 0)))
        axes.bar(places, values, width, label=engine, yerr=np.transpose(whiskers), capsize=1.5)
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_xticks(range(len(cases)), [report.label(c) for c in cases], rotation=90, fontsize=7)
    what = "time" if report.unit == SECONDS else report.unit
    axes.set_ylabel(f"{what} ÷ {base}'s")
    axes.set_title(report.title.partition(";")[0])


def _roofline(report: Report, axes: Any) -> None:
    peak, bandwidth = report.settings.get("peak_flops"), report.settings.get("bandwidth")
    known = [m for m in report.measurements if m.extra.get("flops") and m.extra.get("bytes")]
    if not (peak and bandwidth and known):
        raise ReportError("plot: a roofline needs a run of operators that were timed")
    intensities = [m.extra["flops"] / m.extra["bytes"] for m in known]
    span = np.geomspace(min(intensities) / 2, max(intensities) * 2, 100)
    for size, rate in (bandwidth[-1], bandwidth[len(bandwidth) // 2]):
        limit = np.minimum(peak, span * rate)
        axes.plot(span, limit, linewidth=0.8, color="black")
        axes.annotate(f"{size >> 10} KiB", (span[0], limit[0]), fontsize=7)
    for engine in report.engines:
        own = [m for m in known if m.engine == engine]
        axes.scatter(
            [m.extra["flops"] / m.extra["bytes"] for m in own],
            [m.extra["flops"] / m.median for m in own],
            s=14,
            label=engine,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operations a byte")
    axes.set_ylabel("operations a second")
    axes.set_title(report.title.partition(";")[0])
