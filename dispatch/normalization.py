"""Schemas of softmax and its logarithm, which differ in the last step alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from dispatch.dtypes import FLOATS
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
)
from dispatch.shapes import normalize_axis, output

__all__ = ["softmax_like"]

_SHAPES: tuple[tuple[tuple[int, ...], int], ...] = (
    ((7,), 0), ((1,), 0), ((3, 5), -1), ((3, 5), 0), ((2, 3, 4), 1), ((4, 16), 1), ((4, 17), 1),
    ((4, 33), 1), ((16, 4), 0), ((2, 8, 40, 40), -1), ((1, 21, 5, 5), 1), ((0, 3), 1), ((3, 0), 1),
    ((1, 40, 6625), 2), ((1, 100003), 1),
)  # fmt: skip


def softmax_like(
    name: str,
    *,
    values: Callable[[Array, Array], Array],
    magnitude: Callable[[Array, Array, Array], Array],
    error: float,
    onnx: tuple[str, ...],
) -> Operator:
    """Return the schema of an operator on the exponentials along an axis.

    Parameters
    ----------
    values
        ``values(shifted, total)``: of x less its maximum and the sum of the exponentials.
    magnitude
        ``magnitude(shifted, total, y)``: what the error is measured against.
    """

    def infer(specs: Specs, attributes: Attributes) -> Inferred:
        (x,) = specs
        assert x is not None
        axis = normalize_axis(name, "axis", attributes["axis"], x.rank)
        return Inferred({"axis": axis}, (output(name, x.dtype, x.shape),))

    def parts(arrays: Arrays, attributes: Attributes) -> tuple[Array, Array]:
        (x,) = arrays
        assert x is not None
        axis = attributes["axis"]
        shifted = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
        return shifted, np.sum(np.exp(shifted), axis=axis, keepdims=True)

    def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(values(*parts(arrays, attributes)))]

    def run_magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
        assert outputs[0] is not None
        with np.errstate(all="ignore"):
            return [np.asarray(magnitude(*parts(arrays, attributes), outputs[0]))]

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        nan, inf = math.nan, math.inf
        rows = (
            *(nan, 0.0, 1.0, 2.0), *(inf, 0.0, 1.0, 2.0), *(-inf, 0.0, 1.0, 2.0),
            *(-inf, -inf, -inf, -inf), *(0.0, 0.0, 0.0, 0.0), *(1e3, 0.0, -1e3, 999.0),
        )  # fmt: skip
        yield Case("edge values", (Sample((6, 4), values=rows),), {"axis": 1})
        for shape, axis in _SHAPES:
            yield Case(f"{shape} along {axis}", (Sample(shape, -6.0, 6.0),), {"axis": axis})
        yield Case("far apart", (Sample((5, 19), -80.0, 80.0),))
        yield Case("far from 0", (Sample((5, 19), 500.0, 510.0),))
        while True:
            shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
            axis = int(rng.integers(len(shape)))
            yield Case("random", (Sample(shape, -8.0, 8.0),), {"axis": axis})

    return Operator(
        name=name,
        inputs=(Input("x"),),
        attributes={"axis": -1},
        dtypes=FLOATS,
        infer=infer,
        reference=reference,
        cases=cases,
        magnitude=run_magnitude,
        error=error,
        flops=lambda problem: 3.0 * problem.outputs[0].size,
        onnx=onnx,
    )
