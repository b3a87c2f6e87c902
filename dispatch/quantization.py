"""The arithmetic of quantised tensors, in the one form that every kernel is held to.

``docs/decisions/0012-quantised-tensors.md`` has it in words, ``kernels/rules/quantization.h``
in C.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.operator import Array
from dispatch.problem import EpilogueStep, Problem
from dispatch.shapes import normalize_axis
from dispatch.tensor import Quantization, TensorSpec

__all__ = [
    "STORED",
    "apply_steps",
    "check_multipliers",
    "check_quantized",
    "check_ratio",
    "dequantize",
    "given_attributes",
    "make_quantization",
    "multipliers",
    "output_spec",
    "per_axis",
    "quantize",
    "ratio",
    "requantize",
    "saturated",
]

STORED: tuple[str, ...] = ("uint8", "int8")
"""Dtypes of quantised activations and weights."""
RANGES: Mapping[str, tuple[int, int]] = {
    "uint8": (0, 255),
    "int8": (-128, 127),
    "int32": (-(2**31), 2**31 - 1),
}
ZERO_POINTS: Mapping[str, tuple[int, int]] = {**RANGES, "int32": (0, 0)}
"""Sums have zero point 0, so that a difference never overflows."""
SMALLEST = float(np.finfo(np.float32).tiny)
RATIOS = (2.0**-100, 2.0**100)
"""Within these no product with sums or counts leaves float32's normal numbers."""


# ---- Parameters ------------------------------------------------------------------------------


def make_quantization(
    operator: str, scale: Any, zero_point: Any, axis: Any, dtype: str, shape: Sequence[int]
) -> Quantization:
    """Return the parameters of a tensor from what a caller gave, scales rounded to float32.

    Parameters
    ----------
    operator
        For messages.
    scale, zero_point
        Numbers; with an axis, one scale for each index and one zero point or as many.
    axis
        None, or the axis that the scales belong to.
    dtype, shape
        Of the stored values.

    Raises
    ------
    InvalidArgument
        Where one doesn't fit; the message names it.
    UnsupportedDtype
        If `dtype` can't hold quantised values.
    """
    if dtype not in RANGES:
        raise UnsupportedDtype(
            f"{operator}: expected values of uint8, int8 or int32 (sums), got {dtype}"
        )
    place = -1 if axis is None else normalize_axis(operator, "axis", axis, len(shape))
    count = 1 if axis is None else shape[place]
    scales = _numbers(operator, "scale", scale, count, axis, repeats=False)
    points = _numbers(operator, "zero_point", zero_point, count, axis, repeats=True)
    if points.size and points.dtype.kind not in "iu":
        raise InvalidArgument(f"{operator}: zero_point: expected integers, got {zero_point!r}")
    with np.errstate(all="ignore"):
        rounded = scales.astype(np.float32)
    result = Quantization(tuple(rounded.tolist()), tuple(map(int, points.tolist())), place)
    _check_values(operator, "", result, dtype)
    return result


def _numbers(
    operator: str, name: str, value: Any, count: int, axis: Any, *, repeats: bool
) -> Array:
    """Return `count` numbers; a single one is repeated where `repeats` allows it."""
    try:
        numbers = np.asarray(value)
    except (TypeError, ValueError):
        numbers = np.asarray(None)
    if numbers.dtype.kind not in "iuf":
        raise InvalidArgument(f"{operator}: {name}: expected numbers, got {value!r}")
    if axis is None:
        if numbers.size != 1 or numbers.ndim > 1:
            raise InvalidArgument(
                f"{operator}: {name}: expected one number as there is no axis, "
                f"got shape {numbers.shape}"
            )
        return numbers.reshape(1)
    if numbers.ndim == 0 and repeats:
        return np.full(count, numbers)
    if numbers.shape != (count,):
        raise InvalidArgument(
            f"{operator}: {name}: expected {count} numbers, one for each index of axis {axis}, "
            f"got shape {numbers.shape}"
        )
    return numbers


