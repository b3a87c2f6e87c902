"""The parts, by worth: what is cut off when the time is over comes last."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = ["PARTS", "Emit", "Outcome", "Part", "run_part"]

Emit: TypeAlias = Callable[[Mapping[str, Any]], None]
"""Takes one row of results, which is kept even if the part is cut off after it."""


@dataclass(frozen=True, slots=True)
class Part:
    """Something to measure.

    Parameters
    ----------
    name
        For the command line; the module ``bench.gpu.NAME`` has ``measure(device, emit)``.
    seconds
        After which it is stopped.
    title
        What it measures.
    """

    name: str
    seconds: float
    title: str


PARTS: tuple[Part, ...] = (
    Part("resnet50", 300, "ResNet-50 in bfloat16, batches of 1 and 64, as a whole"),
    Part("operators", 150, "convolutions and products, one by one"),
    Part("models", 60, "replays of the light models and of PP-OCR, and their first runs"),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a part.

    Parameters
    ----------
    part
        Which.
    state
        "complete", or why it isn't.
    seconds
        That it took.
    rows
        What it measured until it ended.
    """

    part: Part
    state: str
    seconds: float
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Nothing is missing."""
        return self.state == "complete"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "title": self.part.title,
            "state": self.state,
            "seconds": round(self.seconds, 1),
            "rows": self.rows,
        }


def run_part(part: Part, device: str, command: Sequence[str] = ()) -> Outcome:
    """Run a part in a process of its own; its rows come as lines of JSON.

    Parameters
    ----------
    command
        What starts the process; default: the part's module.
    """
    start = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 -- our own module
        command or [sys.executable, "-m", "bench.gpu.part", part.name, device],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=part.seconds)
        state = "complete" if process.returncode == 0 else f"failed with {process.returncode}"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        state = f"stopped after {part.seconds:g} s"
    rows = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return Outcome(part, state, time.monotonic() - start, rows)
