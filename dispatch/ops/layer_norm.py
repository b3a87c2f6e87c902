"""Layer normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.errors import InvalidArgument
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
from dispatch.shapes import check_same_dtype, normalize_axis, output, real

__all__ = ["OPERATOR", "layer_norm"]

NAME = "layer_norm"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that scale and bias have the shape of what is normalised."""
    x, scale, bias = specs
    assert x is not None and scale is not None
    axis = normalize_axis(NAME, "axis", attributes["axis"], x.rank)
    for name, tensor in (("scale", scale), ("bias", bias)):
        if tensor is None:
            continue
        check_same_dtype(NAME, "x", x, **{name: tensor})
        if tensor.shape != x.shape[axis:]:
            raise InvalidArgument(
                f"{NAME}: {name}: expected shape {x.shape[axis:]}, x's from axis {axis} on, "
                f"got {tensor.shape}"
            )
    epsilon = real(NAME, "epsilon", attributes["epsilon"])
    if epsilon < 0:
        raise InvalidArgument(f"{NAME}: epsilon: expected at least 0, got {epsilon}")
    canonical = {"axis": axis, "epsilon": epsilon}
    return Inferred(canonical, (output(NAME, x.dtype, x.shape),))


def _statistics(x: Array, attributes: Attributes) -> tuple[Array, Array]:
    axes = tuple(range(attributes["axis"], x.ndim))
    mean = np.mean(x, axis=axes, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=axes, keepdims=True)
    return mean, 1.0 / np.sqrt(variance + attributes["epsilon"])


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Two passes: the mean, then the squares around it."""
    x, scale, bias = arrays
    assert x is not None and scale is not None
    if x.size == 0:
        return [x.copy()]
    with np.errstate(all="ignore"):
        mean, factor = _statistics(x, attributes)
        y = (x - mean) * factor * scale
        return [y if bias is None else y + bias]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The same with the difference from the mean as a sum of absolute values."""
    x, scale, bias = arrays
    assert x is not None and scale is not None
    if x.size == 0:
        return [x.copy()]
    with np.errstate(all="ignore"):
        mean, factor = _statistics(x, attributes)
        y = (np.abs(x) + np.abs(mean)) * factor * np.abs(scale)
        return [y if bias is None else y + np.abs(bias)]


def _case(
    label: str,
    shape: tuple[int, ...],
    axis: int = -1,
    bias: bool = True,
    low: float = -2.0,
    high: float = 2.0,
    **attributes: Any,
) -> Case:
    tail = shape[axis:]
    samples = (
        Sample(shape, low, high),
        Sample(tail, 0.5, 1.5, constant=True),
        Sample(tail, constant=True) if bias else None,
    )
    return Case(label, samples, {"axis": axis, **attributes})


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Lengths around a vector's, each axis, values far from 0; then random ones."""
    shape: tuple[int, ...]
    for shape, axis in (
        ((7,), -1), ((3, 5), -1), ((3, 5), 0), ((2, 3, 4), 1), ((4, 8), -1), ((4, 16), -1),
        ((4, 17), -1), ((4, 31), -1), ((2, 40, 120), -1), ((1, 50, 768), -1), ((2, 3, 4, 5), 2),
        ((0, 3), -1), ((1, 1), -1),
    ):  # fmt: skip
        yield _case(f"{shape} from {axis}", shape, axis)
    yield _case("no bias", (5, 33), bias=False)
    yield _case("far from 0", (5, 64), low=100.0, high=101.0)
    yield _case("epsilon", (5, 19), epsilon=0.25)
    nan, inf = float("nan"), float("inf")
    rows = (nan, 0.0, 1.0, 2.0, inf, 0.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0)
    scale, bias = Sample((4,), values=(1.0, 2.0, -1.0, 0.5)), Sample((4,))
    yield Case("NaN, infinity, equal values", (Sample((3, 4), values=rows), scale, bias))
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(1, 5))))
        axis = int(rng.integers(len(shape)))
        yield _case("random", shape, axis, bool(rng.integers(2)))


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("scale"), Input("bias", optional=True)),
    attributes={"axis": -1, "epsilon": 1e-5},
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=lambda problem: 6.0 * problem.outputs[0].size,
    onnx=("LayerNormalization",),
)


def layer_norm(
    x: Any,
    scale: Any,
    bias: Any = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    out: Any = None,
) -> Any:
    """Normalise over the last axes to mean 0 and variance 1, as ONNX's LayerNormalization.

    Parameters
    ----------
    x : array
        At least one dimension; float32, float64, float16 or bfloat16.
    scale : array, shape ``x.shape[axis:]``
        Multiplies the normalised values.
    bias : array, shape ``x.shape[axis:]``, optional
        Added last.
    axis
        The first of the axes to normalise over.
    epsilon
        Added to the variance.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        A shape that doesn't fit, an axis that `x` doesn't have, a negative epsilon.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    return call(OPERATOR, (x, scale, bias), (axis, epsilon), out)
