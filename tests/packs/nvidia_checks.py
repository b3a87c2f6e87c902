"""All that needs an NVIDIA GPU, checked by worth and in limited time.

    python -m tests.packs.nvidia_checks --folder build/nvidia/checks

First what is installed; then the tests of the pack, several at once; then what fills the GPU's
memory, alone; then conformance, an operator a process. Each has a limit, and a file in the folder,
which says what was found until then. If no test passes, the rest is left out: the GPU's time is
better spent on a second try. Exits with 2 where the pack can't be used, with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dispatch.operators import operators

__all__ = ["LIMITS", "Outcome", "main", "run"]

LIMITS = {"environment": 30, "tests": 130, "memory": 40, "conformance": 170}
"""Seconds of each part, in the order in which they are run."""
OPERATOR_SECONDS = 90
FIRST = ("conv2d", "linear", "matmul", "conv_transpose2d")
"""Operators by worth; the others follow."""
TESTS = "tests/packs/test_cudnn_on_a_gpu.py"
ALONE = "no_memory"
"""Takes all memory that there is."""
PACK = "cudnn"
JOBS = min(os.cpu_count() or 1, 12)
SHOWN = 300
"""Characters of a failure that are printed; the files have all."""
UNAVAILABLE = 2

PYTEST = (
    *(sys.executable, "-m", "pytest", "-v", "--tb=short", "-rs", "-p", "no:cacheprovider"),
    *("-p", "tests.packs.nvidia_checks", "-o", "faulthandler_timeout=60"),
    # What other libraries warn of is no failure of ours, and differs from machine to machine.
    *("-W", "default", TESTS),
)


def pytest_runtest_logreport(report: Any) -> None:
    """Print a failure when it happens: at the end may be too late."""
    if report.failed:
        print(f"\nFAILED {report.nodeid}\n{report.longreprtext}", flush=True)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a process.

    Parameters
    ----------
    code
        Its exit code; -signal; None: it was stopped at its limit.
    output, errors
        What it printed.
    seconds
        That it took.
    """

    code: int | None
    output: str
    errors: str
    seconds: float

    def __str__(self) -> str:
        state = "stopped at its limit" if self.code is None else f"exit code {self.code}"
        return f"{state} after {self.seconds:.0f} s"


