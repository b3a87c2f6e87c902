"""What the conformance kit found wrong, as texts for a test's message."""

from __future__ import annotations

from dispatch.conformance.runner import Summary

__all__ = ["MOST", "failures_of"]

MOST = 10
"""Failures that a message names."""


def failures_of(summary: Summary) -> list[str]:
    """Return a text for each failure of each kernel, with its problem, and for each hole."""
    failures = [
        f"{report.kernel}: {failure.case}: {failure.what}\n  {failure.problem}"
        for report in summary.kernels
        for failure in report.failures
    ]
    return failures + [f"{hole.case}: {hole.what}" for hole in summary.holes]
