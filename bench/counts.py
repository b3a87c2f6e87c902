"""Reports of counted instructions as tables: what each engine retires, its ratio, its classes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bench.emulation.plugin import ARITHMETIC, CLASSES
from bench.results import Measurement, Report

__all__ = ["format_instructions", "table_of_classes", "table_of_counts"]


def format_instructions(count: float) -> str:
    """Return a count with three to four digits, in millions where it has as many."""
    if math.isnan(count):
        return "-"
    if count < 1e6:
        return f"{count / 1e3:.1f} k"
    millions = count / 1e6
    return f"{millions:,.{2 if millions < 100 else 1}f} M"


def table_of_counts(report: Report, base: str) -> Table:
    """Return a line for each case: each engine's instructions, arithmetic's share, ratio."""
    if len(report.cases) == 1:
        return _table_of_engines(report, report.cases[0], base)
    table = Table(box=None, pad_edge=False, header_style="bold", show_footer=True)
    table.add_column("case", "sum of all calls", no_wrap=True)
    table.add_column("calls", str(sum(map(report.count, report.cases))), justify="right")
    for engine in report.engines:
        total = report.total(engine)
        share = _share(classes_of(report, engine)) if not math.isnan(total) else ""
        table.add_column(engine, format_instructions(total), justify="right", no_wrap=True)
        table.add_column("mul-add", share, justify="right", style="dim", no_wrap=True)
        if engine != base:
            ratio = total / report.total(base)
            shown = "" if math.isnan(ratio) else f"{ratio:.2f}"
            table.add_column(f"÷{base}", shown, justify="right", no_wrap=True)
    for case in report.cases:
        table.add_row(*_row(report, case, base))
    return table


def _row(report: Report, case: str, base: str) -> list[RenderableType]:
    cells: list[RenderableType] = [Text(report.label(case)), str(report.count(case))]
    for engine in report.engines:
        m = report.find(case, engine)
        cells += ["no", ""] if m is None else _figures(m)
        if engine != base:
            cells.append(_ratio(m, report.find(case, base)))
    return cells


def _table_of_engines(report: Report, case: str, base: str) -> Table:
    ratios = len(report.engines) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(report.label(case), no_wrap=True)
    for column in ("instructions", "mul-add", *((f"÷{base}",) if ratios else ())):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("kernel", style="dim", overflow="fold")
    for engine in report.engines:
        m = report.find(case, engine)
        if m is None:
            continue
        kernel = str(m.extra["kernel"])
        ratio = (_ratio(m, report.find(case, base)),) if ratios else ()
        table.add_row(Text(engine), *_figures(m), *ratio, "" if kernel == engine else kernel)
    return table


def _figures(m: Measurement) -> list[RenderableType]:
    return [format_instructions(m.median), _share(m.extra["classes"])]


def _ratio(m: Measurement | None, base: Measurement | None) -> str:
    return "" if m is None or base is None else f"{m.median / base.median:.2f}"


def _share(classes: Mapping[str, float]) -> str:
    total = sum(classes.values())
    return f"{sum(classes[name] for name in ARITHMETIC) / total * 100:.0f}%" if total else ""


def classes_of(report: Report, engine: str) -> dict[str, float]:
    """Return an engine's instructions by class, over all calls of the cases that it serves."""
    own = [m for m in report.measurements if m.engine == engine]
    return {
        name: sum(m.extra["classes"][name] * int(m.extra.get("count", 1)) for m in own)
        for name in CLASSES
    }


def table_of_classes(report: Report) -> Table:
    """Return a line for each engine: its instructions by class, and each class's share."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("by class, all calls", no_wrap=True)
    for name in CLASSES:
        table.add_column(_TITLES[name], justify="right", no_wrap=True)
    for engine in report.engines:
        classes = classes_of(report, engine)
        total = sum(classes.values())
        if total:
            cells = [f"{format_instructions(n)} {n / total * 100:3.0f}%" for n in classes.values()]
            table.add_row(Text(engine), *cells)
    return table


_TITLES: Mapping[str, str] = {
    **{name: name for name in CLASSES},
    "multiply_add": "multiply-add",
    "dot": "dot and matrix",
}