def _check_values(operator: str, prefix: str, q: Quantization, dtype: str) -> None:
    for scale in q.scales:
        if not 0.0 < scale < float("inf"):
            raise InvalidArgument(
                f"{operator}: {prefix}scale: expected finite float32 numbers above 0, got {scale}"
            )
    low, high = ZERO_POINTS[dtype]
    for point in q.zero_points:
        if not low <= point <= high:
            raise InvalidArgument(
                f"{operator}: {prefix}zero_point: expected from {low} to {high} for {dtype}, "
                f"got {point}"
            )


def check_quantized(
    operator: str,
    name: str,
    spec: TensorSpec,
    axis: int | None = None,
    dtypes: Sequence[str] = STORED,
) -> Quantization:
    """Return a quantised tensor's parameters if the operator takes them.

    Parameters
    ----------
    axis
        The one axis that may have scales of its own; -1: any; None: one scale for the tensor.

    Raises
    ------
    InvalidArgument
        If the tensor isn't quantised, or not in this way.
    UnsupportedDtype
        If its dtype isn't one of `dtypes`.
    """
    q = spec.quantization
    if q is None:
        raise InvalidArgument(
            f"{operator}: {name}: expected a quantised array (dispatch.quantized), "
            f"got plain {spec.dtype}"
        )
    if spec.dtype not in dtypes:
        raise UnsupportedDtype(
            f"{operator}: {name}: expected quantised {' or '.join(dtypes)}, got {spec.dtype}"
        )
    if q.axis != -1 and axis != -1 and q.axis != axis:
        wanted = "one scale" if axis is None else f"one scale, or scales along axis {axis}"
        raise InvalidArgument(f"{operator}: {name}: expected {wanted}, got axis {q.axis}")
    if not -1 <= q.axis < spec.rank:
        raise InvalidArgument(f"{operator}: {name}: expected an axis of {spec}, got {q.axis}")
    count = 1 if q.axis == -1 else spec.shape[q.axis]
    if len(q.scales) != count or len(q.zero_points) != count:
        raise InvalidArgument(
            f"{operator}: {name}: expected {count} scales and zero points, "
            f"got {len(q.scales)} and {len(q.zero_points)}"
        )
    _check_values(operator, f"{name}: ", q, spec.dtype)
    return q


def output_spec(
    operator: str, attributes: Mapping[str, Any], default: str | None, spec: TensorSpec
) -> TensorSpec:
    """Return `spec`, quantised as the attributes `scale`, `zero_point`, `axis`, `dtype` say.

    `default` is the dtype where the attribute is None.
    """
    wanted = attributes["dtype"]
    dtype = default if wanted is None else wanted
    if not isinstance(dtype, str):
        dtype = getattr(dtype, "__name__", None) or str(dtype)
    if dtype not in STORED:
        raise UnsupportedDtype(f"{operator}: dtype: expected {' or '.join(STORED)}, got {wanted!r}")
    q = make_quantization(
        operator,
        attributes["scale"],
        attributes["zero_point"],
        attributes.get("axis"),
        dtype,
        spec.shape,
    )
    return TensorSpec(dtype, spec.shape, quantization=q)


def given_attributes(problem: Problem) -> dict[str, Any]:
    """Return a problem's attributes as the public function takes them.

    A quantised output's parameters, which stand in its spec, are keywords again.
    """
    given: dict[str, Any] = dict(problem.attributes)
    y = problem.outputs[0]
    if y.quantization is not None:
        scales, points = y.quantization.scales, y.quantization.zero_points
        one = y.quantization.axis == -1 and len(scales) == len(points) == 1
        given["scale"], given["zero_point"] = (scales[0], points[0]) if one else (scales, points)
        given["dtype"], axis = y.dtype, y.quantization.axis
        if axis != -1:
            given["axis"] = axis
    return given


# ---- Arithmetic ------------------------------------------------------------------------------


def per_axis(values: Sequence[float], axis: int, rank: int, dtype: Any) -> Array:
    """Return parameters in a shape that broadcasts against a tensor of `rank` dimensions."""
    array = np.asarray(values, dtype)
    return np.asarray(array[0] if axis == -1 else array.reshape(-1, *(1,) * (rank - 1 - axis)))


