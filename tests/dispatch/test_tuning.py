"""Selection by measurement: which kernel is chosen from which records, and who asked for it."""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np
import pytest

import dispatch
from dispatch.answer import No, NoCode, Yes
from dispatch.context import Settings
from dispatch.machine import machine_of, this_machine
from dispatch.selection import select
from dispatch.tuning.database import TuningWarning
from dispatch.tuning.record import Record, problem_digest
from dispatch.tuning.records import records
from dispatch.tuning.values import arrays_of
from tests.dispatch.tuning_fakes import CHEAP, DEAR, PROBLEM, SPEC, plant, record

X = np.array([-1.0, 0.0, 2.0, 3.0], np.float32)


def chosen(**settings) -> str:
    return select(PROBLEM, Settings(**settings)).kernel.name


def test_a_record_counts_only_where_it_is_asked_for(packs, file) -> None:
    plant(file, cheap=3.0, dear=1.0, plain=2.0)
    assert chosen() == CHEAP
    assert chosen(tuned=True) == DEAR


def test_the_order_of_all_candidates_is_that_of_the_times(packs, file) -> None:
    plant(file, cheap=3.0, dear=1.0, plain=2.0)
    decision = select(PROBLEM, Settings(tuned=True))
    assert [(c.kernel.name, c.seconds) for c in decision.candidates] == [
        (DEAR, 1.0),
        ("spare.relu.plain.f32", 2.0),
        (CHEAP, 3.0),
    ]


def test_a_time_is_never_compared_with_an_expectation(packs, file) -> None:
    plant(file, dear=1e-9, cheap=1.0)
    assert chosen(tuned=True) == CHEAP, "spare wasn't measured, so expected costs decide"
    assert chosen(tuned=True, packs=("vendor",)) == DEAR, "all that may serve were measured"


def test_the_hopeless_are_neither_measured_nor_waited_for(packs, file) -> None:
    packs["spare.relu.plain.f32"].answer = lambda problem: Yes(1.0)
    plant(file, dear=1e-9, cheap=1.0)
    assert chosen(tuned=True) == DEAR
    tuning = dispatch.tune(lambda: dispatch.relu(X), again=True, progress=False)
    assert tuning.measured == 1
    assert packs["spare.relu.plain.f32"].runs == 0
    assert packs[CHEAP].runs > 0 < packs[DEAR].runs


@pytest.mark.parametrize(
    "different",
    [
        {"machine": "another"},
        {"pack_version": "1.1"},
        {"library_version": "fake 1.0, another level"},
        {"problem": dispatch.Problem("relu", (SPEC,), (SPEC,), threads=2).to_json()},
    ],
    ids=lambda d: next(iter(d)),
)
def test_a_key_that_differs_in_one_part_is_no_record(packs, file, different) -> None:
    plant(file, cheap=3.0, plain=2.0)
    file.add([replace(record(DEAR, PROBLEM, 1.0), **different)])
    assert chosen(tuned=True) == CHEAP
    plant(file, dear=1.0)
    assert chosen(tuned=True) == DEAR


def test_a_kernel_that_refuses_is_not_chosen_by_its_record(packs, file) -> None:
    plant(file, cheap=3.0, dear=1.0, plain=2.0)
    packs[DEAR].answer = lambda p: No(NoCode.PRECISION, "precision", "medium")
    assert chosen(tuned=True) == "spare.relu.plain.f32"


def test_a_pinned_kernel_is_taken_whatever_was_measured(packs, file) -> None:
    plant(file, cheap=3.0, dear=1.0, plain=2.0)
    assert chosen(tuned=True, kernel=CHEAP) == CHEAP


def test_a_kernel_that_failed_comes_last(packs, file) -> None:
    plant(file, cheap=3.0, dear=math.inf, plain=2.0)
    assert chosen(tuned=True) == "spare.relu.plain.f32"
    plant(file, cheap=math.inf, plain=math.inf)
    assert chosen(tuned=True) == CHEAP, "where nothing ran, expected costs decide"


def test_fallback_means_the_same_with_records(packs, file) -> None:
    plant(file, cheap=3.0, dear=2.0, plain=1.0)
    decision = select(PROBLEM, Settings(tuned=True, fallback="error"))
    assert decision.kernel.name == "spare.relu.plain.f32"
    assert not decision.fallback, "a preference: the vendor's kernels said yes"


