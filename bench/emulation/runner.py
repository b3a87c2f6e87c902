"""Kernels of another architecture: asked, and run between the plug-in's markers, by emulation.

`Runner` starts the program ``run_problem`` of a cross build under QEMU's user emulation for each
question and each count. It gives the program an empty environment and the same words each time:
what lies on the stack moves what is on it, and so the counts of code that minds alignment.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.emulation.environment import Environment
from bench.emulation.plugin import Counts, read_counts
from bench.engines.kernel import in_layouts, with_free_layouts
from bench.errors import CountingFailed, Refused
from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.contract import KernelName
from dispatch.dtypes import SHORT_NAMES, numpy_dtype
from dispatch.layouts import from_layout, to_layout
from dispatch.native import got_of
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["NAIVE", "Counted", "PackAnswers", "Runner"]

NAIVE = "naive"
"""The name of the plain loops that the runner has inside; not a pack's."""
_UNAVAILABLE = 3  # the runner's exit status where the pack can't be used


@dataclass(frozen=True)
class PackAnswers:
    """What a pack says of a problem.

    Parameters
    ----------
    library
        The vendor library's version.
    kernels
        Each kernel of the operator and dtype with its answer; the cheapest
        first, refusals last.
    """

    library: str
    kernels: Sequence[tuple[str, Answer]]

    def refusals(self) -> str:
        """Say why no kernel serves the problem, a line for each."""
        lines = [f"{name}: {answer}" for name, answer in self.kernels if isinstance(answer, No)]
        return "\n".join(lines) or "no kernel for this operator and dtype"


@dataclass(frozen=True)
class Counted:
    """One kernel's run.

    Parameters
    ----------
    kernel
        Its name.
    library
        The vendor library's version.
    layouts
        Of the inputs, then the outputs.
    counts
        The instructions of one run.
    outputs
        In the logical layout.
    """

    kernel: str
    library: str
    layouts: Sequence[str | None]
    counts: Counts
    outputs: list[Array]


@dataclass
class Runner:
    """Runs kernels of a cross build by emulation; `close` ends what still runs.

    Parameters
    ----------
    environment
        The emulator and the root.
    cpu
        The CPU's model, as QEMU names it.
    program
        ``run_problem``.
    packs
        Each pack's shared library.
    plugin
        `bench.emulation.plugin.build_plugin` made it.
    variables
        The programs' environment.
    """

    environment: Environment
    cpu: str
    program: Path
    packs: Mapping[str, Path]
    plugin: Path
    variables: Mapping[str, str]
    _running: set[subprocess.Popen[str]] = field(default_factory=set, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _closed: bool = field(default=False, init=False)

    @property
    def running(self) -> int:
        """How many programs run now."""
        with self._lock:
            return len(self._running)

    def answers(self, pack: str, problem: Problem) -> PackAnswers:
        """Ask a pack's kernels for a problem.

        Raises
        ------
        Refused
            If the pack can't be used; says why.
        CountingFailed
            If the program fails.
        """
        with TemporaryDirectory(prefix="bench-") as folder:
            Path(folder, "problem").write_text(problem.to_json(), encoding="utf-8")
            printed = self._run(pack, Path(folder), ("--kernels",), count=False)
        lines = [json.loads(line) for line in printed.splitlines()]
        about, kernels = lines[0], lines[1:]
        dtype = SHORT_NAMES[problem.dtype]
        asked = [
            (line["kernel"], _answer(problem, line))
            for line in kernels
            if KernelName.parse(line["kernel"]).dtype == dtype
        ]
        asked.sort(key=lambda pair: pair[1].cost if isinstance(pair[1], Yes) else float("inf"))
        return PackAnswers(about["library"], asked)

    def count_best(self, pack: str, problem: Problem, arrays: Sequence[Array | None]) -> Counted:
        """Count the pack's cheapest kernel in the layouts that it likes.

        Raises
        ------
        Refused
            If no kernel of the pack serves the problem.
        """
        refusals = ""
        for asked in (with_free_layouts(problem), problem):
            answers = self.answers(pack, asked)
            name, answer = next(iter(answers.kernels), ("", None))
            if isinstance(answer, Yes):
                return self.count(name, in_layouts(asked, answer), arrays, answers.library)
            refusals = answers.refusals()
        raise Refused(f"{pack}: no kernel serves {problem}:\n{refusals}")

    def count(
        self, kernel: str, problem: Problem, arrays: Sequence[Array | None], library: str = ""
    ) -> Counted:
        """Count one kernel in the problem's layouts; `arrays` are in the logical one.

        Raises
        ------
        CountingFailed
            If the program fails, or its counts can't be trusted.
        """
        with TemporaryDirectory(prefix="bench-") as name:
            folder = Path(name)
            (folder / "problem").write_text(problem.to_json(), encoding="utf-8")
            words = ["--kernel", kernel]
            for i, (array, spec) in enumerate(zip(arrays, problem.inputs, strict=True)):
                if array is None or spec is None:
                    words += ["--input", "-"]
                else:
                    words += ["--input", f"input{i}"]
                    to_layout(array, spec).tofile(folder / f"input{i}")
            for i in range(len(problem.outputs)):
                words += ["--output", f"output{i}"]
            self._run(KernelName.parse(kernel).pack, folder, words, count=True)
            try:
                counts = read_counts(folder / "counts", 1)
            except CountingFailed as error:
                raise CountingFailed(f"{kernel}: {error}") from error
            outputs = [
                np.array(from_layout(np.fromfile(folder / f"output{i}", numpy_dtype(s.dtype)), s))
                for i, s in enumerate(problem.outputs)
            ]
        layouts = [None if t is None else t.layout for t in problem.tensors]
        return Counted(kernel, library, layouts, counts, outputs)

    def _run(self, pack: str, folder: Path, words: Sequence[str], count: bool) -> str:
        """Run the program in a folder, and return what it prints."""
        plugin = ("-plugin", f"{str(self.plugin).replace(',', ',,')},out=counts") if count else ()
        which = ("--naive",) if pack == NAIVE else ("--pack", self.packs[pack])
        command = self.environment.command(
            self.cpu, self.program, "--problem", "problem", *which, *words, emulator_options=plugin
        )
        with self._lock:
            if self._closed:
                raise CountingFailed(f"{pack}: ended before it was run")
            process = subprocess.Popen(  # noqa: S603 -- our own program
                command,
                cwd=folder,
                env=dict(self.variables),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            self._running.add(process)
        printed, complaint = process.communicate()
        with self._lock:
            self._running.discard(process)
        if process.returncode == _UNAVAILABLE:
            raise Refused(f"{pack}: {_last_line(complaint)}")
        if process.returncode:
            raise CountingFailed(
                f"{pack}: {self.program.name} ended with {process.returncode} on "
                f"{self.cpu}: {_last_line(complaint) or 'no message'}"
            )
        return printed

    def close(self) -> None:
        """End every program that still runs; nothing can be asked after."""
        with self._lock:
            self._closed = True
            for process in self._running:
                process.kill()


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("run_problem: ") if lines else ""


def _answer(problem: Problem, line: Mapping[str, Any]) -> Answer:
    """Return an answer of the runner as the registry would give it."""
    code = line["code"]
    if code == 0:
        return Yes(cost=line["cost"], layouts=tuple(line["layouts"]))
    subject = line["subject"]
    got = line.get("got") or got_of(problem, subject)
    if code == NoCode.LIBRARY:
        got = line.get("reason") or got
    return No(NoCode(code), subject, line["limit"], got)
