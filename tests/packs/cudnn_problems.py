"""Problems that the tests of the pack for NVIDIA GPUs share."""

from __future__ import annotations

import itertools
from dataclasses import replace

from bench.case import cases_of
from dispatch.conformance.runner import conformance_cases, questions
from dispatch.operators import operators

CAPABILITIES = (75, 80, 90, 100)
CASES = 40


def problems(name, dtype, count=CASES):
    cases = itertools.islice(conformance_cases(operators()[name], 0), count)
    return [question.problem for question in questions(operators()[name], dtype, "nvidia", cases)]


def resnet50(dtype, layout, **changes):
    """Return ResNet-50's convolutions with images in a layout."""
    for case in cases_of("conv2d", "resnet50", dtype):
        problem = replace(case.problem, device="nvidia", **changes)
        layouts = [layout if t is not None and t.rank == 4 else "" for t in problem.tensors]
        yield problem.with_layouts(tuple(layouts))
