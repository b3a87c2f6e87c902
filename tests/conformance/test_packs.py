"""Every kernel of every installed pack, at every level, operator by operator."""

from __future__ import annotations

from functools import cache

import pytest

from dispatch.conformance.packs import Skipped, check_pack, open_subject, targets
from dispatch.contract import KernelName
from dispatch.operators import operators

RANDOM_CASES = 4


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
    wrong = [
        f"{report.kernel}: {failure.case}: {failure.what}\n  {failure.problem}"
        for report in summary.kernels
        for failure in report.failures
    ]
    wrong += [f"{hole.case}: {hole.what}" for hole in summary.holes]
    assert not wrong, "\n".join(wrong[:10])
    assert [report.kernel for report in summary.kernels if report.runs] == sorted(
        names, key=[report.kernel for report in summary.kernels].index
    ), "a kernel served no case at all"
