"""The saved plan run by libreplay's own tool: a process without Python."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from bench.alternation import Turn
from bench.errors import WorkerFailed
from dispatch.native import NativeOpenPack
from dispatch.operator import Array
from dispatch.registry import packs

__all__ = ["NativeReplay"]

TOOL = "replay_run"
_MEDIAN = re.compile(r"median ([0-9.]+) ms")


@dataclass(frozen=True)
class NativeReplay:
    """A plan in a file, and its one input's bytes.

    Parameters
    ----------
    trace
        The file that `Trace.save` wrote, with a plan.
    plan
        The plan's name in it.
    data
        A file of the input's bytes.
    output
        Where the output's bytes go.
    """

    trace: Path
    plan: str
    data: Path
    output: Path

    def command(self, runs: int) -> list[str]:
        """Return the tool's command line.

        Raises
        ------
        WorkerFailed
            If the tool isn't installed.
        """
        tool = Path(str(files("runtime").joinpath(TOOL)))
        if not tool.exists():
            raise WorkerFailed(f"{TOOL}: expected it beside the package runtime, at {tool}")
        line = [str(tool), str(self.trace), "--plan", self.plan, "--runs", str(runs)]
        for pack in packs():
            if isinstance(pack.opened, NativeOpenPack):
                line += ["--pack", str(pack.opened.path)]
                if "library" in pack.opened.options:
                    line += ["--option", f"library={pack.opened.options['library']}"]
        return [*line, "--input", str(self.data), "--output", str(self.output)]

    def run(self, runs: int) -> Turn:
        """Run the plan and return the median time of one run.

        Raises
        ------
        WorkerFailed
            If the tool reports an error.
        """
        done = subprocess.run(  # noqa: S603 -- our own tool
            self.command(runs), capture_output=True, text=True, check=False
        )
        found = _MEDIAN.search(done.stdout)
        if done.returncode or found is None:
            raise WorkerFailed(f"{TOOL}: status {done.returncode}: {done.stderr or done.stdout}")
        seconds = float(found[1]) / 1e3
        return Turn(seconds, seconds)

    def result(self, shape: tuple[int, ...]) -> Array:
        """Run once; return the output, float32."""
        self.run(1)
        return np.fromfile(self.output, np.float32).reshape(shape)
