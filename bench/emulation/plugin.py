"""The plug-in that counts retired instructions: compiled for the QEMU at hand, its figures read."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.emulation.commands import run_command
from bench.emulation.qemu import check_plugins, qemu_version
from bench.errors import CountingFailed

__all__ = ["ARITHMETIC", "CLASSES", "Counts", "build_plugin", "read_counts"]

CLASSES = ("multiply_add", "dot", "load", "store", "branch", "other")
"""Each instruction is of one of these; ``dot`` is dot, matrix and outer products."""
ARITHMETIC = ("multiply_add", "dot")
"""What a convolution or a product is there for."""

_SOURCES = Path(__file__).parent / "src" / "plugin"
_FIGURES = (*CLASSES, "intervals", "open", "threads")
_INTERFACES: tuple[tuple[tuple[int, int], int], ...] = (((9, 1), 3), ((9, 0), 2), ((6, 2), 1))
"""The first QEMU of each version of its plug-ins' interface that makes a difference here.

7.2 is what the tests run; 2 and 3 follow the interface's description.
"""


@dataclass(frozen=True)
class Counts:
    """What one run between the markers retired.

    Parameters
    ----------
    classes
        Instructions by class, all of `CLASSES`.
    """

    classes: Mapping[str, int]

    @property
    def total(self) -> int:
        """All instructions."""
        return sum(self.classes.values())

    @property
    def arithmetic(self) -> int:
        """Those of the classes `ARITHMETIC`."""
        return sum(self.classes[name] for name in ARITHMETIC)


def _interface(version: str) -> int:
    numbers = tuple(int(part) for part in version.split(".")[:2])
    for first, interface in _INTERFACES:
        if numbers >= first:
            return interface
    raise CountingFailed(f"QEMU: expected 6.2 or later, which has plug-ins, got {version}")


def build_plugin(folder: Path, qemu: Path) -> Path:
    """Compile the plug-in into a folder; takes a fraction of a second.

    Raises
    ------
    EmulationUnavailable
        If there is no C compiler, or it fails.
    CountingFailed
        If QEMU takes no plug-ins.
    """
    check_plugins(qemu)
    compiler = os.environ.get("CC", "").split() or [shutil.which("gcc") or "cc"]
    plugin = folder / "count_instructions.so"
    command = [
        *compiler, "-O2", "-shared", "-fPIC", "-fvisibility=hidden",
        f"-DPLUGIN_API={_interface(qemu_version(qemu))}", "-o", str(plugin),
        *(str(_SOURCES / name) for name in ("count_instructions.c", "a64.c")),
    ]  # fmt: skip
    run_command(command, "counting: compiling QEMU's plug-in")
    return plugin


def read_counts(path: Path, runs: int) -> Counts:
    """Read what the plug-in wrote; the counts of one of `runs` runs.

    Raises
    ------
    CountingFailed
        If the file is missing or damaged, the markers weren't passed `runs`
        times, runs differ, or several threads ran: then a count may change
        from run to run.
    """
    try:
        words = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        figures = {name: int(value) for name, value in words}
    except (OSError, ValueError) as error:
        raise CountingFailed(f"{path.name}: expected the plug-in's figures: {error}") from error
    if tuple(figures) != _FIGURES:
        raise CountingFailed(f"{path.name}: expected {', '.join(_FIGURES)}, got {list(figures)}")
    if figures["intervals"] != runs or figures["open"]:
        raise CountingFailed(
            f"expected {runs} runs between markers, got {figures['intervals']}, "
            f"{'the last one' if figures['open'] else 'none'} left open"
        )
    if figures["threads"] != 1:
        raise CountingFailed(
            f"counts need one thread, but {figures['threads']} ran: they could differ each time"
        )
    odd = [name for name in CLASSES if figures[name] % runs]
    if odd:
        raise CountingFailed(f"the {runs} runs differ in {', '.join(odd)}")
    return Counts({name: figures[name] // runs for name in CLASSES})
