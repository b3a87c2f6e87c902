from collections import Counter
from collections.abc import Callable

import pytest

from bench.alternation import Clock, Rounds, Schedule, Turn, alternate, order


class Machine:
    """Engines with given times on a clock of its own."""

    def __init__(self, seconds: dict[str, Callable[[int], float]], busy: float = 0.0) -> None:
        self.seconds, self.busy = seconds, busy
        self.now, self.log = 0.0, []  # type: float, list[tuple[str, int, int]]

    def run(self, engine: str, iterations: int, warm: int) -> Turn:
        self.log.append((engine, iterations, warm))
        once = self.seconds[engine](len(self.log))
        wall = once * (1 + self.busy)
        self.now += wall * (iterations + warm)
        return Turn(wall, once)

    def measure(self, schedule: Schedule) -> Rounds:
        return alternate(list(self.seconds), self.run, schedule, lambda: self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def noisy(middle: float, part: float) -> Callable[[int], float]:
    return lambda number: middle * (1 + part * ((number * 2654435761 % 1000) / 500 - 1))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_engine_takes_every_place_equally_often(count: int) -> None:
    engines = [f"e{i}" for i in range(count)]
    places = Counter(
        (engine, place)
        for number in range(2 * count)
        for place, engine in enumerate(order(engines, number))
    )
    assert set(places.values()) == {2}
    assert len(places) == count * count


def test_engines_alternate_within_every_round() -> None:
    machine = Machine({"a": lambda _: 1e-3, "b": lambda _: 2e-3})
    rounds = machine.measure(Schedule(seconds=1, round_seconds=1e-3, least=4, most=4, precision=0))
    timed = [engine for engine, _, _ in machine.log[-8:]]
    assert timed == ["a", "b", "b", "a", "b", "a", "a", "b"]
    assert rounds.count == 4


def test_rounds_are_as_long_as_asked() -> None:
    machine = Machine({"fast": lambda _: 1e-5, "slow": lambda _: 0.1})
    rounds = machine.measure(Schedule(seconds=1, round_seconds=5e-3, least=2))
    assert rounds.iterations == {"fast": 500, "slow": 1}


def test_narrow_ratios_stop_early_and_wide_ones_take_the_budget() -> None:
    steady = Machine({"a": lambda _: 1e-3, "b": lambda _: 2e-3})
    assert steady.measure(Schedule(seconds=10, least=7)).count == 7
    assert steady.now < 1
    wild = Machine({"a": noisy(1e-3, 0.5), "b": noisy(2e-3, 0.5)})
    rounds = wild.measure(Schedule(seconds=3, least=7, precision=1e-6))
    assert rounds.count > 50
    assert 3 <= wild.now < 3.5


def test_disturbed_rounds_are_left_out_of_every_engine() -> None:
    quiet, disturbed = Turn(1.0, 1.0), Turn(2.0, 1.0)
    rounds = Rounds(
        {"a": 1, "b": 1},
        {"a": [quiet, disturbed, quiet, quiet], "b": [quiet, quiet, quiet, disturbed]},
    )
    assert rounds.quiet() == [0, 2]
    figures = rounds.figures(Clock.AUTO, threads=1, least=2)
    assert figures.seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    assert (figures.clock, figures.left_out, figures.busy) == (Clock.WALL, 2, False)


def test_waiting_for_a_cpu_decides_where_it_is_known() -> None:
    # CPU time that is as coarse as the tick, of two threads that had their CPUs or hadn't.
    quiet, coarse, waited = Turn(1.0, 2.6, 0.0), Turn(1.0, 1.4, 0.04), Turn(1.0, 2.0, 0.06)
    rounds = Rounds({"a": 1, "b": 1}, {"a": [quiet, coarse, waited], "b": [quiet, quiet, quiet]})
    assert rounds.quiet() == [0, 1]
    assert rounds.quietness() == pytest.approx([1.0, 0.96, 0.94])


def test_a_busy_machine_is_given_more_time_and_then_cpu_time_counts() -> None:
    machine = Machine({"a": lambda _: 1e-3, "b": lambda _: 3e-3})
    plain = machine.run

    def run(engine: str, iterations: int, warm: int) -> Turn:
        machine.busy = 4.0 if len(machine.log) % 3 else 0.0
        return plain(engine, iterations, warm)

    schedule = Schedule(seconds=0.5, least=100, most=60)
    rounds = alternate(["a", "b"], run, schedule, lambda: machine.now, machine.sleep)
    figures = rounds.figures(Clock.AUTO, threads=1, least=100)
    assert figures.busy
    assert figures.clock is Clock.CPU
    assert set(figures.seconds["a"]) == {1e-3}
    assert set(figures.seconds["b"]) == {3e-3}


def test_several_threads_keep_the_wall_clock_and_the_quietest_rounds() -> None:
    turns = [Turn(1.0 + i, 2.0) for i in range(5)]
    figures = Rounds({"a": 1}, {"a": turns}).figures(Clock.AUTO, threads=2, least=3)
    assert figures.clock is Clock.WALL
    assert figures.seconds == {"a": [1.0, 2.0, 3.0]}
    assert figures.busy


def test_the_clock_may_be_chosen() -> None:
    rounds = Rounds({"a": 1}, {"a": [Turn(4.0, 2.0)] * 3})
    assert rounds.figures(Clock.CPU, 2, 1).seconds == {"a": [1.0] * 3}
    assert rounds.figures(Clock.WALL, 1, 1).seconds == {"a": [4.0] * 3}
