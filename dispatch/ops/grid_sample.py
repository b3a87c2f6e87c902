"""Images sampled at the places that a grid names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.errors import InvalidArgument
from dispatch.interpolation import cubic_weight
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
from dispatch.problem import Problem
from dispatch.shapes import check_rank, check_same_dtype, choice, flag, output

__all__ = ["OPERATOR", "grid_sample"]

NAME = "grid_sample"
TAPS: Mapping[str, int] = {"nearest": 1, "linear": 2, "cubic": 4}
"""Pixels along each axis that a result is a sum of."""
PADDING_MODES = ("zeros", "border", "reflection")
CUBIC_COEFFICIENT = -0.75
FAR = 2.0**30
"""Pixels: what lies farther out, and what isn't a number, is taken to be there."""


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that there are pixels to sample, and two numbers for each place."""
    x, grid = specs
    assert x is not None and grid is not None
    check_rank(NAME, "x", x, 4)
    check_rank(NAME, "grid", grid, 4)
    check_same_dtype(NAME, "x", x, grid=grid)
    batch, channels, height, width = x.shape
    if grid.shape[0] != batch or grid.shape[3] != 2:
        raise InvalidArgument(
            f"{NAME}: grid: expected shape ({batch}, height, width, 2) as x has {x.shape}, "
            f"got {grid.shape}"
        )
    if not (1 <= height <= FAR and 1 <= width <= FAR):
        raise InvalidArgument(
            f"{NAME}: x: expected a height and a width from 1 to 2**30, got {x.shape}"
        )
    canonical = {
        "mode": choice(NAME, "mode", attributes["mode"], tuple(TAPS)),
        "padding_mode": choice(NAME, "padding_mode", attributes["padding_mode"], PADDING_MODES),
        "align_corners": flag(NAME, "align_corners", attributes["align_corners"]),
    }
    shape = (batch, channels, *grid.shape[1:3])
    return Inferred(canonical, (output(NAME, x.dtype, shape),))


def _reflected(at: Array, low: float, high: float) -> Array:
    if high == low:
        return np.full_like(at, low)
    inside = np.mod(np.abs(at - low), 2 * (high - low))
    return low + np.minimum(inside, 2 * (high - low) - inside)


def _taps(given: Array, extent: int, attributes: Attributes) -> list[tuple[Array, Array, Array]]:
    """Return the index, the weight and the presence of each tap along an axis."""
    mode, padding = attributes["mode"], attributes["padding_mode"]
    aligned = bool(attributes["align_corners"])
    at = (given + 1) / 2 * (extent - 1) if aligned else ((given + 1) * extent - 1) / 2
    at = np.clip(np.where(np.isnan(at), -FAR, at), -FAR, FAR)
    if mode == "nearest":
        at = np.rint(at)
    low, high = (0.0, extent - 1.0) if aligned else (-0.5, extent - 0.5)
    # Of a cubic padding moves the pixels alone, as PyTorch and ONNX Runtime have it.
    if mode != "cubic" and padding == "border":
        at = np.clip(at, 0, extent - 1)
    elif mode != "cubic" and padding == "reflection":
        at = _reflected(at, low, high)
    first = np.floor(at)
    fraction = at - first
    weights = {
        "nearest": [np.ones_like(at)],
        "linear": [1 - fraction, fraction],
        "cubic": [cubic_weight(fraction + 1 - tap, CUBIC_COEFFICIENT) for tap in range(4)],
    }[mode]
    taps = []
    for number, weight in enumerate(weights):
        index = first + number - (mode == "cubic")
        there = (index >= 0) & (index < extent) | (padding != "zeros")
        if padding == "reflection":
            index = _reflected(index, low, high)
        taps.append((np.clip(index, 0, extent - 1).astype(np.int64), weight, there))
    return taps


def _sampled(x: Array, grid: Array, attributes: Attributes, absolute: bool) -> Array:
    """Add up the taps; `absolute` takes their weights' absolute values."""
    batch, channels, height, width = x.shape
    result = np.zeros((batch, channels, *grid.shape[1:3]))
    with np.errstate(all="ignore"):
        rows = _taps(grid[..., 1], height, attributes)
        columns = _taps(grid[..., 0], width, attributes)
        for (row, a, is_row), (column, b, is_column) in itertools.product(rows, columns):
            weight = np.abs(a * b) if absolute else a * b
            for n in range(batch):
                pixels = x[n][:, row[n], column[n]]
                result[n] += np.where((is_row & is_column)[n], pixels * weight[n], 0.0)
    return result


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Add up each pixel that has a part in a place."""
    x, grid = arrays
    assert x is not None and grid is not None
    return [_sampled(x, grid, attributes, absolute=False)]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The sum of absolute values, and what a place's own rounding changes; nearest moves pixels."""
    x, grid = arrays
    assert x is not None and grid is not None
    total = _sampled(np.abs(x), grid, attributes, absolute=True)
    if attributes["mode"] == "nearest":
        return [np.zeros_like(total)]
    largest = np.abs(x).max((2, 3), initial=0.0)[:, :, None, None]
    reach = 1 + np.abs(grid)
    shift = reach[..., 0] * x.shape[3] + reach[..., 1] * x.shape[2]
    return [total + largest * shift[:, None]]