def test_tune_finds_the_faster_kernel_and_eager_calls_use_it(packs, file) -> None:
    with dispatch.using(threads=1, tuned=True):
        dispatch.relu(X)
        assert packs[CHEAP].runs == 1, "nothing was measured yet"
        found = dispatch.tune(lambda: dispatch.relu(X))
        assert found.measured == 1
        assert found.records[PROBLEM][0].kernel == DEAR
        before = packs[DEAR].runs
        assert dispatch.relu(X).tolist() == [0, 0, 2, 3]
        assert packs[DEAR].runs == before + 1, "the call of before is chosen for again"
    with dispatch.using(threads=1):
        before = packs[CHEAP].runs
        dispatch.relu(X)
        assert packs[CHEAP].runs == before + 1
    times = {r.kernel: r.seconds for r in found.records[PROBLEM]}
    assert 0.0005 <= times[DEAR] < 0.004 <= times[CHEAP]
    assert DEAR in str(found)
    assert found.to_dict()["problems"][0]["records"][0]["kernel"] == DEAR


def test_what_was_measured_is_not_measured_again_unless_asked(packs, file) -> None:
    with dispatch.using(threads=1):
        dispatch.tune(lambda: dispatch.relu(X))
        before = packs[DEAR].runs
        assert dispatch.tune(lambda: dispatch.relu(X)).measured == 0
        assert packs[DEAR].runs == before
        assert dispatch.tune(lambda: dispatch.relu(X), again=True).measured == 1
        assert packs[DEAR].runs > before


def test_every_problem_of_the_calls_is_tuned_even_one_called_before(packs, file) -> None:
    def calls() -> None:
        dispatch.relu(X)
        with dispatch.using(precision="highest"):
            dispatch.relu(dispatch.relu(X))

    with dispatch.using(threads=1):
        calls()
        found = dispatch.tune(calls, functools.partial(dispatch.relu, X[:2]))
    assert {(p.precision, p.inputs[0].shape) for p in found.records} == {
        ("high", (4,)),
        ("highest", (4,)),
        ("high", (2,)),
    }


def test_records_of_one_precision_say_nothing_of_another(packs, file) -> None:
    with dispatch.using(threads=1):
        dispatch.tune(lambda: dispatch.relu(X))
        with dispatch.using(tuned=True, precision="highest"):
            assert dispatch.explain(dispatch.relu, X).decision.kernel.name == CHEAP
        with dispatch.using(tuned=True, deterministic=True):
            assert dispatch.explain(dispatch.relu, X).decision.kernel.name == CHEAP
        with dispatch.using(tuned=True):
            assert dispatch.explain(dispatch.relu, X).decision.kernel.name == DEAR


def test_a_kernel_that_fails_is_recorded_as_such_once(packs, file) -> None:
    packs[DEAR].broken = True
    with dispatch.using(threads=1, tuned=True):
        found = dispatch.tune(lambda: dispatch.relu(X))
        assert {r.kernel for r in found.records[PROBLEM] if math.isinf(r.seconds)} == {DEAR}
        assert "failed" in str(dispatch.explain(dispatch.relu, X))
        assert dispatch.relu(X).tolist() == [0, 0, 2, 3]
    assert Record.from_dict(found.records[PROBLEM][-1].to_dict()).seconds == math.inf


def test_the_time_is_bounded_and_what_is_left_is_said(packs, file) -> None:
    calls = [functools.partial(dispatch.relu, np.zeros(n, np.float32)) for n in range(1, 5)]
    with dispatch.using(threads=1), pytest.warns(TuningWarning, match="3 of 4 problems"):
        found = dispatch.tune(*calls, seconds=0.03)
    assert found.measured == 1
    assert [p.inputs[0].shape for p in found.left] == [(2,), (3,), (4,)]


@pytest.mark.parametrize(
    ("calls", "more", "message"),
    [
        ((), {}, "at least one function"),
        ((X,), {}, "functions of no arguments"),
        ((lambda: dispatch.relu(X),), {"seconds": 0}, "seconds: expected a positive"),
        ((lambda: dispatch.relu(X),), {"seconds": math.nan}, "seconds: expected a positive"),
    ],
)
def test_wrong_arguments_are_named(packs, file, calls, more, message) -> None:
    with pytest.raises(dispatch.InvalidArgument, match=message):
        dispatch.tune(*calls, **more)


def test_tuned_is_true_or_false() -> None:
    with (
        pytest.raises(dispatch.InvalidArgument, match="tuned: expected True or False"),
        dispatch.using(tuned="yes"),  # type: ignore[arg-type]
    ):
        pass


