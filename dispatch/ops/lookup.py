"""A function of 8-bit integers, given by its values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.errors import InvalidArgument
from dispatch.movement import no_flops
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
from dispatch.quantization import RANGES, STORED
from dispatch.shapes import check_dtype, output

__all__ = ["OPERATOR", "lookup"]

NAME = "lookup"
ENTRIES = 256


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the table's length and dtype."""
    x, table = specs
    assert x is not None and table is not None
    check_dtype(NAME, "table", table, STORED)
    if table.shape != (ENTRIES,):
        raise InvalidArgument(
            f"{NAME}: table: expected {ENTRIES} values, one for each of x's, "
            f"got shape {table.shape}"
        )
    return Inferred({}, (output(NAME, table.dtype, x.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Count from the dtype's smallest value."""
    x, table = arrays
    assert x is not None and table is not None
    return [table[x.astype(np.int64) - RANGES[x.dtype.name][0]]]


_SHAPES: tuple[tuple[int, ...], ...] = (
    (7,), (), (0,), (1,), (3, 5), (2, 3, 0, 4), (63,), (64,), (65,), (1, 3, 17, 19),
    (2, 16, 5, 5), (100003,),
)  # fmt: skip


def _table(dtype: str, constant: bool) -> Sample:
    low, high = RANGES[dtype]
    values = tuple(float(low + i * 149 % (high - low + 1)) for i in range(ENTRIES))
    return Sample((ENTRIES,), dtype=dtype, constant=constant, values=values)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Every value to each dtype, and shapes around vectors' lengths; then random ones."""
    for dtype in STORED:
        for constant in (True, False):
            table = _table(dtype, constant)
            for first in STORED:
                low, high = RANGES[first]
                every = tuple(map(float, range(low, high + 1)))
                sample = Sample((ENTRIES,), dtype=first, values=every)
                yield Case(f"every {first} to {dtype}", (sample, table))
            for shape in _SHAPES:
                yield Case(f"shape {shape}", (Sample(shape, -128.0, 255.0), table))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 40, int(rng.integers(1, 5))))
        table = _table(str(rng.choice(STORED)), bool(rng.integers(2)))
        yield Case("random", (Sample(shape, -128.0, 255.0), table))


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("table")),
    attributes={},
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
)


def lookup(x: Any, table: Any, *, out: Any = None) -> Any:
    """Give each element its entry of a table of 256.

    Any function of one 8-bit tensor is such a table, activations between two
    quantised tensors among them.

    Parameters
    ----------
    x : array
        Any shape; uint8 or int8.
    table : array, shape (256,)
        uint8 or int8: the results for x's values from the smallest of its dtype
        (0 or -128) to the largest. One that doesn't change: `dispatch.constant`.
    out : array of the table's dtype, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's shape and kind, and the table's dtype.

    Raises
    ------
    InvalidArgument
        A table of another length.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x, table), (), out)
