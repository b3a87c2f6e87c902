"""Plans by measured times: kernels, layouts and reorders; times that travel with a trace."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from dispatch.context import Settings
from dispatch.tuning import records as records_module
from dispatch.tuning.contest import Contest
from dispatch.tuning.database import Database
from dispatch.tuning.race import Effort
from dispatch.tuning.record import Record
from dispatch.tuning.records import Records
from runtime.errors import ArtifactError
from runtime.passes.pipeline import prepare
from runtime.plan.measure import contests
from runtime.safetensors import read, write

X = np.random.default_rng(0).standard_normal((1, 16, 12, 12)).astype(np.float32)
W = np.random.default_rng(1).uniform(-0.1, 0.1, (16, 16, 3, 3)).astype(np.float32)


def function(x: Any) -> Any:
    return dispatch.relu(dispatch.conv2d(dispatch.relu(dispatch.conv2d(x, W, pads=1)), W, pads=1))


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Records]:
    """A file of records of its own for the test."""
    from runtime.plan import options

    made = Records(Database(tmp_path / "cache" / "tuned.sqlite3"))
    monkeypatch.setattr(records_module, "_records", made)
    options.forget()
    yield made
    options.forget()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure for a moment only: these tests aren't about how good the times are."""
    monkeypatch.setattr(
        "dispatch.tuning.tune.Effort", lambda: Effort(seconds=0.001, round_seconds=1e-5, rounds=1)
    )


def all_contests(trace: runtime.Trace, **more: Any) -> list[Contest]:
    with dispatch.using(threads=1, tuned=True, **more) as settings:
        graph = prepare(trace.graph)
        return contests(graph, {i.name: i.example for i in graph.inputs}, settings)


def plant(file: Records, trace: runtime.Trace, seconds: Any) -> None:
    """Say how long each contestant takes: ``seconds(kernel, problem)``."""
    for _ in range(3):  # other times may lead to other fusions
        for contest in all_contests(trace):
            file.add(
                [
                    planted(c.kernel.name, c.problem, seconds(c.kernel.name, c.problem))
                    for c in contest.contestants
                ]
            )


def planted(kernel: str, problem: dispatch.Problem, seconds: float) -> Record:
    from dispatch.machine import this_machine

    pack = next(p for p in dispatch.packs() if p.name == kernel.partition(".")[0])
    return Record(
        this_machine().id, pack.version, pack.library_version, kernel, problem.to_json(), seconds,
        0.0, 9, 1e9,
    )  # fmt: skip


def kernels(replay: runtime.Replay) -> list[str]:
    return [step["kernel"] for step in replay.plan().data["steps"]]


def layouts(replay: runtime.Replay) -> set[str]:
    return {
        t.layout
        for option in replay.plan().options
        for t in (*option.problem.inputs, *option.problem.outputs)
        if t is not None and not t.constant
    }


