"""The same tensor in another layout or dtype: the planner's own operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.errors import InvalidArgument
from dispatch.movement import ANY_DTYPE, no_flops
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
from dispatch.ops import cast
from dispatch.shapes import choice, output
from dispatch.tensor import LAYOUT_BLOCKS, NCHW

__all__ = ["OPERATOR"]

NAME = "reorder"

CONVERTED = ("float32", "float16", "bfloat16", "int32", "uint8", "bool")
"""Dtypes of the cases' results: floats and integers, wider and narrower than x's."""


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that the layout is one of the rank's; the problem's tensors hold it alone."""
    (x,) = specs
    assert x is not None
    layout = choice(NAME, "layout", attributes["layout"], tuple(LAYOUT_BLOCKS))
    if layout != NCHW and x.rank != 4:
        raise InvalidArgument(f"{NAME}: layout: expected {NCHW} for rank {x.rank}, got {layout}")
    wanted: Any = attributes["dtype"]
    dtype = cast.infer(specs, {"dtype": wanted}).outputs[0].dtype if wanted else x.dtype
    return Inferred({}, (output(NAME, dtype, x.shape).with_layout(layout),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """In the logical order nothing changes; truth values are numbers to other dtypes."""
    (x,) = arrays
    assert x is not None
    return [x.astype(np.uint8) if x.dtype == np.bool_ else x.copy()]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Channels around the blocks' sizes to every layout, then to other dtypes; random ones."""
    for layout in LAYOUT_BLOCKS:
        for channels in (1, 3, 8, 15, 16, 17, 40):
            given = {"layout": layout}
            yield Case(f"{channels} channels to {layout}", (Sample((2, channels, 5, 7)),), given)
        yield Case(f"one pixel to {layout}", (Sample((1, 24, 1, 1)),), {"layout": layout})
        yield Case(f"empty to {layout}", (Sample((0, 3, 2, 2)),), {"layout": layout})
        for dtype in CONVERTED:
            given = {"layout": layout, "dtype": dtype}
            yield Case(f"to {dtype} {layout}", (Sample((1, 19, 6, 5), 0.0, 100.0),), given)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, (5, 48, 24, 24)))
        layout = str(rng.choice(tuple(LAYOUT_BLOCKS)))
        yield Case("random", (Sample(shape),), {"layout": layout})


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"layout": NCHW, "dtype": None},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.5,
    flops=no_flops,
)
