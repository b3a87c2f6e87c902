"""What a kernel's result may be: the float64 reference, and how far from it.

The published bound, for each element of a result::

    |y - reference| <= c * eps * magnitude + eps_out * |reference| + tiny

- ``c`` is the operator's `Operator.error`, a small constant for kernels that
  sum directly; ``magnitude`` is the operator's: for sums of products the sum of
  absolute values, so that cancellation is allowed for and nothing else.
- ``eps`` belongs to the arithmetic: float32's for float32, float16 and
  bfloat16, which kernels add up in float32; float64's for float64.
- ``eps_out`` belongs to the result: one rounding.
- ``tiny`` lets what is below the smallest normal number be flushed to zero.

Steps of an epilogue multiply the bound by their Lipschitz constant and add
their own rounding. Operators whose `error` is 0 move values: they must be exact,
as integers always must.

Precision ``high`` admits fast algorithms (Winograd, FFT) for convolutions. They
mix all pixels of a tile, at most 6 x 6 of them, into each of the tile's
results, so that an error is proportional to the largest pixel near by: at
``high`` the bound is ``HIGH_ERROR * eps * M`` where ``M`` is the magnitude with
each ``|x|`` replaced by the largest one of its channel within ``HIGH_REACH``
rows and columns. NaN and infinity may spread as far. ``medium`` admits the same and
rounds products' operands to bfloat16: ``eps`` is bfloat16's.

A kernel that says yes at ``highest`` is held to that bound at every precision.

Quantised results are held to the integer reference of decision 12: one unit in
the last place at any precision, because some libraries requantise in fixed
point. `inexact` counts the elements that differ at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dispatch.conformance.problems import Question
from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.problem import EpilogueStep, Precision, Problem
from dispatch.quantization import apply_steps
from dispatch.quantized import QuantizedArray, reference_arguments

__all__ = ["HIGH_ERROR", "HIGH_REACH", "Expected", "differences", "expect", "inexact"]

HIGH_ERROR = 64.0
"""Winograd's F(4x4, 3x3) multiplies an error by up to 9000 when all of its
transforms' terms align and by about 30 on average; direct summation has 16."""
HIGH_REACH = 5
"""A tile of 6 x 6 pixels reaches 5 beyond any of its own."""

_EPSILON = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
_FLUSHED = {"float64": 2.0**-1020, "float32": 2.0**-124, "float16": 2.0**-23, "bfloat16": 2.0**-124}
_LIPSCHITZ = {"silu": 1.1, "gelu": 1.13, "hard_swish": 1.5, "sigmoid": 0.25}


@dataclass(frozen=True, slots=True)
class Expected:
    """One output's reference in float64 (integers: exact) and its bound.

    Parameters
    ----------
    value
        The reference.
    bound
        Largest error; None: none at all.
    dtype
        The result's.
    reached
        Where a fast algorithm may give anything because an input near by isn't
        finite; None: nowhere.
    """

    value: Array
    bound: Array | None
    dtype: str
    reached: Array | None = None


def expect(question: Question, precision: Precision) -> list[Expected]:
    """Return what each output may be at a precision."""
    operator, problem = question.operator, question.problem
    exact = [_exact(a) for a in question.arrays[: problem.num_operator_inputs]]
    own, attributes = reference_arguments(problem, exact)
    results = operator.reference(own, attributes)
    if operator.quantized_output:
        return [_stored(results[0], problem)]
    dtype = problem.dtype
    with np.errstate(all="ignore"):
        magnitudes = operator.magnitude(_judged(own, precision), attributes, results)
        expected = [
            _bounded(value, magnitude, spec.dtype, operator.error, dtype, precision)
            for value, magnitude, spec in zip(results, magnitudes, problem.outputs, strict=True)
        ]
        for step in problem.epilogue:
            operand = _exact(question.arrays[step.input]) if step.input >= 0 else None
            expected[0] = _after(expected[0], step, operand, dtype)
    if precision == "highest":
        return [_rounded(e) for e in expected]
    return [
        replace(_rounded(e), reached=~np.isfinite(magnitude))
        for e, magnitude in zip(expected, magnitudes, strict=True)
    ]


def _stored(value: Array, problem: Problem) -> Expected:
    """Return what a quantised result may be: within one of the reference."""
    y = problem.outputs[0]
    value = apply_steps(value, problem.epilogue, y).astype(np.int64)
    return Expected(value, np.ones(value.shape), y.dtype)


def inexact(got: Array, expected: Expected) -> int:
    """Count the elements of a quantised result that aren't the reference's."""
    return int(np.count_nonzero(got != expected.value))


def _exact(array: Array | None) -> Array | None:
    """Return floats as float64; the rest as it is."""
    if array is None or array.dtype.kind in "iub":
        return array
    return array.astype(np.float64)


def _judged(arrays: Sequence[Array | None], precision: Precision) -> list[Array | None]:
    """Return the inputs that the magnitude is computed of."""
    x = arrays[0]
    if precision == "highest" or x is None or isinstance(x, QuantizedArray) or x.ndim != 4:
        return list(arrays)
    padded = np.pad(np.abs(x), ((0, 0), (0, 0), (HIGH_REACH,) * 2, (HIGH_REACH,) * 2))
    window = 2 * HIGH_REACH + 1
    near = np.lib.stride_tricks.sliding_window_view(padded, (window, window), axis=(2, 3))
    return [near.max(axis=(4, 5)), *arrays[1:]]


