"""Constants as a caller gives them: for the time of one call, then their memory is another's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from dispatch.conformance.memory import POISON
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["constants_of", "passing"]


def constants_of(problem: Problem, stored: Sequence[Array | None]) -> list[Array | None]:
    """Give the values of the constant inputs, None for the others."""
    return [
        array if spec is not None and spec.constant else None
        for array, spec in zip(stored, problem.inputs, strict=True)
    ]


@contextmanager
def passing(constants: Sequence[Array | None]) -> Iterator[list[Array | None]]:
    """Lend copies of constants that are poisoned at the end, so that no kernel may keep them."""
    lent = [None if value is None else np.array(value, order="C") for value in constants]
    yield lent
    for value in lent:
        if value is not None:
            value.reshape(-1).view(np.uint8)[...] = POISON
