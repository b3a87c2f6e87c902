"""Reports as tables: a line for each case, each engine's time, ratio to the best, spread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from bench.counts import table_of_classes, table_of_counts
from bench.results import INSTRUCTIONS, SECONDS, Measurement, Report
from bench.statistics import geometric_mean, relative_spread

__all__ = ["default_base", "format_seconds", "print_report", "ratio_lines", "table_of"]


def format_seconds(seconds: float) -> str:
    """Return a time with three to four digits and its unit."""
    if math.isnan(seconds):
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= scale:
            value = seconds / scale
            return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f} {unit}"
    return f"{seconds * 1e9:.0f} ns"


def table_of(report: Report) -> Table:
    """Return the table of a report: a line for each case, or of one case for each engine."""
    if len(report.cases) == 1:
        return _table_of_engines(report, report.cases[0])
    engines = report.engines
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    totals = {e: report.total(e) for e in engines}
    least = sum(_least(report, case) * report.count(case) for case in report.cases)
    table.add_column("case", "sum of all calls", no_wrap=True)
    table.add_column("calls", str(sum(report.count(c) for c in report.cases)), justify="right")
    for engine in engines:
        total = totals[engine]
        table.add_column(engine, format_seconds(total), justify="right", no_wrap=True)
        table.add_column("±", "", justify="right", style="dim", no_wrap=True)
        table.add_column("÷best", "", justify="right", no_wrap=True)
        if least:
            table.add_column("limit", _share(least, total), justify="right", no_wrap=True)
    if least:
        table.add_column("binds", "", style="dim", no_wrap=True)
    for case in report.cases:
        table.add_row(*_row(report, case, bool(least)))
    return table


def _table_of_engines(report: Report, case: str) -> Table:
    found = [m for e in report.engines if (m := report.find(case, e)) is not None]
    best, least = min(m.median for m in found), _least(report, case)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(str(found[0].extra.get("label", case)), no_wrap=True)
    for column in ("time", "±", "÷best") + (("limit",) if least else ()):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("kernel", style="dim", overflow="fold")
    for m in found:
        cells = _figures(m, best, least, bool(least))
        kernel = str(m.extra.get("kernel", ""))
        table.add_row(Text(m.engine), *cells, Text("" if kernel == m.engine else kernel))
    return table


def _figures(m: Measurement, best: float, least: float, limits: bool) -> list[RenderableType]:
    """Return an engine's cells: time, spread, ratio to the best, share of the limit."""
    ratio = m.median / best
    cells: list[RenderableType] = [
        format_seconds(m.median),
        f"{relative_spread(m.values) * 100:.0f}%",
        Text(f"{ratio:.2f}", style="green" if ratio <= 1.005 else ""),
    ]
    return [*cells, _share(least, m.median)] if limits else cells


def _row(report: Report, case: str, limits: bool) -> list[RenderableType]:
    found = {e: report.find(case, e) for e in report.engines}
    here = [m for m in found.values() if m is not None]
    best, least, first = min(m.median for m in here), _least(report, case), here[0]
    cells: list[RenderableType] = [
        Text(str(first.extra.get("label", case))),
        str(first.extra.get("count", 1)),
    ]
    for m in found.values():
        if m is None:
            cells += ["no", "", "", ""][: 3 + limits]
            continue
        cells += _figures(m, best, least, limits)
    return [*cells, str(first.extra.get("limit", ""))] if limits else cells


def _share(least: float, seconds: float) -> str:
    return "" if math.isnan(seconds) or not least else f"{least / seconds * 100:.0f}%"


def _least(report: Report, case: str) -> float:
    """The seconds that the machine allows a case at least; 0 where that isn't known."""
    known = (m.extra.get("limit_seconds") for m in report.measurements if m.case == case)
    return next((float(seconds) for seconds in known if seconds), 0.0)


def ratio_lines(report: Report, base: str | None) -> list[tuple[str, float, str, float]]:
    """Return (engine, geometric mean of its ratios to `base`, worst case, worst ratio).

    Over the cases that both serve; engines that share none with `base` are left out. Without a
    base, an engine is compared with the best of the others, case by case.
    """
    lines = []
    for engine in report.engines:
        ratios = [
            (m.ratio(b).value, str(m.extra.get("label", case)))
            for case in report.cases
            if (m := report.find(case, engine)) is not None
            and (b := _compared(report, m, base)) is not None
        ]
        if ratios:
            worst = max(ratios)
            lines.append((engine, geometric_mean([r for r, _ in ratios]), worst[1], worst[0]))
    return lines


def _compared(report: Report, m: Measurement, base: str | None) -> Measurement | None:
    """Return what a measurement is compared with: the base's, or the best of all others."""
    if base is not None:
        return None if m.engine == base else report.find(m.case, base)
    others = [o for o in report.measurements if o.case == m.case and o.engine != m.engine]
    return min(others, key=lambda other: other.median, default=None)


