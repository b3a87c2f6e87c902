"""What the pooling operators share: windows, their checks, their cases."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dispatch.errors import InvalidArgument
from dispatch.operator import Array, Attributes, Case, Inferred, Sample
from dispatch.problem import AttributeValue, Problem
from dispatch.shapes import (
    check_rank,
    flag,
    integers,
    output,
    window_output,
    window_pads,
)
from dispatch.tensor import TensorSpec

__all__ = [
    "global_cases",
    "infer_global",
    "infer_window",
    "reduce_windows",
    "window_cases",
    "window_flops",
    "windows",
]


def infer_window(operator: str, x: TensorSpec, attributes: Attributes) -> Inferred:
    """Check a pooling window; `attributes` may lack ``dilations``."""
    check_rank(operator, "x", x, 4)
    kernel = integers(operator, "kernel_shape", attributes["kernel_shape"], 2, 1)
    strides = integers(operator, "strides", attributes["strides"], 2, 1)
    dilations = integers(operator, "dilations", attributes.get("dilations", 1), 2, 1)
    ceil_mode = flag(operator, "ceil_mode", attributes["ceil_mode"])
    extents = x.shape[2:]
    if min(extents) < 1:
        raise InvalidArgument(f"{operator}: x: expected pixels, got shape {x.shape}")
    pads = window_pads(operator, attributes["pads"], extents, kernel, strides, dilations)
    for pad, size in zip(pads, kernel * 2, strict=True):
        if pad >= size:
            raise InvalidArgument(
                f"{operator}: pads: expected less than the window's {kernel}, got {pads}"
            )
    shape = window_output(operator, extents, kernel, strides, pads, dilations, bool(ceil_mode))
    canonical: dict[str, AttributeValue] = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pads,
        "ceil_mode": ceil_mode,
    }
    if "dilations" in attributes:
        canonical["dilations"] = dilations
    return Inferred(canonical, (output(operator, x.dtype, (*x.shape[:2], *shape)),))


def infer_global(operator: str, x: TensorSpec, at_most: int | None = None) -> Inferred:
    """Check that there are pixels to pool, and no more than `at_most`."""
    check_rank(operator, "x", x, 4)
    if min(x.shape[2:]) < 1:
        raise InvalidArgument(f"{operator}: x: expected pixels, got shape {x.shape}")
    if at_most is not None and x.shape[2] * x.shape[3] > at_most:
        raise InvalidArgument(f"{operator}: x: expected <= {at_most} pixels, got shape {x.shape}")
    return Inferred({}, (output(operator, x.dtype, (*x.shape[:2], 1, 1)),))


def windows(x: Array, attributes: Attributes, fill: Any) -> Iterator[Array]:
    """Give, for each offset within the window, the padded image's elements there.

    Each array has the output's shape. Beyond the padding, where a last window
    of `ceil_mode` reaches, there is `fill` too.
    """
    kernel, strides, pads = (attributes[name] for name in ("kernel_shape", "strides", "pads"))
    dilations = attributes.get("dilations", (1, 1))
    ceil_mode = bool(attributes["ceil_mode"])
    shape = window_output("pool", x.shape[2:], kernel, strides, pads, dilations, ceil_mode)
    edges = [(0, 0), (0, 0)]
    for axis in range(2):
        reach = (shape[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1
        before = pads[axis]
        edges.append((before, max(0, reach - before - x.shape[2 + axis])))
    padded = np.pad(x, edges, constant_values=fill)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            top, left = i * dilations[0], j * dilations[1]
            rows = slice(top, top + (shape[0] - 1) * strides[0] + 1, strides[0])
            columns = slice(left, left + (shape[1] - 1) * strides[1] + 1, strides[1])
            yield padded[:, :, rows, columns]


def window_flops(problem: Problem) -> float:
    """One for each element of each window."""
    kernel: Any = problem.attribute("kernel_shape")
    return float(problem.outputs[0].size * math.prod(kernel))


_WINDOWS: tuple[tuple[str, tuple[int, ...], Mapping[str, Any]], ...] = (
    ("2x2", (1, 16, 8, 8), {"kernel_shape": 2, "strides": 2}),
    ("3x3, stride 2", (2, 17, 15, 14), {"kernel_shape": 3, "strides": 2, "pads": 1}),
    ("3x3, stride 1", (1, 33, 9, 7), {"kernel_shape": 3, "pads": 1}),
    ("one by one", (1, 5, 4, 4), {"kernel_shape": 1}),
    ("one by one, stride 2", (1, 5, 5, 4), {"kernel_shape": 1, "strides": 2}),
    ("oblong", (1, 3, 9, 12), {"kernel_shape": (2, 5), "strides": (1, 3)}),
    ("asymmetric", (1, 8, 9, 9), {"kernel_shape": 3, "strides": 2, "pads": (0, 1, 2, 1)}),
    ("whole image", (2, 9, 6, 7), {"kernel_shape": (6, 7)}),
    ("same", (1, 4, 10, 11), {"kernel_shape": 3, "strides": 2, "pads": "same"}),
    ("same_lower", (1, 4, 10, 11), {"kernel_shape": 2, "strides": 1, "pads": "same_lower"}),
    ("ceil", (1, 8, 8, 9), {"kernel_shape": 3, "strides": 2, "ceil_mode": True}),
    (
        "ceil, a window in the padding alone is none",
        (1, 3, 3, 4),
        {"kernel_shape": 2, "strides": 2, "pads": 1, "ceil_mode": True},
    ),
    (
        "ceil beyond the padding",
        (1, 3, 7, 10),
        {"kernel_shape": 3, "strides": 3, "pads": 1, "ceil_mode": True},
    ),
    ("wide stride", (1, 7, 11, 11), {"kernel_shape": 2, "strides": 4}),
    ("one pixel", (1, 1, 1, 1), {"kernel_shape": 1}),
    ("one pixel, padded", (1, 3, 1, 1), {"kernel_shape": 3, "pads": 1}),
    ("empty batch", (0, 3, 5, 5), {"kernel_shape": 2}),
    ("no channels", (1, 0, 5, 5), {"kernel_shape": 2}),
)


def window_cases(
    rng: np.random.Generator, variants: Sequence[Mapping[str, Any]], dilated: bool
) -> Iterator[Case]:
    """Give cases of a pooling window, each with each of `variants`."""
    values = [float(i * 7 % 11 - 5) for i in range(36)]
    values[8], values[21], values[35] = math.nan, math.inf, -math.inf
    special = Sample((1, 1, 6, 6), values=tuple(values))
    for variant in variants:
        for label, shape, attributes in _WINDOWS:
            yield Case(label, (Sample(shape, -3.0, 3.0),), {**attributes, **variant})
        yield Case("below 0", (Sample((1, 8, 5, 5), -5.0, -4.0),), {"kernel_shape": 3, "pads": 1})
        yield Case("NaN and infinity", (special,), {"kernel_shape": 2, "pads": 1, **variant})
    while True:
        kernel = tuple(int(k) for k in rng.integers(1, 6, 2))
        dilations = tuple(int(d) for d in rng.integers(1, 4, 2)) if dilated else (1, 1)
        extents = [
            int(rng.integers((k - 1) * d + 1, (k - 1) * d + 20))
            for k, d in zip(kernel, dilations, strict=True)
        ]
        attributes = {
            "kernel_shape": kernel,
            "strides": tuple(int(s) for s in rng.integers(1, 4, 2)),
            "pads": tuple(int(rng.integers(0, k)) for k in kernel * 2),
            "ceil_mode": bool(rng.integers(2)),
            **({"dilations": dilations} if dilated else {}),
            **variants[int(rng.integers(len(variants)))],
        }
        shape = (int(rng.integers(1, 3)), int(rng.integers(1, 40)), *extents)
        yield Case("random", (Sample(shape, -3.0, 3.0),), attributes)


def global_cases(rng: np.random.Generator) -> Iterator[Case]:
    """Give cases of a pool over the whole image."""
    shape: tuple[int, ...]
    nan, inf = math.nan, math.inf
    values = (nan, 1.0, 2.0, 3.0, inf, 1.0, 2.0, 3.0, -inf, 1.0, inf, 2.0)
    yield Case("NaN and infinity", (Sample((1, 3, 2, 2), values=values),))
    for shape in (
        (1, 16, 7, 7), (2, 17, 5, 3), (1, 33, 8, 8), (1, 1, 1, 1), (1, 5, 1, 31), (1, 3, 100, 120),
        (0, 3, 2, 2), (1, 0, 2, 2), (1, 1024, 13, 13), (3, 8, 1, 1),
    ):  # fmt: skip
        yield Case(f"shape {shape}", (Sample(shape, -2.0, 3.0),))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 24, 4))
        yield Case("random", (Sample(shape, -2.0, 3.0),))


def reduce_windows(parts: Iterator[Array], combine: Callable[[Array, Array], Array]) -> Array:
    """Fold the arrays of `windows`."""
    result = next(parts).copy()
    for part in parts:
        result = combine(result, part)
    return result
