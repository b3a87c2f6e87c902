"""What the demonstration prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.demo.detection import Match
from bench.demo.timing import REPLAY, Roads
from bench.demo.worker import EAGER, PEER
from runtime.report import Explanation, Row

__all__ = ["Choice", "choices", "print_choices", "print_lines", "print_roads", "print_steps"]

NAMES = {
    EAGER: "eager calls, constants prepacked",
    REPLAY: "replay in libreplay, without Python",
    PEER: "ONNX Runtime",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A kernel that was chosen for some steps.

    Parameters
    ----------
    operator, kernel
        What it runs, with what follows on it.
    steps
        How many.
    seconds
        All of them together.
    why
        What the next best would have taken, and who can't.
    """

    operator: str
    kernel: str
    steps: int
    seconds: float
    why: str


def choices(explanation: Explanation) -> list[Choice]:
    """Return the kernels that were chosen, those that take longest first."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in explanation.rows:
        groups.setdefault((row.operator, row.kernel), []).append(row)
    made = [
        Choice(operator, kernel, len(rows), sum(map(_seconds, rows)), _why(rows))
        for (operator, kernel), rows in groups.items()
    ]
    return sorted(made, key=lambda choice: -choice.seconds)


def _seconds(row: Row) -> float:
    return row.expected_seconds if row.seconds is None else row.seconds


def _why(rows: Sequence[Row]) -> str:
    """Say for the step that takes longest what was expected, and of the other kernels why not."""
    row = max(rows, key=_seconds)
    others = [_short(name, why) for name, why in row.others]
    able = sorted((o for o in others if o.endswith(SLOWER)), key=_microseconds)
    unable = [o for o in others if not o.endswith(SLOWER)]
    more = f"and {len(unable) - 1} more can't" if len(unable) > 1 else ""
    parts = [f"{row.expected_seconds * 1e6:.0f} µs", *able[:1], *unable[:1], more]
    return "; ".join(filter(None, parts)) if others else "the only kernel"


SLOWER = " µs"


def _short(name: str, why: str) -> str:
    """Return a kernel's pack and algorithm with its expected time, or with its reason."""
    if "." not in name:  # a pack that isn't available has no kernels
        return f"{name}: {why}"
    pack, _, algorithm, _ = name.split(".")
    if why.endswith(" expected"):
        return f"{pack} {algorithm} {float(why.split()[0]):.0f}{SLOWER}"
    return f"{pack} {algorithm}: {why.partition(': ')[2]}"


def _microseconds(text: str) -> float:
    return float(text.split()[-2])


def print_choices(console: Console, made: Sequence[Choice]) -> None:
    """Print one line for each kernel and operator."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = ("operator", "kernel", "steps", "µs", "the longest step: expected, the others")
    for name in columns:
        justify = "right" if name in ("steps", "µs") else "left"
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for choice in made:
        table.add_row(
            choice.operator,
            choice.kernel,
            str(choice.steps),
            f"{choice.seconds * 1e6:.0f}",
            choice.why,
        )
    console.print(table)


def print_steps(console: Console, explanation: Explanation) -> None:
    """Print every step with every other candidate."""
    columns, rows = explanation.table()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def print_roads(console: Console, roads: Roads) -> None:
    """Print the times side by side."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("engine, each in a process of its own")
    for name in ("ms", "÷ ONNX Runtime", "largest difference"):
        table.add_column(name, justify="right")
    for road in roads.roads:
        table.add_row(
            NAMES[road.name],
            f"{road.seconds * 1e3:.2f}",
            f"{road.ratio:.2f}",
            "-" if road.name == PEER else f"{road.difference:.1e}",
        )
    console.print(table)
    verdict = "within" if roads.agree else "[bold red]beyond[/]"
    console.print(f"medians of {roads.rounds} rounds in turns; differences {verdict} "
                  f"{roads.allowed:.1e}")  # fmt: skip


def print_lines(console: Console, texts: Sequence[str], matches: Sequence[Match]) -> None:
    """Print each line of text that was drawn, and the box that was found for it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("line of text", "box", "overlap"):
        table.add_column(name)
    for text, match in zip(texts, matches, strict=True):
        box: Any = "none" if match.box is None else match.box + 1
        table.add_row(text, str(box), f"{match.overlap:.2f}")
    console.print(table)
