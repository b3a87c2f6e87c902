"""Choice between two tensors, element by element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS, INTEGERS
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
from dispatch.shapes import broadcast, check_dtype, check_same_dtype, output

__all__ = ["OPERATOR", "where"]

NAME = "where"
VALUES = (*FLOATS, *INTEGERS, "bool")


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Broadcast the three."""
    condition, a, b = specs
    assert condition is not None and a is not None and b is not None
    check_dtype(NAME, "condition", condition, ("bool",))
    check_dtype(NAME, "a", a, VALUES)
    check_same_dtype(NAME, "a", a, b=b)
    shape = broadcast(NAME, condition=condition.shape, a=a.shape, b=b.shape)
    return Inferred({}, (output(NAME, a.dtype, shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    condition, a, b = arrays
    assert condition is not None and a is not None and b is not None
    return [np.where(condition, a, b)]


def _case(label: str, dtype: str, *shapes: tuple[int, ...]) -> Case:
    condition, a, b = shapes
    samples = (
        Sample(condition, 0.0, 1.0, dtype="bool"),
        Sample(a, 0.0, 100.0, dtype=dtype),
        Sample(b, 0.0, 100.0, dtype=dtype),
    )
    return Case(label, samples)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dtype, then shapes."""
    for dtype in VALUES:
        yield _case(dtype, dtype, (3, 37), (3, 37), (3, 37))
        yield _case(f"{dtype}, broadcast", dtype, (3, 1), (5,), (2, 1, 1))
    for shapes in (
        ((7,), (), ()),
        ((), (7,), (7,)),
        ((), (), ()),
        ((0, 3), (3,), (1,)),
        ((2, 1, 5, 1), (2, 3, 5, 7), (7,)),
        ((1, 16, 9, 9), (1, 16, 9, 9), ()),
        ((100003,), (100003,), (100003,)),
    ):
        yield _case(f"shapes {shapes}", "float32", *shapes)
    while True:
        full = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(1, 5))))
        three = [tuple(n if rng.integers(3) else 1 for n in full) for _ in range(3)]
        yield _case("random", str(rng.choice(VALUES)), *three)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("condition"), Input("a"), Input("b")),
    attributes={},
    dtypes=("bool",),
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    onnx=("Where",),
    elementwise=True,
)


def where(condition: Any, a: Any, b: Any, *, out: Any = None) -> Any:
    """Return `a` where `condition` holds, else `b`, as ONNX's Where.

    Parameters
    ----------
    condition : array of bool
        Broadcasts with the others.
    a, b : array
        Shapes that broadcast as NumPy's do; any dtype of the project, the same for both.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of the broadcast shape, of a's dtype.

    Raises
    ------
    InvalidArgument
        Shapes that don't broadcast.
    UnsupportedDtype
        A condition that isn't bool, or dtypes that differ.
    """
    return call(OPERATOR, (condition, a, b), (), out)
