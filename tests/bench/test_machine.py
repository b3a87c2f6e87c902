from pathlib import Path

import pytest

from bench import machine
from bench.case import cases_of
from bench.machine import Limits, limit_seconds
from dispatch.machine import this_machine

LIMITS = Limits("m", 1, {8: 1e11, 16: 2e11}, ((2**14, 4e11), (2**20, 1e11), (2**26, 1e10)))


def test_the_bandwidth_follows_the_working_set() -> None:
    assert LIMITS.peak == 2e11
    assert LIMITS.bytes_a_second(1) == 4e11
    assert LIMITS.bytes_a_second(2**14) == 4e11
    assert LIMITS.bytes_a_second(2**17) == pytest.approx(2.5e11)
    assert LIMITS.bytes_a_second(2**30) == 1e10


def test_what_binds() -> None:
    convolution = cases_of("conv2d", "resnet50")[2].problem
    seconds, binds = limit_seconds(convolution, LIMITS)
    assert binds == "FMA"
    assert seconds == pytest.approx(2 * 64 * 56 * 56 * 64 * 9 / 2e11)
    relu = cases_of("relu", "elementwise")[2].problem
    seconds, binds = limit_seconds(relu, LIMITS)
    assert binds == "memory"
    assert seconds == pytest.approx(2 * 4 * 8 * 64 * 224 * 224 / 1e10)


def test_other_dtypes_are_held_to_the_bandwidth() -> None:
    assert limit_seconds(cases_of("conv2d", "resnet50", "bf16")[2].problem, LIMITS)[1] == "memory"


def test_the_peaks_are_measured() -> None:
    found = machine.measure(1, sizes=(2**14, 2**20), seconds=0.01)
    assert found.machine == this_machine().id
    assert found.peak > 1e8
    assert [size for size, _ in found.bandwidth] == [2**14, 2**20]
    assert all(rate > 1e7 for _, rate in found.bandwidth)


def test_they_are_kept_and_only_get_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = iter(
        [
            Limits("m", 1, {8: 1.0}, ((16, 2.0),)),
            Limits("m", 1, {8: 0.5}, ((16, 3.0),)),
            Limits("m", 1, {8: 7.0}, ((16, 7.0),)),
        ]
    )
    monkeypatch.setattr(machine, "measure", lambda threads: next(made))
    assert machine.measured(1).flops == {8: 1.0}
    assert machine.measured(1).flops == {8: 1.0}
    assert machine.measured(1, again=True) == Limits("m", 1, {8: 1.0}, ((16, 3.0),))
    machine.cache_path(1).write_text("damaged")
    assert machine.measured(1).flops == {8: 7.0}
