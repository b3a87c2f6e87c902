import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.compare import compare
from bench.errors import ReportError
from bench.results import document, read, to_json
from tests.bench.fakes import report, rounds

BEFORE = {("c", "a"): rounds(1e-3, 0.02, 1), ("d", "a"): rounds(2e-3, 0.02, 2)}


def test_the_same_again_is_no_change() -> None:
    again = {("c", "a"): rounds(1e-3, 0.02, 3), ("d", "a"): rounds(2e-3, 0.02, 4)}
    found = compare(report(BEFORE), report(again))
    assert [c.significant for c in found.changes] == [False, False]
    assert found.regressions(0.0) == []


@pytest.mark.parametrize(("factor", "slower"), [(1.2, True), (0.8, False)])
def test_a_change_beyond_noise_is_seen_in_its_direction(factor: float, slower: bool) -> None:
    after = {("c", "a"): rounds(factor * 1e-3, 0.02, 3), ("d", "a"): rounds(2e-3, 0.02, 4)}
    found = compare(report(BEFORE), report(after))
    assert [c.significant for c in found.changes] == [True, False]
    assert found.changes[0].slower is slower
    assert found.changes[0].ratio.value == pytest.approx(factor, rel=0.03)
    assert bool(found.regressions(0.05)) is slower
    assert found.regressions(0.5) == []


def test_the_same_change_within_noise_is_not_seen() -> None:
    before = {("c", "a"): rounds(1e-3, 0.8, 1)}
    found = compare(report(before), report({("c", "a"): rounds(1.2e-3, 0.8, 3)}))
    assert not found.changes[0].significant


def test_what_only_one_of_them_has_is_told() -> None:
    found = compare(report(BEFORE), report({("e", "a"): (1.0, 1.0)}, machine="other"))
    assert found.changes == ()
    assert found.only_before == ("c [a]", "d [a]")
    assert found.only_after == ("e [a]",)
    assert not found.same_machine


def test_the_command_fails_on_a_regression_when_asked(tmp_path: Path) -> None:
    slow = {("c", "a"): rounds(1.5e-3, 0.02, 3), ("d", "a"): rounds(2e-3, 0.02, 4)}
    files = [tmp_path / "before.json", tmp_path / "after.json"]
    for path, figures in zip(files, (BEFORE, slow), strict=True):
        path.write_text(to_json(document(report(figures))))
    before, after = map(str, files)
    out = tmp_path / "out.json"
    runner = CliRunner()
    shown = runner.invoke(app, ["compare", before, after])
    assert shown.exit_code == 0
    assert "slower" in shown.output
    failed = runner.invoke(
        app, ["compare", before, after, "--fail-above", "0.1", "--json", str(out)]
    )
    assert failed.exit_code == 1
    assert json.loads(out.read_text())["failed"] == ["c [a]"]
    assert runner.invoke(app, ["compare", after, before, "--fail-above", "0.1"]).exit_code == 0


def test_a_report_is_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    whole = report(BEFORE | {("c", "b"): rounds(3e-3, 0.02, 5)})
    path.write_text(to_json(document(whole)))
    again = read(path)
    assert again.measurements == whole.measurements
    assert again.settings == whole.settings
    stored = {b["name"]: b for b in json.loads(path.read_text())["benchmarks"]}
    assert stored["c[b]"]["extra_info"]["ratios"]["a"]["value"] == pytest.approx(3, rel=0.05)
    assert stored["c[a]"]["stats"]["median"] == pytest.approx(whole.measurements[0].median)


def test_pytest_benchmark_reads_it_too(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = tmp_path / "report.json"
    path.write_text(to_json(document(report(BEFORE))))
    command = [sys.executable, "-m", "pytest_benchmark", "compare", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "c[a]" in done.stdout


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"bench": {}, "benchmarks": []}'])
def test_a_damaged_report_is_a_clear_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "report.json"
    path.write_text(text)
    with pytest.raises(ReportError, match=r"report\.json"):
        read(path)


def test_a_missing_report_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="No such file"):
        read(tmp_path / "none.json")
