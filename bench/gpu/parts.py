"""The parts, by worth: what is cut off when the time is over comes last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event, Timer
from typing import Any, TypeAlias

__all__ = ["PARTS", "Emit", "Outcome", "Part", "attempt", "run_part", "within"]

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
    Part("resnet50", 160, "ResNet-50 in bfloat16, batches of 1 and 64, as a whole"),
    Part("operators", 120, "convolutions and products, one by one"),
    Part("compiled", 160, "ResNet-50 beside torch.compile, which takes minutes to compile"),
    Part("models", 50, "replays of the light models and of PP-OCR, and their first runs"),
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
        return self.state == "complete" and not self.errors

    @property
    def errors(self) -> int:
        """How many cases came to nothing."""
        return sum("error" in row for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "title": self.part.title,
            "state": self.state,
            "seconds": round(self.seconds, 1),
            "rows": self.rows,
        }


def attempt(emit: Emit, case: str, work: Callable[[], Mapping[str, Any]]) -> None:
    """Emit what is measured of a case, or why nothing is: the cases after it are worth as much."""
    try:
        row = work()
    except Exception as error:  # noqa: BLE001 -- whatever a library raises
        traceback.print_exc()
        row = {"case": case, "error": f"{type(error).__name__}: {error}"}
    emit(row)


def within(part: Part, seconds: float) -> Part:
    """Return a part that takes no longer than what is left."""
    return replace(part, seconds=min(part.seconds, max(seconds, 0.0)))


def run_part(
    part: Part,
    device: str,
    command: Sequence[str] = (),
    keep: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Run a part in a process of its own; its rows come as lines of JSON.

    Parameters
    ----------
    command
        What starts the process; default: the part's module.
    keep
        Takes what there is after each row.
    """
    start = time.monotonic()
    process = subprocess.Popen(  # noqa: S603 -- our own module
        command or [sys.executable, "-m", "bench.gpu.part", part.name, device],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    stopped, rows = Event(), []

    def stop() -> None:
        stopped.set()
        with suppress(ProcessLookupError):
            # With all that it started: a compiler's processes hold the pipe open.
            os.killpg(process.pid, signal.SIGKILL)

    timer = Timer(part.seconds, stop)
    timer.start()
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            if line.startswith("{"):
                rows.append(json.loads(line))
                keep(Outcome(part, "running", time.monotonic() - start, rows))
    code = process.wait()
    timer.cancel()
    state = "complete" if code == 0 else f"failed with {code}"
    if stopped.is_set():
        state = f"stopped after {part.seconds:g} s"
    return Outcome(part, state, time.monotonic() - start, rows)
