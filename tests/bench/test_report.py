import io

import pytest
from rich.console import Console

from bench.report import print_report, ratio_lines
from tests.bench.fakes import report

FIGURES = {
    ("c", "a"): (2.0,),
    ("c", "b"): (4.0,),
    ("c", "ours"): (3.0,),
    ("d", "a"): (9.0,),
    ("d", "b"): (3.0,),
    ("d", "ours"): (2.0,),
    ("e", "ours"): (5.0,),
}


def shown(figures: dict[tuple[str, str], tuple[float, ...]]) -> str:
    to = io.StringIO()
    print_report(report(figures), Console(file=to, width=200), "a")
    return to.getvalue()


def test_engines_are_compared_with_the_best_of_the_others_case_by_case() -> None:
    lines = {engine: rest for engine, *rest in ratio_lines(report(FIGURES), None)}
    assert lines["ours"] == [pytest.approx((3 / 2 * 2 / 3) ** 0.5), "c", pytest.approx(3 / 2)]
    assert lines["a"] == [pytest.approx((2 / 3 * 9 / 2) ** 0.5), "d", pytest.approx(9 / 2)]


def test_with_a_base_the_others_are_compared_with_it() -> None:
    lines = {engine: rest for engine, *rest in ratio_lines(report(FIGURES), "a")}
    assert set(lines) == {"b", "ours"}
    assert lines["ours"][0] == pytest.approx((3 / 2 * 2 / 9) ** 0.5)


def test_the_best_of_the_others_is_shown_where_there_are_several() -> None:
    assert "÷ the best of the others" in shown(FIGURES)
    two = {key: values for key, values in FIGURES.items() if key[1] != "b"}
    assert "÷ the best of the others" not in shown(two)