def test_explain_shows_what_was_measured(packs, file) -> None:
    plant(file, cheap=3e-6, dear=1e-6, plain=2e-6)
    with dispatch.using(threads=1):
        assert "measured" not in str(dispatch.explain(dispatch.relu, X))
        with dispatch.using(tuned=True):
            told = dispatch.explain(dispatch.relu, X)
    assert "measured µs" in str(told)
    assert [c["seconds"] for c in told.to_dict()["candidates"]] == [1e-6, 2e-6, 3e-6]


def test_lent_records_stay_in_the_process_and_yield_to_own_ones(packs, file) -> None:
    slow = [record(k, PROBLEM, s) for k, s in ((CHEAP, 1.0), (DEAR, 2.0))]
    file.lend([*slow, record("spare.relu.plain.f32", PROBLEM, 3.0)])
    file.lend([record(DEAR, PROBLEM, 1e-9, machine="another")])
    assert chosen(tuned=True) == CHEAP
    assert file.database.read() == []
    plant(file, dear=0.5)
    assert chosen(tuned=True) == DEAR


def test_the_kernels_installed_here_are_all_measured_and_the_fastest_serves(file) -> None:
    x = np.random.default_rng(0).random((1, 8, 8, 8), np.float32)
    w = dispatch.constant(np.random.default_rng(1).random((8, 8, 3, 3), np.float32))
    expected = dispatch.conv2d(x, w, pads=1)
    with dispatch.using(tuned=True, threads=1):
        found = dispatch.tune(lambda: dispatch.conv2d(x, w, pads=1))
        decision = dispatch.explain(dispatch.conv2d, x, w, pads=1).decision
        (measured,) = found.records.values()
        yes = {c.kernel.name for c in decision.candidates if isinstance(c.answer, Yes)}
        assert {r.kernel for r in measured} == yes
        assert decision.kernel.name == measured[0].kernel
        np.testing.assert_allclose(dispatch.conv2d(x, w, pads=1), expected, rtol=1e-4, atol=1e-4)


def test_indices_are_drawn_within_every_axis() -> None:
    table = dispatch.TensorSpec("float32", (7, 3))
    indices = dispatch.TensorSpec("int64", (50,))
    problem = dispatch.Problem(
        "gather", (table, indices), (dispatch.TensorSpec("float32", (7, 50)),), (("axis", 1),)
    )
    _, drawn = arrays_of(problem)
    assert drawn is not None and set(drawn.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("name", ["log", "sqrt", "quantize_linear"])
def test_values_are_drawn_where_an_operator_is_defined_and_of_ordinary_size(name: str) -> None:
    x = dispatch.TensorSpec("float32", (500,))
    (drawn, *_) = arrays_of(dispatch.Problem(name, (x,), (x,)))
    assert drawn is not None and np.ptp(drawn) > 0.5
    assert np.all(np.abs(drawn) <= 1)
    assert name == "quantize_linear" or np.all(drawn >= 0)


def test_a_problem_has_one_digest_in_both_forms() -> None:
    assert problem_digest(PROBLEM) == problem_digest(PROBLEM.to_json())


CPUINFO = [
    "processor\t: 0",
    "model name\t: Fast CPU",
    "cpu MHz\t\t: 2596.123",
    "cache size\t: 1024 KB",
    "flags\t\t: fpu sse2 avx2 avx512f arat",
]


def test_the_machine_is_its_model_levels_cache_and_number() -> None:
    one = machine_of(CPUINFO, "x86_64", 2)
    assert machine_of([*CPUINFO[:2], "cpu MHz : 1", *CPUINFO[3:]], "x86_64", 2) == one
    assert machine_of([*CPUINFO[:4], "flags : newflag sse2 avx2 avx512f"], "x86_64", 2) == one
    different = [
        machine_of(["model name : Other", *CPUINFO[2:]], "x86_64", 2),
        machine_of([*CPUINFO[:4], "flags : sse2 avx2"], "x86_64", 2),
        machine_of([*CPUINFO[:3], "cache size : 512 KB", CPUINFO[4]], "x86_64", 2),
        machine_of(CPUINFO, "x86_64", 4),
        machine_of([], "aarch64", 2),
    ]
    assert len({one.id, *(m.id for m in different)}) == 6
    assert one.description == "Fast CPU, 2 CPUs, x86_64"


def test_the_machine_here_has_a_name() -> None:
    assert this_machine().id
    assert records() is records()
