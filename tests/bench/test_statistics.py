import math

import numpy as np
import pytest

from bench.statistics import geometric_mean, paired_ratio, relative_spread


def test_a_ratio_of_constant_times_is_exact() -> None:
    ratio = paired_ratio([3.0] * 9, [2.0] * 9)
    assert (ratio.value, ratio.low, ratio.high) == (1.5, 1.5, 1.5)
    assert ratio.half_width == 0


def test_a_ratio_survives_a_machine_that_slows_down() -> None:
    mood = np.geomspace(1, 10, 31)
    rng = np.random.default_rng(1)
    base = mood * (1 + 0.01 * rng.standard_normal(31))
    other = 1.2 * mood * (1 + 0.01 * rng.standard_normal(31))
    ratio = paired_ratio(list(other), list(base))
    assert ratio.value == pytest.approx(1.2, rel=0.01)
    assert ratio.low <= 1.2 <= ratio.high
    assert ratio.half_width < 0.02


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(200):
        ratio = paired_ratio(list(rng.lognormal(0.1, 0.05, 25)), [1.0] * 25)
        held += ratio.low <= math.exp(0.1) <= ratio.high
    assert 180 <= held < 200


def test_a_wider_spread_gives_a_wider_interval() -> None:
    rng = np.random.default_rng(3)
    noise = rng.standard_normal(21)
    narrow = paired_ratio(list(1 + 0.01 * noise), [1.0] * 21)
    wide = paired_ratio(list(1 + 0.1 * noise), [1.0] * 21)
    assert wide.half_width > 5 * narrow.half_width


@pytest.mark.parametrize(("a", "b"), [([], []), ([1.0], [1.0, 2.0])])
def test_rounds_must_pair(a: list[float], b: list[float]) -> None:
    with pytest.raises(ValueError, match="rounds"):
        paired_ratio(a, b)


def test_geometric_mean() -> None:
    assert geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert math.isnan(geometric_mean([]))


def test_relative_spread() -> None:
    assert relative_spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)
    assert relative_spread([7.0, 7.0]) == 0
