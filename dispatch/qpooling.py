"""What quantised averages of images have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from dispatch.operator import Array, Attributes, Case, Sample
from dispatch.problem import EpilogueStep
from dispatch.quantization import (
    RANGES,
    STORED,
    check_quantized,
    check_ratio,
    make_quantization,
    output_spec,
    ratio,
    saturated,
)
from dispatch.tensor import Quantization, TensorSpec

__all__ = ["averages", "quantized_cases", "result_spec"]


def result_spec(
    operator: str, x: TensorSpec, attributes: Attributes, shape: TensorSpec
) -> TensorSpec:
    """Check x and the result's parameters; return the result's spec, of the shape of `shape`."""
    q = check_quantized(operator, "x", x)
    y = output_spec(operator, attributes, x.dtype, shape)
    assert y.quantization is not None
    check_ratio(operator, "x", q, y.quantization)
    return y


def averages(sums: Array, counts: Array, x: Quantization, attributes: Attributes) -> Array:
    """Return the stored averages of exact sums of ``stored - zero_point``.

    The multiplier ``x.scale / y.scale / count`` and the product are rounded to
    float32 at each step.

    Parameters
    ----------
    sums
        In int64.
    counts
        How many elements each sum has, of a shape that broadcasts.
    """
    dtype = attributes["dtype"]
    y = make_quantization("", attributes["scale"], attributes["zero_point"], None, dtype, ())
    with np.errstate(all="ignore"):
        multiplier = ratio(x, y) / counts.astype(np.float32)
        return saturated(np.rint(sums.astype(np.float32) * multiplier), y.zero_points[0], dtype)


def quantized_cases(cases: Iterator[Case], rng: np.random.Generator) -> Iterator[Case]:
    """Make plain cases of one input quantised, in each combination of dtypes in turn."""
    steps: tuple[tuple[EpilogueStep, ...], ...] = (
        (), (), (EpilogueStep("relu"),), (EpilogueStep("clip", -1, -0.3, 0.5),),
    )  # fmt: skip
    for number, case in enumerate(cases):
        (sample,) = case.inputs
        assert sample is not None
        dtype, result = STORED[number % 2], STORED[number // 2 % 2]
        low, high = RANGES[dtype]
        zero = (low, high, low + 117, low + 3)[number % 4]
        q = Quantization((float(np.float32(0.02)),), (zero,))
        x = Sample(sample.shape, low - 0.5, high + 0.5, dtype, quantization=q)
        loudness = (1.0, 3.0)[number // 3 % 2]
        given: dict[str, Any] = {
            **case.attributes,
            "scale": float(np.float32(0.02 * float(rng.uniform(0.3, 1.5)) / loudness)),
            "zero_point": RANGES[result][0] + (0, 255, 130)[number % 3],
            "dtype": result,
        }
        yield replace(case, inputs=(x,), attributes=given, epilogue=steps[number % len(steps)])
