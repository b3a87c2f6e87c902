"""The kernel that was measured to be the fastest of all packs, in the layouts that it likes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from bench.engines.base import Runner
from bench.engines.kernel import KernelRunner, with_free_layouts
from bench.engines.pack import settings_of
from bench.errors import Refused
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.tuning.contest import contest_of
from dispatch.tuning.database import TuningWarning
from dispatch.tuning.tune import measure

__all__ = ["TunedEngine"]


class TunedEngine:
    """Kernels chosen by the user's records; what there are none of is measured first."""

    def __init__(self) -> None:
        self.version = "; ".join(p.library_version for p in registry().packs if p.available)

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Measure if need be, choose the kernel, prepare it, pack the constants."""
        with settings_of(problem, None) as settings, warnings.catch_warnings():
            warnings.simplefilter("error", TuningWarning)
            questions = (problem, with_free_layouts(problem))
            contest = contest_of(problem, settings, questions)
            found = measure([contest], progress=False).records.get(problem, ())
        if not found:
            raise Refused(f"no kernel was measured for {problem}")
        best = found[0]
        concrete = next(
            c
            for c in contest.contestants
            if c.kernel.name == best.kernel and c.problem.to_json() == best.problem
        )
        return KernelRunner(concrete.problem, concrete.kernel, arrays)
