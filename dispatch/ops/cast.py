"""Conversion to another dtype."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import SHORT_NAMES, dtype_name, numpy_dtype
from dispatch.errors import UnsupportedDtype
from dispatch.movement import ANY_DTYPE, no_flops
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
from dispatch.shapes import output

__all__ = ["OPERATOR", "cast"]

NAME = "cast"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Name the dtype."""
    (x,) = specs
    assert x is not None
    wanted = attributes["dtype"]
    name: str | None = wanted if isinstance(wanted, str) else None
    if name is None:
        try:
            name = dtype_name(np.dtype(wanted))
        except TypeError:
            name = None
    if name not in SHORT_NAMES:
        raise UnsupportedDtype(
            f"{NAME}: dtype: expected one of {', '.join(SHORT_NAMES)}, got {wanted!r}"
        )
    return Inferred({"dtype": name}, (output(NAME, name, x.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy: cut off toward zero, integers wrap around."""
    (x,) = arrays
    assert x is not None
    target = numpy_dtype(attributes["dtype"])
    with np.errstate(all="ignore"):
        return [x.astype(np.float64 if "float" in attributes["dtype"] else target)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every dtype, values that every dtype of that sign holds; then random ones."""
    nan, inf = float("nan"), float("inf")
    for dtype in ANY_DTYPE:
        given = {"dtype": dtype}
        low = 0.0 if dtype.startswith("u") else -100.0
        yield Case(f"to {dtype}", (Sample((3, 37), low, 100.0),), given)
        yield Case(
            f"to {dtype}, halves",
            (Sample((7,), values=(0.0, 0.5, 0.99, 1.5, 2.5, 99.9, -0.0)),),
            given,
        )
        if "float" in dtype or dtype == "bool":
            edges = (nan, inf, -inf, 0.0, -0.0, 1e-3, -1e-3, 1e-40, 1e5, 3.4e38)
            yield Case(f"to {dtype}, edge values", (Sample((10,), values=edges),), given)
        yield Case(f"to {dtype}, empty", (Sample((0, 3)),), given)
        yield Case(f"to {dtype}, one", (Sample((), values=(1.0,)),), given)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 40, int(rng.integers(1, 4))))
        yield Case("random", (Sample(shape, 0.0, 100.0),), {"dtype": str(rng.choice(ANY_DTYPE))})


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"dtype": REQUIRED},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.5,
    flops=no_flops,
    onnx=("Cast",),
    elementwise=True,
)


def cast(x: Any, dtype: Any, *, out: Any = None) -> Any:
    """Convert to another dtype, as ONNX's Cast.

    Parameters
    ----------
    x : array
        Any shape, any dtype of the project.
    dtype
        A name as ``"float32"`` or ``"bfloat16"``, or NumPy's dtype.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's shape and kind. Floats are rounded to the nearest float, the
        even one of two, and cut off toward zero to integers; what the integer
        type can't hold gives an unspecified value. Integers wrap around. All
        but 0 is True, NaN too.

    Raises
    ------
    UnsupportedDtype
        A dtype that the project doesn't have.
    """
    return call(OPERATOR, (x,), (dtype,), out)