def test_a_plan_takes_the_kernels_that_were_measured_to_be_fast(file: Records) -> None:
    trace = runtime.trace(function, X)
    wanted = "portable.conv2d.implicit_gemm.f32"
    plain = trace.compile(threads=1)
    plant(file, trace, lambda kernel, problem: 1e-6 if kernel == wanted else 1e-3)
    tuned = trace.compile(threads=1, tuned=True)
    assert [k for k in kernels(tuned) if ".conv2d." in k] == [wanted] * 2
    assert kernels(trace.compile(threads=1)) == kernels(plain), "nobody asked for it"
    with dispatch.using(tuned=True):
        assert kernels(trace.compile(threads=1)) == kernels(tuned)
    np.testing.assert_allclose(tuned(X), plain(X), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("reorder", [1e-9, 1.0])
def test_layouts_follow_from_measured_kernels_and_reorders(file: Records, reorder: float) -> None:
    trace = runtime.trace(function, X)
    blocked = {
        c.problem.inputs[0].layout
        for contest in all_contests(trace)
        for c in contest.contestants
        if contest.problem.operator == "conv2d" and c.problem.inputs[0] is not None
    } - {"nchw"}
    if not blocked:
        pytest.skip("no kernel here works on another layout than nchw")
    liked = min(blocked)

    def seconds(kernel: str, problem: dispatch.Problem) -> float:
        if problem.operator == "reorder":
            return reorder
        same = all(t is None or t.constant or t.layout == liked for t in problem.tensors)
        return 1e-6 if same else 1e-3

    plant(file, trace, seconds)
    replay = trace.compile(threads=1, tuned=True)
    reorders = [k for k in kernels(replay) if ".reorder." in k]
    if reorder < 1e-6:
        assert liked in layouts(replay) and len(reorders) == 2
    else:
        assert layouts(replay) == {"nchw"} and not reorders
    np.testing.assert_allclose(replay(X), function(X), rtol=1e-3, atol=1e-4)


def test_what_was_not_measured_goes_by_its_cost(file: Records) -> None:
    trace = runtime.trace(function, X)
    plain = trace.compile(threads=1)
    for contest in all_contests(trace):
        best, *others = contest.contestants
        file.add([planted(c.kernel.name, c.problem, 1e-12) for c in others])
        assert file.find("", "", best.kernel.name, best.problem) is None
    assert kernels(trace.compile(threads=1, tuned=True)) == kernels(plain)


def test_compile_measures_once_what_planning_chooses_between(file: Records, quick: None) -> None:
    trace = runtime.trace(function, X)
    replay = trace.compile(threads=1, tune=True)
    np.testing.assert_allclose(replay(X), function(X), rtol=1e-3, atol=1e-4)
    known = {record.key for record in file.database.read()}
    for contest in all_contests(trace):
        for c in contest.contestants:
            assert planted(c.kernel.name, c.problem, 1.0).key in known
    operators = {c.problem.operator for c in all_contests(trace)}
    assert {"conv2d", "relu"} <= operators
    assert replay.tune().measured == 0
    assert len(file.database.read()) == len(known)
    for row, option in zip(replay.explain().rows, replay.plan().options, strict=True):
        assert option.kernel is not None
        found = next(
            r
            for r in file.database.read()
            if r.kernel == option.kernel.name and r.problem == option.problem.to_json()
        )
        assert row.expected_seconds == found.seconds


def test_other_shapes_are_tuned_when_asked_and_plans_made_anew(file: Records, quick: None) -> None:
    trace = runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, W, pads=1)), X)
    replay = trace.compile(threads=1)
    before = replay.plan(x=(1, 16, 20, 20))
    found = replay.tune(x=(1, 16, 20, 20))
    assert found.measured > 0
    assert all(p.outputs[0].shape[2:] == (20, 20) for p in found.records)
    assert replay.plan(x=(1, 16, 20, 20)) is not before


def test_precision_and_packs_bind_as_ever(file: Records) -> None:
    trace = runtime.trace(function, X)
    plant(file, trace, lambda kernel, problem: 1e-9 if "winograd" in kernel else 1e-3)
    tuned = trace.compile(threads=1, tuned=True)
    assert any("winograd" in k for k in kernels(tuned)), "the records are used"
    strict = trace.compile(threads=1, tuned=True, precision="highest")
    assert not any("winograd" in k for k in kernels(strict))
    held = trace.compile(threads=1, tuned=True, packs="portable")
    assert all(k.startswith("portable.") for k in kernels(held))


# ---- Times that travel with a trace ------------------------------------------------------------


@pytest.fixture
def saved(file: Records, tmp_path: Path) -> Path:
    trace = runtime.trace(function, X)
    wanted = "portable.conv2d.implicit_gemm.f32"
    plant(file, trace, lambda kernel, problem: 1e-6 if kernel == wanted else 1e-3)
    path = tmp_path / "tuned.safetensors"
    trace.save(path, tuned=[trace.compile(threads=1, tuned=True)])
    return path