def flops(problem: Problem) -> float:
    """Two for each tap."""
    taps = TAPS[str(problem.attribute("mode"))] ** 2
    return 2.0 * taps * problem.outputs[0].size


_SHAPES: tuple[tuple[tuple[int, int, int, int], tuple[int, int]], ...] = (
    ((1, 2, 8, 9), (13, 17)), ((1, 33, 4, 5), (3, 3)), ((1, 1, 1, 1), (2, 3)),
    ((2, 3, 1, 4), (3, 1)), ((0, 3, 4, 4), (2, 2)), ((2, 0, 4, 4), (2, 2)), ((2, 3, 4, 4), (0, 2)),
)  # fmt: skip


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each mode with each padding, places on edges and far out; then random ones."""
    shape: tuple[int, ...]
    # Corners, edges between pixels and beyond them; the fractions are exact in 16 bits.
    edges = (-1.0, -1.0, 1.0, 1.0, 0.0, 0.5, -1.25, 0.0, 1.5, -3.0, 5.0, -0.75, -9.0, 7.25)
    for mode, padding, aligned in itertools.product(TAPS, PADDING_MODES, (False, True)):
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": aligned}
        label = f"{mode}, {padding}{', corners' * aligned}"
        others = rng.uniform(-1.7, 1.7, 2 * 4 * 7 * 2 - len(edges))
        grid = Sample((2, 4, 7, 2), values=(*edges, *map(float, others)))
        yield Case(label, (Sample((2, 3, 4, 8)), grid), attributes)
    special = (math.nan, 0.0, 0.25, math.inf, -math.inf, 0.25, math.nan, math.nan)
    for mode, padding in itertools.product(TAPS, ("zeros", "border")):
        places = Sample((1, 2, 2, 2), values=special)
        attributes = {"mode": mode, "padding_mode": padding}
        yield Case(f"{mode}, {padding}, no places", (Sample((1, 2, 3, 3)), places), attributes)
    infinite = Sample((1, 1, 2, 2), values=(1.0, math.inf, 2.0, 3.0))
    yield Case("infinite pixels", (infinite, Sample((1, 3, 3, 2), -1.4, 1.4)))
    for (shape, size), mode in zip(_SHAPES, itertools.cycle(("linear", "cubic")), strict=False):
        grid = Sample((shape[0], *size, 2), -1.3, 1.3)
        yield Case(f"{shape} at {size}", (Sample(shape), grid), {"mode": mode})
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 10, 4))
        grid = Sample((shape[0], *(int(n) for n in rng.integers(1, 16, 2)), 2), -1.6, 1.6)
        attributes = {
            "mode": str(rng.choice(list(TAPS))),
            "padding_mode": str(rng.choice(PADDING_MODES)),
            "align_corners": bool(rng.integers(2)),
        }
        yield Case("random", (Sample(shape), grid), attributes)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("grid")),
    attributes={"mode": "linear", "padding_mode": "zeros", "align_corners": False},
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=flops,
    onnx=("GridSample",),
)


def grid_sample(
    x: Any,
    grid: Any,
    *,
    mode: str = "linear",
    padding_mode: str = "zeros",
    align_corners: bool = False,
    out: Any = None,
) -> Any:
    """Sample images at the places that a grid names, as ONNX's GridSample of four dimensions.

    Parameters
    ----------
    x : array, shape (N, C, H, W)
        float32, float64, float16 or bfloat16.
    grid : array, shape (N, P, Q, 2)
        For each result a place, across and down, from -1 to 1 over the image;
        of x's dtype. One that isn't a number is far to the left or above.
    mode
        ``"nearest"``: the pixel at the place, rounded half to even; ``"linear"``;
        ``"cubic"`` with the coefficient -0.75.
    padding_mode
        What lies beyond the image: ``"zeros"``; ``"border"``, the pixels at the
        edge; ``"reflection"``, the image turned over at the edge. Of a cubic each
        pixel beyond is one of these, as PyTorch has it, and the place stays.
    align_corners
        -1 and 1 are the middles of the pixels in the corners, else their outer edges.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (N, C, P, Q)
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        Other than four dimensions, a shape that doesn't fit, no pixels, an unknown mode.
    UnsupportedDtype
        A dtype that isn't served, or a grid of another one than x's.
    """
    return call(OPERATOR, (x, grid), (mode, padding_mode, align_corners), out)
