"""Stored values taken for plain integers: the planner's own operator, a view."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dispatch.movement import no_flops, output_bytes
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
from dispatch.quantization import RANGES, check_quantized
from dispatch.quantized import quantized_input
from dispatch.shapes import output
from dispatch.tensor import Quantization

__all__ = ["OPERATOR"]

NAME = "as_stored"
DTYPES = tuple(RANGES)


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that x is quantised; its dtype and shape stay."""
    (x,) = specs
    assert x is not None
    check_quantized(NAME, "x", x, -1, DTYPES)
    return Inferred({}, (output(NAME, x.dtype, x.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Nothing changes."""
    return [quantized_input(arrays[0]).array.copy()]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every rank, one scale and several."""
    shape: tuple[int, ...]
    one = Quantization((0.5,), (0,))
    for shape in ((), (7,), (0,), (2, 3, 5, 7)):
        yield Case(f"shape {shape}", (Sample(shape, -9.0, 9.0, quantization=one),))
    along = Quantization((0.5, 0.25, 2.0), (0, 0, 0), 1)
    yield Case("scales along an axis", (Sample((2, 3, 5, 7), -9.0, 9.0, quantization=along),))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        yield Case("random", (Sample(shape, -9.0, 9.0, quantization=one),))


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x", quantized=True),),
    attributes={},
    dtypes=DTYPES,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    view=True,
)
