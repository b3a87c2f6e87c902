"""Programs that the set-up runs, and what is said when one fails."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.errors import EmulationUnavailable

__all__ = ["last_lines", "run_command"]

SHOWN_LINES = 15


def last_lines(text: str, count: int = SHOWN_LINES) -> str:
    """Return a text's last lines, indented."""
    return "\n".join(f"  {line}" for line in text.strip().splitlines()[-count:])


def run_command(
    command: Sequence[str | Path],
    what: str,
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> str:
    """Run a program and return what it printed.

    Parameters
    ----------
    command
        The program and its arguments.
    what
        What it is run for, for the error.
    environment
        Variables beside this process's own.
    folder
        Where it runs.

    Raises
    ------
    EmulationUnavailable
        If it can't be started or fails; with its last lines.
    """
    line = [str(part) for part in command]
    try:
        done = subprocess.run(  # noqa: S603 -- programs of the set-up, no shell
            line,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            cwd=folder,
            env={**os.environ, **(environment or {})},
        )
    except OSError as error:
        raise EmulationUnavailable(f"{what}: {line[0]}: {error.strerror}") from error
    if done.returncode:
        raise EmulationUnavailable(
            f"{what}: {' '.join(line[:4])} … ended with {done.returncode}:\n"
            f"{last_lines(done.stdout)}"
        )
    return done.stdout
