"""Timing in turns, on a clock that is made up."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dispatch.errors import KernelFailed
from dispatch.tuning.race import Effort, Entrant, race


class World:
    """Time passes when something runs, and a disturbance can be ordered."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lost = 0.0
        self.runs: list[tuple[str, int]] = []
        self.disturb: Callable[[str, int], float] = lambda name, number: 0.0

    def entrant(self, name: str, seconds: float, group: str = "", fail_at: int = -1) -> Entrant:
        count = 0

        def run(iterations: int) -> None:
            nonlocal count
            extra = self.disturb(name, count)
            count += 1
            if count == fail_at:
                raise KernelFailed("on purpose")
            self.runs.append((name, iterations))
            self.now += seconds * iterations + extra
            self.lost += extra

        return Entrant(run, group)

    def race(self, *entrants: Entrant, effort: Effort | None = None):
        return race(entrants, effort or Effort(), lambda: self.now, lambda: self.lost)

    def count(self, name: str) -> int:
        return sum(n == name for n, _ in self.runs)


@given(st.lists(st.floats(1e-7, 1.0), min_size=1, max_size=12))
def test_each_time_is_found_and_the_fastest_wins(times: list[float]) -> None:
    world = World()
    found = world.race(*(world.entrant(str(i), t) for i, t in enumerate(times)))
    for seconds, timing in zip(times, found, strict=True):
        assert timing.seconds == pytest.approx(seconds, rel=1e-5)
    best = min(range(len(times)), key=lambda i: found[i].seconds)
    assert times[best] == pytest.approx(min(times), rel=1e-5)


@given(
    st.lists(st.floats(1e-4, 1e-2), min_size=2, max_size=8),
    st.lists(st.floats(0.0, 0.05), min_size=1, max_size=50),
)
@example([0.0078125, 0.0008878146479337825, 0.0006075041897520082], [0.03125, 0.046875, 0.0, 0.0])
def test_a_disturbance_is_not_taken_for_a_slow_kernel(
    times: list[float], noise: list[float]
) -> None:
    world = World()
    world.disturb = lambda name, number: (
        noise[(number * 7 + int(name)) % len(noise)] * (number % 3 != 0)
    )
    found = world.race(*(world.entrant(str(i), t) for i, t in enumerate(times)))
    best = min(range(len(times)), key=lambda i: found[i].seconds)
    assert times[best] <= min(times) * 1.06


def test_a_first_run_that_was_disturbed_is_repeated() -> None:
    world = World()
    world.disturb = lambda name, number: 0.09 * (name == "fast" and number == 0)
    slow, fast = world.race(world.entrant("slow", 2e-3), world.entrant("fast", 1e-3))
    assert fast.seconds == pytest.approx(1e-3)
    assert slow.seconds == pytest.approx(2e-3)


def test_the_hopeless_leave_early_and_the_close_stay() -> None:
    world = World()
    world.race(
        world.entrant("best", 1e-3),
        world.entrant("close", 1.01e-3),
        world.entrant("behind", 1.5e-3),
        world.entrant("slow", 5e-3),
        world.entrant("hopeless", 1.0),
    )
    assert world.count("hopeless") == 1, "it isn't even warmed up"
    assert world.count("slow") <= world.count("behind") < world.count("close")
    assert world.count("best") == world.count("close") >= Effort().rounds


def test_each_class_keeps_its_leader() -> None:
    world = World()
    found = world.race(
        world.entrant("a", 1e-3, "nchw"),
        world.entrant("b", 3e-3, "nhwc"),
        world.entrant("c", 9e-3, "nhwc"),
    )
    assert world.count("b") == world.count("a"), "with reorders around a, b may still be better"
    assert world.count("c") < world.count("b")
    assert found[1].rounds >= Effort().rounds


def test_a_round_is_long_enough_for_the_clock() -> None:
    world = World()
    world.race(world.entrant("tiny", 1e-6), effort=Effort(round_seconds=0.002))
    assert world.runs[-1][1] == pytest.approx(2000, rel=0.01)


def test_the_order_turns() -> None:
    world = World()
    world.race(*(world.entrant(name, 3e-3) for name in "ab"))
    rounds = [name for name, _ in world.runs][6:]
    firsts = rounds[::2]
    assert firsts.count("a") == pytest.approx(firsts.count("b"), abs=1)


@pytest.mark.parametrize("fail_at", [1, 2, 5])
def test_a_failure_ends_its_own_race_alone(fail_at: int) -> None:
    world = World()
    found = world.race(world.entrant("bad", 1e-4, fail_at=fail_at), world.entrant("good", 1e-3))
    assert math.isinf(found[0].seconds) and found[0].rounds == 0
    assert found[1].seconds == pytest.approx(1e-3)


def test_nothing_to_run_is_no_race() -> None:
    assert race([], Effort()) == []
    assert math.isinf(race([Entrant(lambda n: None, failed=True)], Effort())[0].seconds)


def test_no_disturbance_excuses_the_hopeless() -> None:
    world = World()
    world.disturb = lambda name, number: 1.0 if name == "hopeless" else 0.0
    world.race(world.entrant("best", 1e-3), world.entrant("hopeless", 5.0))
    assert world.count("hopeless") == 1


def test_the_time_is_bounded_on_a_machine_that_is_never_quiet() -> None:
    world = World()
    world.disturb = lambda name, number: 1e-3
    effort = Effort(seconds=0.5)
    found = world.race(world.entrant("a", 1e-3), world.entrant("b", 2e-3), effort=effort)
    assert world.now < 4 * effort.seconds
    assert [t.rounds for t in found] == [0, 0]
    assert found[0].seconds < found[1].seconds
