"""Programs that the kernels for GPUs are made of, for the tests that only compile them."""

from __future__ import annotations

import itertools

from dispatch.conformance.runner import conformance_cases, questions
from dispatch.operators import operators
from kernels.gpu.answers import plan_of
from kernels.gpu.plan import Plan


def programs(algorithm, traits, count):
    """Return a launch for each program of the first problems that an algorithm serves.

    Parameters
    ----------
    algorithm, traits
        Of `kernels.gpu.catalogue`, and of the device that it is planned for.
    count
        How many problems of each dtype.

    Returns
    -------
    dict
        Launches by their source and macros.
    """
    operator = operators()[algorithm.operator]
    found = {}
    for dtype in algorithm.dtypes:
        asked = questions(operator, dtype, "opencl", conformance_cases(operator, 0))
        plans = (plan_of(algorithm, question.problem, traits) for question in asked)
        served = (plan for plan in plans if isinstance(plan, Plan) and plan.launches)
        for plan in itertools.islice(served, count):
            found |= {(launch.source, launch.defines): launch for launch in plan.launches}
    return found
