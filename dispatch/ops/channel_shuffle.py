"""Channels of groups interleaved."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.errors import InvalidArgument
from dispatch.movement import ANY_DTYPE, no_flops, output_bytes
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
from dispatch.shapes import integer, output

__all__ = ["OPERATOR", "channel_shuffle"]

NAME = "channel_shuffle"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that the groups divide the channels."""
    (x,) = specs
    assert x is not None
    if x.rank < 2:
        raise InvalidArgument(f"{NAME}: x: expected channels along axis 1, got shape {x.shape}")
    groups = integer(NAME, "groups", attributes["groups"], 1)
    if x.shape[1] % groups:
        raise InvalidArgument(
            f"{NAME}: groups: expected a divisor of x's {x.shape[1]} channels, got {groups}"
        )
    return Inferred({"groups": groups}, (output(NAME, x.dtype, x.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Exchange groups and the channels of one."""
    (x,) = arrays
    assert x is not None
    groups, (batch, channels, *pixels) = attributes["groups"], x.shape
    apart = x.reshape(batch, groups, channels // groups, *pixels)
    return [np.ascontiguousarray(apart.swapaxes(1, 2)).reshape(x.shape)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Two to four groups around vectors' lengths, and what leaves the order; then random ones."""
    shape: tuple[int, ...]
    for shape, groups in (
        ((1, 16, 9, 7), 2), ((2, 24, 5, 6), 3), ((1, 112, 8, 8), 4), ((1, 136, 7, 7), 4),
        ((1, 34, 5, 5), 2), ((2, 12, 3, 4), 1), ((2, 12, 3, 4), 12), ((1, 3, 4, 5), 3),
        ((1, 35, 4, 4), 5), ((1, 66, 3, 3), 6), ((1, 128, 1, 1), 2), ((3, 10), 5),
        ((2, 8, 3, 4, 5), 2), ((0, 8, 3, 3), 2), ((1, 0, 3, 3), 4), ((2, 6, 0, 3), 3),
        ((1, 1, 1, 1), 1), ((1, 514, 2, 3), 257),
    ):  # fmt: skip
        attributes = {"groups": groups}
        yield Case(f"{shape} in {groups}", (Sample(shape, -9.0, 9.0),), attributes)
    while True:
        groups = int(rng.integers(1, 9))
        pixels = tuple(int(n) for n in rng.integers(1, 9, int(rng.integers(0, 4))))
        shape = (int(rng.integers(1, 4)), groups * int(rng.integers(1, 20)), *pixels)
        yield Case("random", (Sample(shape, -9.0, 9.0),), {"groups": groups})


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"groups": REQUIRED},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
)


def channel_shuffle(x: Any, groups: int, *, out: Any = None) -> Any:
    """Interleave the channels of groups: the first of each, then the second of each, and so on.

    Parameters
    ----------
    x : array, shape (N, C, ...)
        Any dtype of the project.
    groups
        A divisor of C: channel ``c`` of group ``g`` becomes channel ``c * groups + g``.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        If the groups don't divide the channels.
    """
    return call(OPERATOR, (x,), (groups,), out)