def run(command: Sequence[str], seconds: float, threads: int = 1) -> Outcome:
    """Run a process with those that it starts, and end all of them at the limit."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, **counts, "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    code: int | None = None
    try:
        output, errors = process.communicate(timeout=max(seconds, 1))
        code = process.returncode
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
    return Outcome(code, output, errors, time.monotonic() - start)


class Checks:
    """The parts, and where they write.

    Parameters
    ----------
    folder
        For a file of each part.
    seconds
        Of all together.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.folder = folder
        self.end = time.monotonic() + seconds
        self.failed: list[str] = []
        folder.mkdir(parents=True, exist_ok=True)

    def left(self, part: str) -> float:
        """Return the seconds that a part may take."""
        return min(LIMITS[part], self.end - time.monotonic())

    def note(self, part: str, outcome: Outcome) -> None:
        """Keep what a part printed."""
        text = f"{outcome}\n{outcome.output}\n{outcome.errors}"
        (self.folder / f"{part}.txt").write_text(text, encoding="utf-8")
        print(f"{part}: {outcome}", flush=True)

    def environment(self) -> str:
        """Say what is here; return why the pack can't be used, if it can't."""
        asked = run([sys.executable, "-m", "dispatch", "packs", "--json"], self.left("environment"))
        smi = ""
        with suppress(OSError, subprocess.SubprocessError):
            smi = subprocess.run(["nvidia-smi"], capture_output=True, text=True, timeout=20).stdout
        self.note(
            "environment", Outcome(asked.code, smi + asked.output, asked.errors, asked.seconds)
        )
        if asked.code != 0:
            return f"`python -m dispatch packs` failed:\n{asked.errors[-SHOWN:]}"
        pack = next(p for p in json.loads(asked.output) if p["name"] == PACK)
        print(f"{PACK}: {pack['library_version'] or pack['reason']}", flush=True)
        return "" if pack["available"] else str(pack["reason"])

    def tests(self, part: str, *options: str) -> bool:
        """Run tests; say whether one passed."""
        outcome = run([*PYTEST, *options], self.left(part), threads=2)
        self.note(part, outcome)
        said = re.findall(r"^(?:FAILED|E  |=+ .*\b(?:passed|failed)).*", outcome.output, re.M)
        print(*(f"  {line[:SHOWN]}" for line in dict.fromkeys(said)), sep="\n", flush=True)
        if outcome.code != 0:
            self.failed.append(part)
        return "PASSED" in outcome.output

    def conformance(self, jobs: int, cases: int) -> None:
        """Check each operator in a process; keep the reports of those that came to an end."""
        reports: dict[str, Any] = {}
        path = self.folder / "conformance.json"
        with ThreadPoolExecutor(jobs) as pool:
            asked = {pool.submit(self._operator, name, cases): name for name in _by_worth()}
            for done in as_completed(asked):
                name, outcome = asked[done], done.result()
                reports[name] = _report(outcome)
                path.write_text(json.dumps(reports, indent=1) + "\n", encoding="utf-8")
                for line in _failures(reports[name]):
                    print(f"  {name}: {line[:SHOWN]}", flush=True)
                if reports[name]["state"] != "passed":
                    self.failed.append(name)
        passed = sum(report["state"] == "passed" for report in reports.values())
        print(f"conformance: {passed} of {len(reports)} operators passed", flush=True)

    def _operator(self, name: str, cases: int) -> Outcome:
        if self.end - time.monotonic() < 1:
            return Outcome(None, "", "", 0)
        command = [sys.executable, "-m", "dispatch", "check", PACK, "--operator", name]
        options = ["--cases", str(cases), "--json"]
        return run([*command, *options], min(OPERATOR_SECONDS, self.end - time.monotonic()))


def _by_worth() -> list[str]:
    return [*FIRST, *(name for name in operators() if name not in FIRST)]


def _report(outcome: Outcome) -> dict[str, Any]:
    if outcome.code in (0, 1):
        with suppress(ValueError):
            packs = json.loads(outcome.output)
            state = "passed" if outcome.code == 0 else "failed"
            return {"state": state, "seconds": outcome.seconds, "packs": packs}
    return {"state": str(outcome), "seconds": outcome.seconds, "errors": outcome.errors}


def _failures(report: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each kernel that failed, with its first failure."""
    if "packs" not in report:
        yield f"{report['state']}: {report['errors'].strip()[-SHOWN:]}"
        return
    for pack in report["packs"]:
        for kernel in pack.get("kernels", ()):
            if kernel["failures"]:
                first = kernel["failures"][0]
                count = len(kernel["failures"])
                yield f"{kernel['kernel']}: {count} failures: {first['case']}: {first['what']}"


def main() -> int:
    """Run the parts; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("build/nvidia/checks"))
    parser.add_argument("--seconds", type=float, default=sum(LIMITS.values()))
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes at once")
    parser.add_argument("--cases", type=int, default=2, help="random cases of each dtype")
    given = parser.parse_args()
    checks = Checks(given.folder, given.seconds)
    missing = checks.environment()
    if missing:
        print(f"SKIPPED: {missing}")
        return UNAVAILABLE
    if checks.tests("tests", "-n", str(given.jobs), "-k", f"not {ALONE}"):
        checks.tests("memory", "-k", ALONE)
        checks.conformance(given.jobs, given.cases)
    else:
        print("no test passed: the rest is left out")
    print(f"failed: {', '.join(checks.failed) or 'nothing'}; see {given.folder}")
    return int(bool(checks.failed))


if __name__ == "__main__":
    sys.exit(main())
