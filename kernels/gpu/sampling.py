"""Images sampled at places that are data."""

from __future__ import annotations

import math

from dispatch.answer import No
from dispatch.problem import Problem
from kernels.gpu.plan import Launch, Plan, numeric_defines, parameters
from kernels.gpu.traits import Traits

__all__ = ["plan_grid_sample"]

AXIS_TAPS = {"nearest": "1", "linear": "2", "cubic": "4"}
"""Pixels along each axis that a result is a sum of."""


def plan_grid_sample(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a work-item for each result, which finds its pixels itself."""
    x, grid = problem.inputs
    y = problem.outputs[0]
    assert x is not None and grid is not None
    if y.size == 0:
        return Plan(())
    items = traits.map_items
    defines = {
        **numeric_defines(x.dtype),
        "ALIGNED_CORNERS": str(problem.attribute("align_corners")),
        "AXIS_TAPS": AXIS_TAPS[str(problem.attribute("mode"))],
        "GROUP_ITEMS": str(items),
        "PADDING": str(problem.attribute("padding_mode")).upper(),
    }
    launch = Launch(
        "sample",
        "grid_sample",
        tuple(sorted(defines.items())),
        (0, 1, 2),
        parameters("int32", (), y.size, *x.shape[1:], math.prod(grid.shape[1:3])),
        (-(-y.size // items),),
        (items,),
    )
    return Plan((launch,))
