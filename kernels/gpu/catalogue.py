"""All kernels here: the operator, the algorithm, the dtypes, and who plans it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dispatch.answer import No
from dispatch.problem import Problem
from kernels.gpu.elementwise import ELEMENTWISE, plan_cast, plan_elementwise, plan_where
from kernels.gpu.plan import Plan
from kernels.gpu.traits import Traits

__all__ = ["CATALOGUE", "Algorithm", "Planner"]

Planner: TypeAlias = Callable[[Problem, Traits], Plan | No]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to compute an operator, for several dtypes.

    Parameters
    ----------
    operator, name
        The second and third part of kernels' names.
    dtypes
        The dtypes that it is for: the fourth part.
    plan
        What it enqueues for a problem that is consistent and not too large, in the logical
        layout; or why it can't.
    """

    operator: str
    name: str
    dtypes: tuple[str, ...]
    plan: Planner


ANY_DTYPE = (
    *("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8"),
    *("uint64", "uint32", "uint16", "uint8", "bool"),
)


def _all() -> Iterator[Algorithm]:
    for operator, expressions in ELEMENTWISE.items():
        yield Algorithm(operator, "map", expressions.dtypes, plan_elementwise)
    yield Algorithm("cast", "map", ANY_DTYPE, plan_cast)
    yield Algorithm("where", "map", ("bool",), plan_where)


CATALOGUE: tuple[Algorithm, ...] = tuple(_all())
