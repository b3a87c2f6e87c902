"""Values for the inputs of a conformance case."""

from __future__ import annotations

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array, Case, Sample

__all__ = ["draw", "fits"]


def fits(case: Case, dtype: str) -> bool:
    """Say whether a case makes sense for a dtype: NaN and infinity need a floating one."""
    if "float" in dtype:
        return True
    return all(
        sample is None
        or sample.values is None
        or sample.dtype is not None
        or bool(np.isfinite(sample.values).all())
        for sample in case.inputs
    )


def draw(sample: Sample, dtype: str, rng: np.random.Generator) -> Array:
    """Return an input's values in the dtype under test, or in the sample's own."""
    name = sample.dtype or dtype
    target = numpy_dtype(name)
    if sample.values is not None:
        values = np.array(sample.values, np.float64).reshape(sample.shape)
    else:
        values = rng.uniform(sample.low, sample.high, sample.shape)
    if "float" in name:
        with np.errstate(over="ignore"):
            return np.asarray(values, np.float64).astype(target)
    if name == "bool":
        return np.rint(values) > 0
    limits = np.iinfo(target)
    whole = np.rint(values)
    result = np.empty(sample.shape, target)
    # The limits of 64 bits aren't floats: what is beyond is set, not converted.
    inside = (whole > float(limits.min)) & (whole < float(limits.max))
    result[inside] = whole[inside].astype(target)
    result[whole >= float(limits.max)] = limits.max
    result[whole <= float(limits.min)] = limits.min
    return result
