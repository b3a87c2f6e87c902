"""Problems that contradict themselves, and a kernel that serves them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dispatch.answer import Yes
from dispatch.conformance import Subject, check_kernels, conformance_cases
from dispatch.conformance.hostile import is_consistent, mutations, sample
from dispatch.conformance.problems import ask
from dispatch.errors import UnsupportedDtype
from dispatch.operators import operators

from .fake_pack import FakeKernel, plain


def problems(name):
    """Give an operator's boundary problems and some random ones."""
    operator = operators()[name]
    for case in conformance_cases(operator, 5):
        try:
            yield ask(operator, case, operator.dtypes[0], "cpu", 1).problem
        except UnsupportedDtype:
            continue


@pytest.mark.parametrize("name", operators())
def test_own_cases_are_consistent(name):
    found = list(problems(name))
    assert found
    for problem in found:
        assert is_consistent(operators()[name], problem), problem


@pytest.mark.parametrize("name", operators())
def test_cases_have_wrong_neighbours(name):
    for problem in problems(name):
        wrong = sample(operators()[name], problem, 8, seed=1)
        assert len(wrong) == 8 or len(problem.inputs[0].shape) == 0
        assert all(other != problem for _, other in wrong)


def test_neighbour_that_is_right_is_no_contradiction():
    problem = next(problems("relu"))
    (extent,) = problem.inputs[0].shape
    grown = [replace(t, shape=(extent + 1,)) for t in problem.tensors]
    assert is_consistent(
        operators()["relu"], replace(problem, inputs=(grown[0],), outputs=(grown[1],))
    )
    assert not is_consistent(operators()["relu"], replace(problem, inputs=(grown[0],)))


def test_everything_of_a_convolution_is_changed():
    problem = list(problems("conv2d"))[1]
    labels = " ".join(what for what, _ in mutations(problem))
    for part in ("inputs[0]", "inputs[1]", "outputs[0]", "dtype", "rank 0", "pads", "missing"):
        assert part in labels
    for name in ("strides", "pads", "dilations", "groups"):
        assert f"{name} missing" in labels


def test_kernel_that_serves_contradictions_is_found():
    kernel = FakeKernel(answer=lambda problem: Yes(cost=1.0, layouts=("nchw",) * 2))
    (report,) = check_kernels(Subject("fake", [kernel]), 2).kernels
    assert report.hostile > 50
    assert any(failure.what.startswith("CONSISTENCY") for failure in report.failures)


def test_kernel_that_raises_at_contradictions_is_found():
    def answer(problem):
        assert is_consistent(operators()["relu"], problem)
        return plain(problem) or Yes(cost=1.0)

    (report,) = check_kernels(Subject("fake", [FakeKernel(answer=answer)]), 2).kernels
    assert {what.what.split()[1] for what in report.failures} == {"raises"}


def test_sampling_is_the_same_every_time():
    operator = operators()["matmul"]
    problem = next(problems("matmul"))
    assert sample(operator, problem, 5, seed=3) == sample(operator, problem, 5, seed=3)
    assert np.all([not is_consistent(operator, p) for _, p in sample(operator, problem, 5, 3)])