def _ratio_table(report: Report, base: str) -> Table:
    """Return each engine's ratios to one; their interval where the figures have a spread."""
    spread = report.unit == SECONDS
    table = Table(box=None, pad_edge=False, header_style="bold")
    interval = ("95 % interval",) if spread else ()
    for column in (f"÷ {base}", "geometric mean", "of sums", *interval, "worst", "case"):
        table.add_column(column, justify="left" if column in ("case", f"÷ {base}") else "right")
    for engine, mean, label, worst in ratio_lines(report, base):
        low, high = _interval(report, engine, base)
        table.add_row(
            engine,
            f"{mean:.3f}",
            f"{report.total(engine) / report.total(base):.3f}",
            *((f"{low:.3f} - {high:.3f}",) if spread else ()),
            f"{worst:.2f}",
            Text(label),
        )
    return table


def _best_table(report: Report) -> Table:
    """Return each engine's ratio to the best of the others."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("÷ the best of the others", "geometric mean", "worst", "case"):
        table.add_column(
            column, justify="right" if column in ("geometric mean", "worst") else "left"
        )
    for engine, mean, label, worst in ratio_lines(report, None):
        table.add_row(engine, f"{mean:.3f}", f"{worst:.2f}", Text(label))
    return table


def _interval(report: Report, engine: str, base: str) -> tuple[float, float]:
    """Return the geometric means of the intervals' ends: an outer bound for the mean."""
    pairs: list[tuple[Measurement, Measurement]] = [
        (m, b)
        for case in report.cases
        if (m := report.find(case, engine)) is not None
        and (b := report.find(case, base)) is not None
    ]
    ratios = [m.ratio(b) for m, b in pairs]
    return geometric_mean([r.low for r in ratios]), geometric_mean([r.high for r in ratios])


def print_report(report: Report, console: Console, base: str | None = None) -> None:
    """Print a report: head, table, ratios to `base` (default: the first engine), refusals."""
    settings = report.settings
    head = [Text(report.title, style="bold")]
    versions = {**settings.get("versions", {}), **_emulation(settings)}
    head += [Text(f"{name}: {version}", style="dim") for name, version in versions.items()]
    peak, bandwidth = settings.get("peak_flops"), settings.get("bandwidth")
    if peak and bandwidth:
        head.append(
            Text(
                f"machine's limits, measured: {peak / 1e9:.0f} GFLOP/s; "
                f"{bandwidth[0][1] / 1e9:.0f} GB/s of {_size(bandwidth[0][0])}, "
                f"{bandwidth[-1][1] / 1e9:.0f} GB/s of {_size(bandwidth[-1][0])}",
                style="dim",
            )
        )
    base = base or default_base(report)
    parts: list[RenderableType] = [*head, ""]
    if report.unit == INSTRUCTIONS:
        parts += [table_of_counts(report, base), "", table_of_classes(report)]
    elif report.measurements:
        parts.append(table_of(report))
    compared = len(ratio_lines(report, base))
    if compared:
        parts += ["", _ratio_table(report, base)]
    if compared > 1:  # of two engines, the table above says it
        parts += ["", _best_table(report)]
    parts += _finding_lines(report)
    parts += [*_refusal_lines(report), *_noise_lines(report)]
    console.print(Group(*parts))


def _emulation(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return what made the programs that were emulated."""
    found = settings.get("emulation", {})
    return {"compiler": found["compiler"], **found["versions"]} if found else {}


def default_base(report: Report) -> str:
    """Return the engine that serves the most cases, the first of them."""
    served = {e: sum(m.engine == e for m in report.measurements) for e in report.engines}
    return max(served, key=lambda e: served[e])


def _refusal_lines(report: Report) -> Sequence[RenderableType]:
    reasons: dict[tuple[str, str], int] = {}
    for (_, engine), reason in report.refusals.items():
        line = reason.strip().splitlines()[-1].strip()
        reasons[engine, line] = reasons.get((engine, line), 0) + 1
    return [
        Text(f"{engine} left out of {count} cases: {line}", style="yellow")
        for (engine, line), count in reasons.items()
    ]


def _finding_lines(report: Report) -> Sequence[RenderableType]:
    return [
        Text(f"{f['what']}: {_format(f['value'], f['unit'])}", style="bold")
        for f in report.settings.get("findings", ())
    ]


def _format(value: float, unit: str) -> str:
    if unit == "seconds":
        return format_seconds(value)
    return f"{value / 2**20:.1f} MiB" if unit == "bytes" else f"{value:.3f}"


def _noise_lines(report: Report) -> Sequence[RenderableType]:
    firsts = {m.case: m for m in report.measurements}
    left_out = sum(int(m.extra.get("rounds_left_out", 0)) for m in firsts.values())
    kept = sum(len(m.values) for m in firsts.values())
    cases = [m for m in firsts.values() if m.extra.get("busy")]
    timed = sum(m.extra.get("clock") == "cpu" for m in firsts.values())
    lines = []
    if left_out:
        lines.append(Text(f"{left_out} of {left_out + kept} rounds were disturbed and left out"))
    if cases:
        lines.append(
            Text(f"the machine was too busy for quiet rounds in {len(cases)} cases", style="yellow")
        )
    if timed:
        lines.append(Text(f"the figures of {timed} cases are CPU time", style="yellow"))
    return lines


def _size(count: int) -> str:
    return f"{count >> 20} MiB" if count >> 20 else f"{count >> 10} KiB"