def saturated(whole: Array, zero_point: Any, dtype: str) -> Array:
    """Add the zero point to whole numbers, held within the dtype."""
    low, high = RANGES[dtype]
    with np.errstate(invalid="ignore"):
        bounded = np.clip(whole.astype(np.float64), -(2.0**40), 2.0**40)
        return np.asarray(np.clip(bounded + zero_point, low, high).astype(dtype))


def quantize(x: Array, q: Quantization, dtype: str) -> Array:
    """Return ``saturate(rint(x / scale) + zero_point)``, the quotient in float32."""
    scale = per_axis(q.scales, q.axis, x.ndim, np.float32)
    zero = per_axis(q.zero_points, q.axis, x.ndim, np.int64)
    with np.errstate(all="ignore"):
        return saturated(np.rint(x.astype(np.float32) / scale), zero, dtype)


def dequantize(stored: Array, q: Quantization) -> Array:
    """Return ``(stored - zero_point) * scale`` in float64, which rounds nothing of 8 bits."""
    scale = per_axis(q.scales, q.axis, stored.ndim, np.float64)
    return np.asarray(centred(stored, q) * scale)


def centred(stored: Array, q: Quantization) -> Array:
    """Return ``stored - zero_point`` in int64."""
    return stored.astype(np.int64) - per_axis(q.zero_points, q.axis, stored.ndim, np.int64)


def multipliers(x: Quantization, w: Quantization, y: Quantization) -> Array:
    """Return ``x.scale * w.scale / y.scale`` in float32, one or as many as `w` has scales."""
    with np.errstate(all="ignore"):
        product = np.float32(x.scales[0]) * np.asarray(w.scales, np.float32)
        return np.asarray(product / np.float32(y.scales[0]), np.float32)


def check_multipliers(operator: str, x: Quantization, w: Quantization, y: Quantization) -> None:
    """Raise unless every multiplier is a normal positive float32."""
    for multiplier in multipliers(x, w, y).tolist():
        if not SMALLEST <= multiplier < float("inf"):
            raise InvalidArgument(
                f"{operator}: scale: expected x.scale * w.scale / scale to be a normal float32, "
                f"got {multiplier}"
            )


def ratio(x: Quantization, y: Quantization) -> np.float32:
    """Return ``x.scale / y.scale`` in float32."""
    with np.errstate(all="ignore"):
        return np.float32(np.float32(x.scales[0]) / np.float32(y.scales[0]))


def check_ratio(operator: str, name: str, x: Quantization, y: Quantization) -> None:
    """Raise unless `ratio` is within `RATIOS`; `name` is the operand's."""
    found = float(ratio(x, y))
    if not RATIOS[0] <= found <= RATIOS[1]:
        raise InvalidArgument(
            f"{operator}: scale: expected {name}.scale / scale from 2**-100 to 2**100, got {found}"
        )


def requantize(sums: Array, multiplier: Array, y: Quantization, dtype: str) -> Array:
    """Return ``saturate(rint(float32(sum) * multiplier) + zero_point)``.

    Parameters
    ----------
    sums
        Integers, reduced modulo 2^32 to int32 here.
    multiplier
        In float32, of a shape that broadcasts against `sums`.
    """
    wrapped = sums.astype(np.int64).astype(np.uint32).view(np.int32)
    with np.errstate(all="ignore"):
        scaled = wrapped.astype(np.float32) * multiplier
        return saturated(np.rint(scaled), y.zero_points[0], dtype)


def apply_steps(stored: Array, steps: Sequence[EpilogueStep], spec: TensorSpec) -> Array:
    """Return a quantised result after ``relu`` and ``clip``, which bound its real value."""
    assert spec.quantization is not None
    for step in steps:
        reals = (0.0, np.inf) if step.name == "relu" else (step.alpha, step.beta)
        low, high = quantize(np.asarray(reals), spec.quantization, spec.dtype)
        stored = np.minimum(np.maximum(stored, low), high)
    return stored
