"""Plain integers taken for stored values: the planner's own operator, a view."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from dispatch.movement import no_flops, output_bytes
from dispatch.operator import (
    REQUIRED,
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
from dispatch.quantization import make_quantization
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR"]

NAME = "as_quantized"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the parameters; x's dtype and shape stay."""
    (x,) = specs
    assert x is not None
    q = make_quantization(
        NAME,
        attributes["scale"],
        attributes["zero_point"],
        attributes.get("axis"),
        x.dtype,
        x.shape,
    )
    return Inferred({}, (TensorSpec(x.dtype, x.shape, quantization=q),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Nothing changes."""
    (x,) = arrays
    assert x is not None
    return [x.copy()]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every rank, one scale and several."""
    shape: tuple[int, ...]
    for shape in ((), (7,), (0,), (2, 3, 5, 7)):
        yield Case(f"shape {shape}", (Sample(shape, -9.0, 9.0),), {"scale": 0.5})
    along = {"scale": (0.5, 0.25, 2.0), "axis": 1}
    yield Case("scales along an axis", (Sample((2, 3, 5, 7), -9.0, 9.0),), along)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        yield Case("random", (Sample(shape, -9.0, 9.0),), {"scale": 0.5})


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"scale": REQUIRED, "zero_point": 0, "axis": None},
    dtypes=("uint8", "int8", "int32"),
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    view=True,
    quantized_output=True,
)
