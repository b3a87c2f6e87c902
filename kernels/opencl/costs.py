"""What kernels expect to take, on a device of middle size."""

from __future__ import annotations

from dispatch.operator import Operator
from dispatch.problem import Problem

__all__ = ["seconds_of"]

LAUNCH_SECONDS, BYTES_A_SECOND, FLOPS_A_SECOND = 5e-6, 1e11, 1e12


def seconds_of(operator: Operator, problem: Problem, launches: int, slowdown: float) -> float:
    """Return the seconds that launches, bytes and operations are expected to take.

    Parameters
    ----------
    slowdown
        How many times as long as the device needs a kernel's operations take.
    """
    return (
        LAUNCH_SECONDS * launches
        + operator.bytes_moved(problem) / BYTES_A_SECOND
        + operator.flops(problem) / FLOPS_A_SECOND * slowdown
    )
