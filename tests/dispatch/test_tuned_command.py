"""``python -m dispatch tuned``: tables, JSON and exit codes."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import dispatch
from dispatch.__main__ import app
from dispatch.errors import InvalidArgument
from dispatch.tuning.command import parse_age
from dispatch.tuning.upkeep import Finding, why_stale
from tests.dispatch.tuning_fakes import CHEAP, DEAR, PROBLEM, plant, record

HOUR = 3600.0


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["tuned", *words], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def test_list_shows_every_record_and_why_one_is_not_used(packs, file) -> None:
    plant(file, cheap=2e-6, dear=math.inf)
    file.database.write([record(DEAR, PROBLEM, 1e-6, machine="m2")], {"m2": "Other CPU"})
    file.database.write([record(DEAR, PROBLEM, 1e-6, library_version="fake 0.9")], {})
    table = run("list")
    assert "relu f32[4] -> f32[4] (1 thread)" in table
    assert "2.0" in table and "failed" in table and "Other CPU" in table
    assert "library fake 0.9, now fake 1.0" in table
    data = json.loads(run("list", "--json"))
    assert [bool(r["stale"]) for r in data].count(True) == 2
    assert {r["kernel"] for r in json.loads(run("list", "--json", "--kernel", CHEAP))} == {CHEAP}
    assert json.loads(run("list", "--json", "--operator", "conv2d")) == []


def test_verify_tells_what_is_off_and_renews_when_asked(packs, file) -> None:
    plant(file, cheap=0.0045, dear=0.1)  # of which the second is wrong
    out = json.loads(run("verify", "--json", code=1))
    assert {f["kernel"]: f["off"] for f in out["findings"]} == {CHEAP: False, DEAR: True}
    assert "1 of 2 records are off beyond noise" in run("verify", code=1)
    assert {r.seconds for r in file.database.read()} == {0.0045, 0.1}, "nothing was changed"
    run("verify", "--renew", code=1)
    assert "0 of 2 records are off" in run("verify")


def test_verify_leaves_out_what_is_not_about_here(packs, file) -> None:
    file.add([record(DEAR, PROBLEM, 1.0, machine="m2")])
    assert json.loads(run("verify", "--json"))["findings"] == []


def test_verify_is_bounded(packs, file) -> None:
    plant(file, cheap=0.0045)
    other = dispatch.TensorSpec("float32", (5,))
    file.add([record(CHEAP, replace(PROBLEM, inputs=(other,), outputs=(other,)), 0.0045)])
    out = json.loads(run("verify", "--json", "--seconds", "0"))
    assert (len(out["findings"]), out["not_verified"]) == (1, 1)


def test_prune_drops_what_nothing_here_can_use(packs, file) -> None:
    plant(file, cheap=1.0)
    file.add(
        [
            record("vendor.relu.gone.f32", PROBLEM, 1.0),
            record("gone.relu.fast.f32", PROBLEM, 1.0),
            record(DEAR, PROBLEM, 1.0, pack_version="0.9"),
            record(DEAR, PROBLEM, 1.0, machine="m2"),
            record(CHEAP, "no problem", 1.0),
        ]
    )
    assert len(json.loads(run("prune", "--dry-run", "--json"))["dropped"]) == 4
    assert len(file.database.read()) == 6
    assert "4 records dropped" in run("prune")
    assert {(r.kernel, r.machine == "m2") for r in file.database.read()} == {
        (CHEAP, False),
        (DEAR, True),
    }
    run("prune", "--all-machines")
    assert [r.kernel for r in file.database.read()] == [CHEAP]


def test_prune_drops_what_is_too_old(packs, file) -> None:
    now = time.time()
    file.add([record(CHEAP, PROBLEM, 1.0, measured_at=now - 32 * HOUR)])
    file.add([record(DEAR, PROBLEM, 1.0, measured_at=now - 10 * HOUR)])
    assert json.loads(run("prune", "--json"))["dropped"] == []
    (dropped,) = json.loads(run("prune", "--json", "--older-than", "1d"))["dropped"]
    assert dropped["kernel"] == CHEAP and "measured 1." in dropped["reason"]


@pytest.mark.parametrize(
    ("text", "seconds"), [("12h", 12 * HOUR), ("1.5d", 36 * HOUR), ("1w", 168 * HOUR)]
)
def test_an_age_is_read(text: str, seconds: float) -> None:
    assert parse_age(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "3x", "-1d", "d"])
def test_another_age_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="older-than"):
        parse_age(text)


def test_a_kernel_that_refuses_its_problem_now_makes_the_record_stale(packs, file) -> None:
    kept = record(DEAR, PROBLEM, 1.0)
    assert why_stale(kept) == ""
    packs[DEAR].answer = lambda p: dispatch.No(dispatch.NoCode.SHAPE, "x.shape", "<= 3")
    assert "refuses it now" in why_stale(kept)


@pytest.mark.parametrize(
    ("before", "now", "off"),
    [(1.0, 1.05, False), (1.0, 1.3, True), (1.3, 1.0, True), (1.0, math.inf, True),
     (math.inf, math.inf, False), (math.inf, 1.0, True)],
)  # fmt: skip
def test_what_is_off(before: float, now: float, off: bool) -> None:
    assert Finding(record(DEAR, PROBLEM, before), record(DEAR, PROBLEM, now)).off is off


def test_few_rounds_leave_more_in_doubt() -> None:
    early = record(DEAR, PROBLEM, 1.0, rounds=1)
    assert not Finding(early, record(DEAR, PROBLEM, 1.3)).off


@pytest.mark.parametrize("command", ["list", "verify", "prune"])
def test_help_has_an_example(command: str) -> None:
    assert f"python -m dispatch tuned {command}" in run(command, "--help")