def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Records:
    """Go on as a user who has no records."""
    made = Records(Database(tmp_path / "elsewhere" / "tuned.sqlite3"))
    monkeypatch.setattr(records_module, "_records", made)
    records_module._tell()
    return made


def test_a_saved_trace_brings_its_times(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    here = elsewhere(monkeypatch, tmp_path)
    trace = runtime.load(saved)
    plain = trace.compile(threads=1)
    tuned = trace.compile(threads=1, tuned=True)
    assert [k for k in kernels(tuned) if ".conv2d." in k] == [
        "portable.conv2d.implicit_gemm.f32"
    ] * 2
    assert kernels(plain) != kernels(tuned)
    assert here.database.read() == [], "they stay with the trace"
    np.testing.assert_allclose(tuned(X), function(X), rtol=1e-3, atol=1e-4)


def rewritten(path: Path, change: Any) -> Path:
    tensors, metadata = read(path)
    data = json.loads(metadata["tuned"])
    data = change(data) or data
    target = path.with_name("changed.safetensors")
    write(target, tensors, {**metadata, "tuned": json.dumps(data)})
    return target


@pytest.mark.parametrize("field", ["machine", "pack_version", "library_version"])
def test_times_of_another_machine_or_version_are_ignored(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, field: str
) -> None:
    def change(data: Any) -> None:
        for record in data["records"]:
            record[field] = "another"

    elsewhere(monkeypatch, tmp_path)
    trace = runtime.load(rewritten(saved, change))
    assert trace.tuned
    assert kernels(trace.compile(threads=1, tuned=True)) == kernels(trace.compile(threads=1))


def test_times_of_another_format_are_ignored(saved: Path) -> None:
    def change(data: Any) -> Any:
        return {"format": 99, "anything": "else"}

    assert runtime.load(rewritten(saved, change)).tuned == ()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["records"][0].update(seconds=-1),
        lambda data: data["records"][0].update(problem=10**6),
        lambda data: data["records"][0].update(problem=-(10**6)),
        lambda data: data["records"][0].update(kernel="nonsense"),
        lambda data: data["records"][0].pop("spread"),
        lambda data: data.update(records=3),
        lambda data: data.pop("problems"),
        lambda data: [1],
    ],
)
def test_damaged_times_are_a_damaged_file(saved: Path, change: Any) -> None:
    with pytest.raises(ArtifactError, match="damaged"):
        runtime.load(rewritten(saved, lambda data: change(data) if change(data) == [1] else None))


def test_other_machines_times_are_carried_on(
    saved: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None
) -> None:
    trace = runtime.load(saved)
    foreign = tuple(replace(record, machine="another") for record in trace.tuned)
    moved = replace(trace, tuned=foreign)
    elsewhere(monkeypatch, tmp_path)
    replay = moved.compile(threads=1, tune=True)
    moved.save(tmp_path / "both.safetensors", tuned=[replay])
    both = runtime.load(tmp_path / "both.safetensors").tuned
    assert {r.machine for r in both} == {"another", next(iter(trace.tuned)).machine}
    assert {r.key for r in foreign} <= {r.key for r in both}
    trace.save(tmp_path / "without.safetensors")
    assert runtime.load(tmp_path / "without.safetensors").tuned == ()


def test_times_are_saved_for_replays_of_the_trace_alone(file: Records, tmp_path: Path) -> None:
    one, other = runtime.trace(function, X), runtime.trace(function, X)
    with pytest.raises(ArtifactError, match="replays of this trace"):
        one.save(tmp_path / "x.safetensors", tuned=[other.compile(threads=1)])


def test_infinite_times_travel_too(saved: Path) -> None:
    def change(data: Any) -> None:
        data["records"][0]["seconds"] = None

    assert math.isinf(runtime.load(rewritten(saved, change)).tuned[0].seconds)


def test_settings_know_that_they_are_tuned() -> None:
    assert Settings() != Settings(tuned=True)
