"""Schemas of operators that reduce over axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dispatch.dtypes import FLOATS
from dispatch.elementwise import is_floating
from dispatch.operator import (
    Array,
    Arrays,
    Attributes,
    Case,
    Inferred,
    Input,
    Operator,
    Sample,
    Specs,
    own_magnitude,
)
from dispatch.problem import Problem
from dispatch.shapes import flag, normalize_axes, output

__all__ = ["reduction"]

_CASES: tuple[tuple[tuple[int, ...], tuple[int, ...] | int | None], ...] = (
    ((5,), None), ((), None), ((), ()), ((1,), 0), ((3, 5), ()), ((3, 5), 0), ((3, 5), -1),
    ((3, 5), None), ((2, 3, 4), 1), ((2, 3, 4), (0, 2)), ((2, 3, 4, 5), (2, 3)),
    ((2, 3, 4, 5), (0, 1)), ((2, 3, 4, 5), (1, 3)), ((2, 3, 4, 5), (-2,)), ((1, 16, 9, 9), (2, 3)),
    ((4, 31), 1), ((4, 33), 1), ((33, 4), 0), ((4, 64), 1), ((64, 65), 0), ((3, 0), 0), ((0, 3), 1),
    ((2, 3, 1, 2, 2, 3), (1, 3, 5)), ((100003,), None), ((3, 20011), 1), ((20011, 3), 0),
)  # fmt: skip


def reduction(
    name: str,
    *,
    dtypes: tuple[str, ...],
    reference: Callable[[Array, tuple[int, ...], bool], Array],
    onnx: tuple[str, ...],
    magnitude: Callable[[Arrays, Attributes, Arrays], list[Array]] = own_magnitude,
    error: float = 32.0,
    low: float = -4.0,
    high: float = 4.0,
) -> Operator:
    """Return the schema of a reduction over `axes` with `keepdims`.

    Parameters
    ----------
    reference
        ``reference(x, axes, keepdims) -> y``, also over no elements.
    error
        Bound in units of epsilon times the magnitude: a sum of 20000 elements
        one after the other in float32 is within 32.
    low, high
        Where conformance draws its values.
    """

    def infer(specs: Specs, attributes: Attributes) -> Inferred:
        (x,) = specs
        assert x is not None
        axes = normalize_axes(name, "axes", attributes["axes"], x.rank)
        keep = flag(name, "keepdims", attributes["keepdims"])
        shape = [
            1 if axis in axes else extent
            for axis, extent in enumerate(x.shape)
            if keep or axis not in axes
        ]
        return Inferred({"axes": axes, "keepdims": keep}, (output(name, x.dtype, shape),))

    def run_reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
        (x,) = arrays
        assert x is not None
        with np.errstate(all="ignore"):
            return [np.asarray(reference(x, attributes["axes"], bool(attributes["keepdims"])))]

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        axes: int | tuple[int, ...] | None
        attributes: dict[str, Any]
        if is_floating(dtypes):
            for special in (math.nan, math.inf, -math.inf):
                values = [float(i % 7 - 3) for i in range(34)]
                values[5] = values[33] = special
                for axes in (0, 1):
                    sample = Sample((2, 17), values=tuple(values))
                    yield Case("NaN and infinity", (sample,), {"axes": axes})
            both = (math.inf, 1.0, -math.inf, 2.0, math.nan, -1.0)
            yield Case("NaN and infinity", (Sample((6,), values=both),))
        for shape, axes in _CASES:
            for keep in (True, False):
                attributes = {"axes": axes, "keepdims": keep}
                yield Case(f"{shape} over {axes}", (Sample(shape, low, high),), attributes)
        if set(dtypes) - set(FLOATS):
            yield Case("large values", (Sample((4, 50), -100.0, 100.0),), {"axes": 1})
        while True:
            shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
            chosen = tuple(axis for axis in range(len(shape)) if rng.integers(2))
            attributes = {"axes": chosen, "keepdims": bool(rng.integers(2))}
            yield Case("random", (Sample(shape, low, high),), attributes)

    return Operator(
        name=name,
        inputs=(Input("x"),),
        attributes={"axes": None, "keepdims": False},
        dtypes=dtypes,
        infer=infer,
        reference=run_reference,
        cases=cases,
        magnitude=magnitude,
        error=error,
        flops=flops,
        onnx=onnx,
    )


def flops(problem: Problem) -> float:
    """One for each element of the input."""
    x: Any = problem.inputs[0]
    return float(x.size)
