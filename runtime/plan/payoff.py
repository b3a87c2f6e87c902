"""Whether a fusion pays, by what the kernels expect."""

from __future__ import annotations

from dispatch.context import Settings
from dispatch.errors import NoKernel
from runtime.graph import Node
from runtime.passes.fusion import Pays
from runtime.plan.options import least_cost
from runtime.specialise import Specs, problem_of

__all__ = ["cheaper"]


def cheaper(settings: Settings) -> Pays:
    """Return what says whether one node's best kernel costs less than several nodes' best."""

    def pays(fused: Node, parts: tuple[Node, ...], specs: Specs) -> bool:
        try:
            alone = least_cost(problem_of(fused, specs), settings)
        except NoKernel:
            return False
        try:
            return alone <= sum(least_cost(problem_of(part, specs), settings) for part in parts)
        except NoKernel:
            return True

    return pays
