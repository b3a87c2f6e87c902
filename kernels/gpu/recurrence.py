"""Recurrent operators: a work-group for each row, which goes through the steps."""

from __future__ import annotations

from collections.abc import Mapping

from dispatch.answer import No
from dispatch.problem import Problem
from kernels.gpu.plan import Launch, Plan, numeric_defines, parameters
from kernels.gpu.traits import Traits

__all__ = ["plan_gru", "plan_lstm", "plan_rnn"]

NONLINEARITIES = {"tanh": "tanh_of", "relu": "relu_of"}


def plan_lstm(problem: Problem, traits: Traits) -> Plan | No:
    """Plan long short-term memory."""
    return _plan(problem, traits, {})


def plan_gru(problem: Problem, traits: Traits) -> Plan | No:
    """Plan gated recurrent units."""
    reset = str(problem.attribute("linear_before_reset"))
    return _plan(problem, traits, {"LINEAR_BEFORE_RESET": reset})


def plan_rnn(problem: Problem, traits: Traits) -> Plan | No:
    """Plan a plain recurrent layer."""
    function = NONLINEARITIES[str(problem.attribute("nonlinearity"))]
    return _plan(problem, traits, {"NONLINEARITY": function})


def _plan(problem: Problem, traits: Traits, own: Mapping[str, str]) -> Plan | No:
    """Plan one group for each row of each direction, by the source of the operator's name."""
    x, _, r = problem.inputs[:3]
    assert x is not None and r is not None
    steps, batch, inputs = x.shape
    directions, _, size = r.shape
    if batch * size == 0:
        return Plan(())
    items = traits.row_items
    every = {
        **numeric_defines(problem.dtype),
        **own,
        "ROW_ITEMS": str(items),
    }
    # One program whatever inputs are there: x stands for absent ones, which aren't read.
    given = [0 if tensor is None else i for i, tensor in enumerate(problem.inputs)]
    present = sum(1 << i for i, tensor in enumerate(problem.inputs) if tensor is not None)
    first = len(problem.inputs)
    backwards = int(problem.attribute("direction") == "reverse")
    launch = Launch(
        problem.operator,
        problem.operator,
        tuple(sorted(every.items())),
        (*given, *range(first, first + len(problem.outputs))),
        parameters("int32", (), steps, batch, inputs, size, directions, backwards, present),
        (directions * batch,),
        (items,),
    )
    return Plan((launch,))
