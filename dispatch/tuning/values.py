"""Values at random for a problem's inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array, Operator, Sample
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import TensorSpec

__all__ = ["arrays_of"]

CASES = 8
"""Conformance cases that are looked through: edge values come first."""

_DEFAULT = Sample(())


def arrays_of(problem: Problem, seed: int = 0) -> list[Array | None]:
    """Return the problem's inputs, the same for the same seed in every process.

    Values lie between -1 and 1, and where the operator's own conformance cases
    have them (a logarithm gets positive ones); indices within the least extent
    of the first input, so that they are right along any axis.
    """
    rng = np.random.default_rng(seed)
    schema = operators()[problem.operator]
    return [
        None if spec is None else _draw(rng, problem, spec, sample)
        for spec, sample in zip(problem.inputs, _samples(problem, schema), strict=True)
    ]


def _samples(problem: Problem, schema: Operator) -> Iterator[Sample]:
    """Give a sample of the conformance cases for each input: one that is drawn, where there is."""
    first, *more = islice(schema.cases(np.random.default_rng(0)), CASES)
    for index in range(len(problem.inputs)):
        if index >= problem.num_operator_inputs or not first.inputs:
            yield _DEFAULT
            continue
        given = [case.inputs[min(index, len(case.inputs) - 1)] for case in (first, *more)]
        drawn = (sample for sample in given if sample is not None and sample.values is None)
        yield next(drawn, None) or given[0] or _DEFAULT


def _draw(rng: np.random.Generator, problem: Problem, spec: TensorSpec, sample: Sample) -> Array:
    dtype = numpy_dtype(spec.dtype)
    if sample.values is not None and sample.dtype is not None and dtype.kind in "iu":
        return _indices(rng, problem, spec, dtype)
    if dtype.kind == "b":
        return rng.random(spec.shape) < 0.5
    if dtype.kind in "iu":
        least = 0 if dtype.kind == "u" else -100
        return rng.integers(least, 100, spec.shape).astype(dtype)
    low, high = sample.low, sample.high
    if low < 1 and high > -1:
        low, high = max(low, -1.0), min(high, 1.0)
    drawn: Array = rng.random(spec.shape, np.float32)
    return (drawn * (high - low) + low).astype(dtype)


def _indices(
    rng: np.random.Generator, problem: Problem, spec: TensorSpec, dtype: np.dtype[Any]
) -> Array:
    first = problem.inputs[0]
    extent = min(first.shape, default=1) if first is not None else 1
    limit = int(np.iinfo(dtype).max)
    return (
        rng.integers(0, max(1, min(extent, limit)), math.prod(spec.shape))
        .astype(dtype)
        .reshape(spec.shape)
    )