def _bounded(
    value: Array, magnitude: Array, result: str, error: float, dtype: str, precision: Precision
) -> Expected:
    if result not in _EPSILON or error == 0.0:
        return Expected(value, None, result)
    eps = _arithmetic_epsilon(dtype if dtype in _EPSILON else result)
    factor = error
    if precision == "high":
        factor = max(error, HIGH_ERROR)
    elif precision == "medium":
        eps = max(eps, _EPSILON["bfloat16"])
    return Expected(value, np.nan_to_num(factor * eps * magnitude, nan=0.0), result)


def _arithmetic_epsilon(dtype: str) -> float:
    # The float64 reference is rounded as much as a float64 kernel is.
    return 2.0 * _EPSILON["float64"] if dtype == "float64" else _EPSILON["float32"]


def _after(before: Expected, step: EpilogueStep, operand: Array | None, dtype: str) -> Expected:
    """Apply a step to the value and its bound."""
    y, eps = before.value, _arithmetic_epsilon(dtype)
    bound = np.zeros(y.shape) if before.bound is None else before.bound
    if step.name == "add":
        assert operand is not None
        value = y + operand
        own = eps * (np.abs(y) + np.abs(operand))
        return Expected(value, bound + own, before.dtype)
    if step.name == "mul":
        assert operand is not None
        value = y * operand
        return Expected(value, bound * np.abs(operand) + eps * np.abs(value), before.dtype)
    if step.name == "linear":
        value = step.alpha * y + step.beta
        own = eps * (np.abs(step.alpha * y) + abs(step.beta))
        return Expected(value, bound * abs(step.alpha) + own, before.dtype)
    operator = operators()[step.name]
    attributes = _attributes(step)
    (value,) = operator.reference([y], attributes)
    (magnitude,) = operator.magnitude([y], attributes, [value])
    steep = _LIPSCHITZ.get(step.name, 1.0)
    if step.name in ("leaky_relu", "elu", "hard_sigmoid"):
        steep = max(abs(step.alpha), 0.0 if step.name == "hard_sigmoid" else 1.0)
    own = np.nan_to_num(operator.error * eps * magnitude, nan=0.0)
    return Expected(value, bound * steep + own, before.dtype)


def _attributes(step: EpilogueStep) -> dict[str, Any]:
    """Return an activation's numbers as its operator's attributes."""
    if step.name == "clip":
        return {"minimum": step.alpha, "maximum": step.beta}
    if step.name == "hard_sigmoid":
        return {"alpha": step.alpha, "beta": step.beta}
    if step.name in ("leaky_relu", "elu"):
        return {"alpha": step.alpha}
    if step.name == "gelu":
        return {"approximate": "tanh" if step.alpha == 1.0 else "none"}
    return {}


def _rounded(expected: Expected) -> Expected:
    """Add the rounding to the result's dtype."""
    if expected.bound is None:
        return expected
    with np.errstate(all="ignore"):
        rounding = np.nan_to_num(_EPSILON[expected.dtype] * np.abs(expected.value), nan=0.0)
        bound = expected.bound + rounding + _FLUSHED[expected.dtype]
    return Expected(expected.value, bound, expected.dtype)


def differences(got: Array, expected: Expected) -> str:
    """Say how a result differs from what is expected, "" if it doesn't.

    Parameters
    ----------
    got
        The kernel's result in the logical order and its own dtype.
    expected
        What it may be.
    """
    target = numpy_dtype(expected.dtype)
    with np.errstate(all="ignore"):
        rounded = np.asarray(expected.value).astype(target)
        y = got.astype(np.float64) if expected.bound is not None else got
        if expected.bound is None:
            wrong = ~_same(y, rounded)
        else:
            wrong = _outside(y, rounded.astype(np.float64), expected.value, expected.bound, target)
            if expected.reached is not None:
                # What must be NaN is; beside it anything may be, infinity but no number.
                spread = np.isnan(y) | np.isfinite(expected.value)
                wrong &= ~(expected.reached & spread)
    count = int(np.count_nonzero(wrong))
    if not count:
        return ""
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    allowed = "exactly" if expected.bound is None else f"within {expected.bound[index]:.3g} of"
    ratio = _worst(y, expected, wrong)
    return (
        f"{count} of {wrong.size} elements are wrong; at {list(index)}: expected {allowed} "
        f"{expected.value[index]!s}, got {got[index]!s}{ratio}"
    )


def _same(a: Array, b: Array) -> Array:
    if a.dtype.kind in "iub":
        return np.asarray(a == b)
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.asarray((a == b) | (np.isnan(a) & np.isnan(b)))


def _outside(y: Array, rounded: Array, value: Array, bound: Array, target: Any) -> Array:
    finite = np.isfinite(value) & np.isfinite(y)
    close = finite & (np.abs(y - value) <= bound)
    # Near the largest finite number one more rounding decides whether it is infinity.
    largest = float(np.finfo(target).max) if target.kind == "f" else 3.3895e38
    edge = np.isinf(y) & (np.sign(y) == np.sign(value)) & (np.abs(value) + bound >= largest)
    return np.asarray(~(close | edge | _same(y, rounded)))


def _worst(y: Array, expected: Expected, wrong: Array) -> str:
    if expected.bound is None:
        return ""
    with np.errstate(all="ignore"):
        ratio = np.abs(y - expected.value)[wrong] / expected.bound[wrong]
    ratio = ratio[np.isfinite(ratio)]
    return f"; the worst is {ratio.max():.1f} times the bound" if ratio.size else ""
