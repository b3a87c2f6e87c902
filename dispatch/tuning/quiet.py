"""Whether other processes disturbed this one while something was timed."""

from __future__ import annotations

from pathlib import Path

__all__ = ["waited_seconds"]


def waited_seconds() -> float | None:
    """Return how long this process's threads have waited for a CPU, all together.

    Linux tells it in nanoseconds (``/proc/PID/task/TID/schedstat``, second
    number); None elsewhere.
    """
    try:
        return 1e-9 * sum(
            int(task.joinpath("schedstat").read_text(encoding="ascii").split()[1])
            for task in Path("/proc/self/task").iterdir()
        )
    except (OSError, IndexError):
        return None
