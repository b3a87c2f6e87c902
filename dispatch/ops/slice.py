"""A part of a tensor, by start, end and step."""

from __future__ import annotations

import builtins
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
from dispatch.shapes import integers, normalize_axis, output

__all__ = ["OPERATOR", "slice"]

NAME = "slice"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Give each axis its first index, number of elements and step."""
    (x,) = specs
    assert x is not None
    given_starts = integers(NAME, "starts", attributes["starts"])
    count = len(given_starts)
    given_ends = integers(NAME, "ends", attributes["ends"], count)
    axes = attributes["axes"]
    axes = integers(NAME, "axes", range(count) if axes is None else axes, count)
    axes = tuple(normalize_axis(NAME, "axes", axis, x.rank) for axis in axes)
    if len(set(axes)) != count:
        raise InvalidArgument(f"{NAME}: axes: expected different axes, got {axes}")
    given_steps = attributes["steps"]
    given_steps = integers(
        NAME, "steps", (1,) * count if given_steps is None else given_steps, count
    )
    starts, counts, steps = [0] * x.rank, list(x.shape), [1] * x.rank
    for axis, start, end, step in zip(axes, given_starts, given_ends, given_steps, strict=True):
        if step == 0:
            raise InvalidArgument(f"{NAME}: steps: expected other than 0, got {given_steps}")
        chosen = range(*builtins.slice(start, end, step).indices(x.shape[axis]))
        counts[axis] = len(chosen)
        # What has one element or none needs no start or step of its own.
        starts[axis] = chosen.start if chosen else 0
        steps[axis] = step if len(chosen) > 1 else 1
    canonical = {"starts": tuple(starts), "counts": tuple(counts), "steps": tuple(steps)}
    return Inferred(canonical, (output(NAME, x.dtype, counts),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Index each axis by its list of indices."""
    (x,) = arrays
    assert x is not None
    parts = zip(attributes["starts"], attributes["counts"], attributes["steps"], strict=True)
    index = [start + step * np.arange(count) for start, count, step in parts]
    return [x[np.ix_(*index)] if index else x.copy()]


def _case(label: str, shape: tuple[int, ...], *bounds: Any) -> Case:
    names = ("starts", "ends", "axes", "steps")
    attributes = dict(zip(names, bounds, strict=False))
    return Case(label, (Sample(shape, -9.0, 9.0),), attributes)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Bounds beyond the ends, negative steps, each axis; then random ones."""
    far = 2**63 - 1
    yield _case("the whole", (5,), (0,), (5,))
    yield _case("beyond the end", (5,), (1,), (far,))
    yield _case("from the end", (5,), (-3,), (-1,))
    yield _case("backwards", (5,), (-1,), (-far,), (0,), (-1,))
    yield _case("backwards by two", (7,), (5,), (0,), (0,), (-2,))
    yield _case("nothing", (5,), (3,), (3,))
    yield _case("nothing, backwards", (5,), (1,), (3,), (0,), (-1,))
    yield _case("rows", (9, 17), (2,), (7,), (0,))
    yield _case("columns", (9, 17), (2,), (9,), (1,))
    yield _case("every other column", (9, 33), (1,), (far,), (1,), (2,))
    yield _case("channels", (1, 32, 5, 5), (16,), (32,), (1,))
    yield _case("odd channels", (2, 19, 5, 5), (3,), (12,), (1,))
    yield _case("a window", (1, 3, 10, 12), (2, 3), (8, 11), (2, 3))
    yield _case("Focus", (1, 3, 10, 12), (1, 0), (far, far), (2, 3), (2, 2))
    yield _case("flipped", (2, 3, 4), (-1, -1), (-far, -far), (-1, 0), (-1, -1))
    yield _case("no axis", (2, 3), (), ())
    yield _case("one number", (), (), ())
    yield _case("empty", (0, 3), (0,), (2,), (1,))
    yield _case("six dimensions", (2, 3, 2, 3, 2, 3), (1, 1, 0), (2, 3, 2), (0, 3, 5), (1, 1, 1))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 14, int(rng.integers(1, 5))))
        starts, ends = (tuple(int(rng.integers(-n - 2, n + 3)) for n in shape) for _ in range(2))
        steps = tuple(int(s) for s in rng.choice([-3, -2, -1, 1, 1, 1, 2, 3], len(shape)))
        yield _case("random", shape, starts, ends, tuple(range(len(shape))), steps)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"starts": REQUIRED, "ends": REQUIRED, "axes": None, "steps": None},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Slice",),
)


def slice(
    x: Any,
    starts: tuple[int, ...],
    ends: tuple[int, ...],
    axes: tuple[int, ...] | None = None,
    steps: tuple[int, ...] | None = None,
    *,
    out: Any = None,
) -> Any:
    """Take a part of each axis, as ONNX's Slice and Python's ``x[start:end:step]``.

    Parameters
    ----------
    x : array
        Any shape, any dtype of the project.
    starts, ends
        For each axis of `axes` the first index and the first one no more
        taken; negative: from the end; beyond the ends: all there is.
    axes
        Axes that are cut; None: the first ones.
    steps
        For each axis of `axes`, other than 0; negative: backwards; None: 1.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind and dtype, dense.

    Raises
    ------
    InvalidArgument
        Lists of different lengths, an axis that `x` doesn't have or that comes
        twice, a step of 0.
    """
    return call(OPERATOR, (x,), (starts, ends, axes, steps), out)
