"""Results as pytest-benchmark's JSON: its statistics, its machine's and commit's facts.

`pytest-benchmark compare` reads the files too. What it has no field for is in
each benchmark's ``extra_info``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.engines.base import require
from bench.errors import ReportError
from bench.statistics import Ratio, paired_ratio

__all__ = [
    "INSTRUCTIONS",
    "SECONDS",
    "Measurement",
    "Report",
    "document",
    "parse",
    "read",
    "to_json",
]

SECONDS, INSTRUCTIONS = "seconds", "instructions"
"""The units of measurements; counts of instructions have no spread."""


@dataclass(frozen=True)
class Measurement:
    """One engine's rounds of one case.

    Parameters
    ----------
    case, engine
        Their names.
    values
        One iteration's time in each round, in `unit`.
    iterations
        Of a round.
    extra
        What else is known: kernel, layouts, error, limit, count …
    unit
        `SECONDS`; another for what is no time.
    """

    case: str
    engine: str
    values: tuple[float, ...]
    iterations: int
    extra: Mapping[str, Any] = field(default_factory=dict)
    unit: str = SECONDS

    @property
    def statistics(self) -> Any:
        """pytest-benchmark's statistics of the rounds."""
        stats = require("pytest_benchmark.stats", "bench").Stats()
        for value in self.values:
            stats.update(value)
        return stats

    @property
    def median(self) -> float:
        """Of the rounds."""
        return float(self.statistics.median)

    def ratio(self, base: Measurement) -> Ratio:
        """Return this engine's time as a multiple of another's, paired by round."""
        return paired_ratio(self.values, base.values)


@dataclass(frozen=True)
class Report:
    """What a run found.

    Parameters
    ----------
    title
        What was measured, and how, in a line.
    settings
        The run's options.
    measurements
        By case, in order; within a case by engine.
    refusals
        (case, engine) → why it was left out.
    """

    title: str
    settings: Mapping[str, Any]
    measurements: Sequence[Measurement]
    refusals: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def cases(self) -> list[str]:
        """Names, in order."""
        return list(dict.fromkeys(m.case for m in self.measurements))

    @property
    def engines(self) -> list[str]:
        """Names, in the run's order."""
        return list(self.settings["engines"])

    @property
    def unit(self) -> str:
        """Of the figures; `SECONDS` where there are none."""
        return next((m.unit for m in self.measurements), SECONDS)

    def count(self, case: str) -> int:
        """Return how many times the model calls a case."""
        return next(int(m.extra.get("count", 1)) for m in self.measurements if m.case == case)

    def label(self, case: str) -> str:
        """Return a case's name for a table."""
        return next(str(m.extra.get("label", case)) for m in self.measurements if m.case == case)

    def total(self, engine: str) -> float:
        """Return the sum over all calls of all cases; NaN where the engine misses one."""
        total = 0.0
        for case in self.cases:
            m = self.find(case, engine)
            if m is None:
                return math.nan
            total += m.median * self.count(case)
        return total

    def find(self, case: str, engine: str) -> Measurement | None:
        """Return an engine's rounds of a case, None if it was left out."""
        for m in self.measurements:
            if m.case == case and m.engine == engine:
                return m
        return None


def document(report: Report) -> dict[str, Any]:
    """Return a report as the data of its JSON.

    Raises
    ------
    MissingExtra
        If pytest-benchmark isn't installed.
    """
    plugin = require("pytest_benchmark.plugin", "bench")
    utilities = require("pytest_benchmark.utils", "bench")
    return {
        "machine_info": plugin.pytest_benchmark_generate_machine_info(),
        "commit_info": utilities.get_commit_info(),
        "benchmarks": [_benchmark(report, m) for m in report.measurements],
        "datetime": datetime.now(UTC).isoformat(),
        "version": require("pytest_benchmark", "bench").__version__,
        "bench": {
            "title": report.title,
            "settings": dict(report.settings),
            "refusals": [
                {"case": case, "engine": engine, "reason": reason}
                for (case, engine), reason in report.refusals.items()
            ],
        },
    }


def to_json(data: Mapping[str, Any]) -> str:
    """Return a document's text."""
    text: str = require("pytest_benchmark.utils", "bench").safe_dumps(data, indent=1)
    return text


def _benchmark(report: Report, m: Measurement) -> dict[str, Any]:
    ratios = {
        other: {"value": ratio.value, "low": ratio.low, "high": ratio.high}
        for other in report.engines
        if other != m.engine and (base := report.find(m.case, other)) is not None
        for ratio in (m.ratio(base),)
    }
    return {
        "group": m.case,
        "name": f"{m.case}[{m.engine}]",
        "fullname": f"bench/cases::{m.case}[{m.engine}]",
        "params": {"case": m.case, "engine": m.engine},
        "param": m.engine,
        "extra_info": {**m.extra, "unit": m.unit, "ratios": ratios},
        "options": {"disable_gc": False, "timer": "perf_counter", "warmup": True},
        "stats": {**m.statistics.as_dict(), "iterations": m.iterations, "data": list(m.values)},
    }


def read(path: Path) -> Report:
    """Read a file that holds `to_json` of a report's `document`.

    Raises
    ------
    ReportError
        If the file is missing, damaged, or not a report of bench.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ReportError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ReportError(f"{path}: expected a report of bench run, got {error!r}") from error
    return parse(data, str(path))


def parse(data: Any, origin: str) -> Report:
    """Return the report of a document; `origin` is where it came from.

    Raises
    ------
    ReportError
        If it isn't a report of bench.
    """
    try:
        own = data["bench"]
        measurements = [
            Measurement(
                b["params"]["case"],
                b["params"]["engine"],
                tuple(float(v) for v in b["stats"]["data"]),
                int(b["stats"]["iterations"]),
                {k: v for k, v in b["extra_info"].items() if k not in ("unit", "ratios")},
                b["extra_info"]["unit"],
            )
            for b in data["benchmarks"]
        ]
        refusals = {(r["case"], r["engine"]): r["reason"] for r in own["refusals"]}
        report = Report(own["title"], own["settings"], measurements, refusals)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ReportError(f"{origin}: expected a report of bench run, got {error!r}") from error
    if any(not m.values or min(m.values) <= 0 for m in report.measurements):
        raise ReportError(f"{origin}: expected positive figures in every benchmark")
    return report
