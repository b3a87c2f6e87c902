"""Every kernel of every installed pack, at every level, operator by operator."""

from __future__ import annotations

from functools import cache

import pytest

from dispatch.conformance.packs import Skipped, check_pack, open_subject, targets
from dispatch.contract import KernelName
from dispatch.operators import operators
from tests.conformance.failures import MOST, failures_of

RANDOM_CASES = 4
MACHINES = {"LIBRARY", "CPU_FEATURE"}


@cache
def _opened(target):
    return open_subject(target)


@pytest.mark.parametrize("target", targets(), ids=lambda t: str(t).replace(", ", "-"))
@pytest.mark.parametrize("name", operators())
def test_kernels_conform(target, name):
    subject = _opened(target)
    if isinstance(subject, Skipped):
        pytest.skip(subject.reason)
    names = [k.name for k in subject.kernels if KernelName.parse(k.name).operator == name]
    if not names and not subject.fallback:
        pytest.skip(f"{target} has no kernel for {name}")
    summary = check_pack(target, operator=name, count=RANDOM_CASES)
    wrong = failures_of(summary)
    assert not wrong, "\n".join(wrong[:MOST])
    assert {report.kernel for report in summary.kernels} == set(names)
    for report in summary.kernels:
        # A kernel that never ran must have been kept from it by the machine.
        assert report.runs or MACHINES & set(report.codes), f"{report.kernel} served no case"
        # Others may be off by one; what everything falls back on is the reference itself.
        assert not (subject.fallback and report.inexact), f"{report.kernel} isn't exact"
