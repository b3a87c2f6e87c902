"""Recurrent operators: a work-group for each row, which goes through the steps."""

from __future__ import annotations

from dispatch.answer import No
from dispatch.problem import Problem
from kernels.gpu.plan import Launch, Plan, numeric_defines, parameters
from kernels.gpu.traits import Traits

__all__ = ["plan_lstm"]

OPTIONAL = {"HAS_BIAS": 3, "HAS_LENGTHS": 4, "HAS_H": 5, "HAS_C": 6, "HAS_PEEPHOLES": 7}


def plan_lstm(problem: Problem, traits: Traits) -> Plan | No:
    """Plan one group for each row of each direction."""
    x, _, r = problem.inputs[:3]
    assert x is not None and r is not None
    steps, batch, inputs = x.shape
    directions, _, size = r.shape
    if batch * size == 0:
        return Plan(())
    items = traits.row_items
    present = {name: int(problem.inputs[index] is not None) for name, index in OPTIONAL.items()}
    every = {
        **numeric_defines(problem.dtype),
        **{name: str(here) for name, here in present.items()},
        "ROW_ITEMS": str(items),
    }
    given = tuple(i for i, t in enumerate(problem.inputs) if t is not None)
    first = len(problem.inputs)
    backwards = int(problem.attribute("direction") == "reverse")
    launch = Launch(
        "lstm",
        "lstm",
        tuple(sorted(every.items())),
        (*given, first, first + 1, first + 2),
        parameters("int32", (), steps, batch, inputs, size, directions, backwards),
        (directions * batch,),
        (items,),
    )
    return Plan((launch,))
