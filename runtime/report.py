"""What a plan decided, as data and as tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch.answer import Yes
from dispatch.context import Settings
from dispatch.selection import Decision
from dispatch.tensor import TensorSpec
from runtime.plan.options import decision
from runtime.plan.plan import Plan

__all__ = ["Explanation", "Profile", "Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One step of a plan.

    Parameters
    ----------
    node
        The source line or the model's name of it.
    operator
        With what follows on it: ``conv2d+relu``.
    kernel
        The kernel that runs it.
    layout
        Of the first input and the first output.
    shape
        Of the first output.
    expected_seconds
        What the plan went by: the kernel's own word, or what was measured of it before.
    seconds
        The median that was measured; None if it wasn't.
    others
        The other candidates: (kernel, why not).
    """

    node: str
    operator: str
    kernel: str
    layout: str
    shape: tuple[int, ...]
    expected_seconds: float
    seconds: float | None
    others: tuple[tuple[str, str], ...]


class Explanation:
    """A plan's decisions; prints as a table.

    Attributes
    ----------
    rows : tuple of Row
        One for each step.
    memory : mapping
        Bytes of the arena, of scratch memory and of packed constants.
    unavailable : mapping
        Packs that couldn't be asked, and why not.
    """

    def __init__(
        self,
        plan: Plan,
        memory: Mapping[str, int],
        settings: Settings,
        seconds: Sequence[float] | None = None,
    ) -> None:
        measured: Sequence[float | None] = (
            [None] * len(plan.options) if seconds is None else seconds
        )
        decisions = [decision(option, settings) for option in plan.options]
        self.rows = tuple(
            _row(label, option, made, time)
            for label, option, made, time in zip(
                plan.labels, plan.options, decisions, measured, strict=True
            )
        )
        self.unavailable = {name: why for made in decisions for name, why in made.unavailable}
        self.memory = dict(memory)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as plain data, for JSON."""
        return {
            "steps": [
                {
                    "node": r.node,
                    "operator": r.operator,
                    "kernel": r.kernel,
                    "layout": r.layout,
                    "shape": list(r.shape),
                    "expected_seconds": r.expected_seconds,
                    "seconds": r.seconds,
                    "others": dict(r.others),
                }
                for r in self.rows
            ],
            "memory": self.memory,
            "unavailable": self.unavailable,
        }

    def table(self) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
        """Return the columns' names, and a row of text for each step."""
        timed = any(r.seconds is not None for r in self.rows)
        columns = ("operator", "kernel", "layout", "output", "µs" if timed else "expected µs")
        rows: list[tuple[str, ...]] = []
        for r in self.rows:
            time = r.expected_seconds if r.seconds is None else r.seconds
            others = "; ".join(f"{name}: {why}" for name, why in r.others)
            shape = "x".join(map(str, r.shape))
            rows.append(
                (r.operator, r.kernel, r.layout, shape, f"{time * 1e6:.1f}", others, r.node)
            )
        return (*columns, "others", "node"), rows

    def __str__(self) -> str:
        columns, rows = self.table()
        lines = [columns, *rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
        text = [
            "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        text.append(", ".join(f"{name} {value}" for name, value in self.memory.items()))
        text += [f"{name}: unavailable: {why}" for name, why in self.unavailable.items()]
        return "\n".join(text)

    __repr__ = __str__


class Profile(Explanation):
    """An explanation with each step's measured time.

    Attributes
    ----------
    seconds : float
        All steps together.
    """

    @property
    def seconds(self) -> float:
        """Return the sum of the steps' medians."""
        return sum(r.seconds or 0.0 for r in self.rows)


def _row(label: str, option: Any, made: Decision, seconds: float | None) -> Row:
    problem = option.problem
    others = tuple(
        (c.kernel.name, _time(c.answer.cost, c.seconds))
        if isinstance(c.answer, Yes)
        else (c.kernel.name, f"{c.answer.code.name}: {c.answer}")
        for c in made.candidates
        if c.kernel is not option.kernel
    )
    steps = "".join(f"+{s.name}" for s in problem.epilogue)
    return Row(
        label,
        problem.operator + steps,
        option.kernel.name,
        _layout(problem.inputs, problem.outputs),
        problem.outputs[0].shape,
        option.cost,
        seconds,
        others,
    )


def _time(expected: float, measured: float | None) -> str:
    if measured is None:
        return f"{expected * 1e6:.1f} µs expected"
    return f"{measured * 1e6:.1f} µs measured" if math.isfinite(measured) else "failed"


def _layout(inputs: Sequence[TensorSpec | None], outputs: Sequence[TensorSpec]) -> str:
    first = next((t.layout for t in inputs if t is not None and not t.constant), "")
    return first if first in ("", outputs[0].layout) else f"{first} → {outputs[0].layout}"
