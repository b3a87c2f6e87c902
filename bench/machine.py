"""What this machine can do at most: multiply-adds a second and bytes a second, measured once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from bench._machine import ffi, lib
from dispatch.layouts import empty
from dispatch.machine import this_machine
from dispatch.operators import operators
from dispatch.problem import Problem

__all__ = ["Limits", "limit_seconds", "measure", "measured"]

SIZES = tuple(1 << power for power in range(14, 29, 2))
"""Working sets in bytes: 16 KiB in a first-level cache to 256 MiB in memory."""
SECONDS = 0.15
FORMAT = 1


@dataclass(frozen=True)
class Limits:
    """Measured peaks of one number of threads.

    Parameters
    ----------
    machine
        Which machine: `dispatch.machine.Machine.id`.
    threads
        With how many threads.
    flops
        Most float32 operations a second by lanes in a vector (a fused
        multiply-add is two).
    bandwidth
        (bytes of the working set, bytes a second read), by size.
    """

    machine: str
    threads: int
    flops: Mapping[int, float]
    bandwidth: tuple[tuple[int, float], ...]

    @property
    def peak(self) -> float:
        """Float32 operations a second with the widest vectors."""
        return max(self.flops.values())

    def bytes_a_second(self, working_set: float) -> float:
        """Return the bandwidth for a working set, between sizes on a logarithmic scale."""
        sizes, rates = zip(*self.bandwidth, strict=True)
        return float(np.interp(np.log2(max(working_set, 1.0)), np.log2(sizes), rates))


def measure(threads: int, sizes: Sequence[int] = SIZES, seconds: float = SECONDS) -> Limits:
    """Measure the peaks; takes about a second and a half.

    Parameters
    ----------
    threads
        How many at once.
    sizes
        Working sets to read, in bytes.
    seconds
        For each figure.
    """
    lanes = [n for n in (4, 8, 16) if n <= lib.bench_vector_lanes()]
    flops = {n: lib.bench_multiply_add_rate(n, threads, seconds) for n in lanes}
    memory = empty((max(sizes) // 4,), np.dtype(np.float32))
    memory[:] = 1
    pointer = ffi.from_buffer(memory)
    bandwidth = tuple((s, lib.bench_read_rate(pointer, s, threads, seconds)) for s in sizes)
    return Limits(this_machine().id, threads, flops, bandwidth)


def cache_path(threads: int) -> Path:
    """Return where this machine's peaks are kept."""
    folder = Path(platformdirs.user_cache_dir("kernel-dispatch")) / "machines"
    return folder / f"{this_machine().id}-{threads}.json"


def measured(threads: int, again: bool = False) -> Limits:
    """Return this machine's peaks, measured at the first call and kept.

    Parameters
    ----------
    threads
        How many at once.
    again
        Measure anew; the better of both figures is kept, as noise only slows.
    """
    path = cache_path(threads)
    known = _load(path)
    if known is not None and not again:
        return known
    found = measure(threads)
    if known is not None:
        found = _better(known, found)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"format": FORMAT, **asdict(found)}), encoding="utf-8")
    return found


def _load(path: Path) -> Limits | None:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            return None
        return Limits(
            data["machine"],
            data["threads"],
            {int(lanes): rate for lanes, rate in data["flops"].items()},
            tuple((size, rate) for size, rate in data["bandwidth"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # absent or damaged: measured anew


def _better(a: Limits, b: Limits) -> Limits:
    return Limits(
        b.machine,
        b.threads,
        {n: max(rate, a.flops.get(n, 0.0)) for n, rate in b.flops.items()},
        tuple((size, max(rate, dict(a.bandwidth).get(size, 0.0))) for size, rate in b.bandwidth),
    )


def limit_seconds(problem: Problem, limits: Limits) -> tuple[float, str]:
    """Return the least time that the machine allows a problem, and what binds it.

    Only float32 and float64 have a measured peak of arithmetic; other dtypes
    are held to the bandwidth alone.
    """
    schema = operators()[problem.operator]
    moved = float(schema.bytes_moved(problem))
    memory = moved / limits.bytes_a_second(moved)
    per_float = {"float32": 1.0, "float64": 2.0}.get(problem.dtype, 0.0)
    if problem.precision == "medium":
        per_float = 0.0
    arithmetic = schema.flops(problem) * per_float / limits.peak
    return (arithmetic, "FMA") if arithmetic >= memory else (memory, "memory")
