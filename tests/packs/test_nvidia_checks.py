"""What runs the checks on a GPU: limits, what is kept, what is said of failures."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dispatch.operators import operators
from tests.packs import nvidia_checks
from tests.packs.nvidia_checks import FIRST, LIMITS, Checks, Outcome, run


def script(text):
    return [sys.executable, "-c", text]


def test_a_process_and_its_children_end_at_the_limit():
    child = "import time; time.sleep(600)"
    text = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}]);"
        "print(child.pid); time.sleep(600)"
    )
    outcome = run(script(text), 5)
    assert outcome.code is None and "stopped at its limit" in str(outcome)
    state = Path(f"/proc/{int(outcome.output)}/stat")
    end = time.monotonic() + 10  # a process that was killed takes a moment
    with suppress(FileNotFoundError, ProcessLookupError):
        while state.read_text().rpartition(")")[2].split()[0] not in ("Z", "X"):
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_crash_is_an_exit_code():
    assert run(script("import os; os.abort()"), 20).code == -6


def test_operators_by_worth_are_all_operators():
    names = nvidia_checks._by_worth()
    assert names[: len(FIRST)] == list(FIRST) and sorted(names) == sorted(operators())


def test_reports_name_each_kernel_that_failed():
    kernels = '[{"kernel": "a.b.c.f32", "failures": [{"case": "case 1", "what": "wrong"}]}]'
    report = nvidia_checks._report(Outcome(1, f'[{{"kernels": {kernels}}}]', "", 1.0))
    assert report["state"] == "failed"
    assert list(nvidia_checks._failures(report)) == ["a.b.c.f32: 1 failures: case 1: wrong"]
    crashed = nvidia_checks._report(Outcome(-11, "[", "Segmentation fault", 1.0))
    (line,) = nvidia_checks._failures(crashed)
    assert "exit code -11" in line and "Segmentation fault" in line


@pytest.mark.parametrize("passed", [True, False])
def test_where_no_test_passes_the_rest_is_left_out(passed, monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(Checks, "environment", lambda _: "")
    monkeypatch.setattr(Checks, "tests", lambda _, part, *options: asked.append(part) or passed)
    monkeypatch.setattr(Checks, "conformance", lambda *_: asked.append("conformance"))
    monkeypatch.setattr(sys, "argv", ["checks", "--folder", str(tmp_path)])
    nvidia_checks.main()
    assert asked == (["tests", "memory", "conformance"] if passed else ["tests"])
    assert ("left out" in capsys.readouterr().out) != passed


def test_a_pack_that_isnt_there_is_said_to_be_missing(tmp_path, monkeypatch, capsys):
    printed = '[{"name": "cudnn", "available": false, "reason": "no GPU", "library_version": ""}]'
    monkeypatch.setattr(nvidia_checks, "run", lambda *_: Outcome(0, printed, "", 0.1))
    monkeypatch.setattr(sys, "argv", ["checks", "--folder", str(tmp_path)])
    assert nvidia_checks.main() == nvidia_checks.UNAVAILABLE
    assert "SKIPPED: no GPU" in capsys.readouterr().out
    assert "no GPU" in (tmp_path / "environment.txt").read_text()


def test_a_part_takes_no_longer_than_is_left(tmp_path):
    assert Checks(tmp_path, 1000).left("tests") == LIMITS["tests"]
    assert Checks(tmp_path, 10).left("tests") <= 10
