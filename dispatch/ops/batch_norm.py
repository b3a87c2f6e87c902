"""Batch normalisation with given statistics."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.arguments import epilogue_of
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
from dispatch.problem import STEPS, EpilogueStep
from dispatch.shapes import check_same_dtype, output, real

__all__ = ["OPERATOR", "batch_norm"]

NAME = "batch_norm"
PARAMETERS = ("scale", "bias", "mean", "variance")


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check that each parameter has one entry a channel."""
    x, *parameters = specs
    assert x is not None
    if x.rank < 2:
        raise InvalidArgument(f"{NAME}: x: expected at least 2 dimensions, got {x.rank} {x.shape}")
    for name, tensor in zip(PARAMETERS, parameters, strict=True):
        assert tensor is not None
        check_same_dtype(NAME, "x", x, **{name: tensor})
        if tensor.shape != (x.shape[1],):
            raise InvalidArgument(
                f"{NAME}: {name}: expected shape ({x.shape[1]},), x's channels, got {tensor.shape}"
            )
    epsilon = real(NAME, "epsilon", attributes["epsilon"])
    if epsilon < 0:
        raise InvalidArgument(f"{NAME}: epsilon: expected at least 0, got {epsilon}")
    return Inferred({"epsilon": epsilon}, (output(NAME, x.dtype, x.shape),))


def _columns(arrays: Arrays) -> list[Array]:
    x = arrays[0]
    assert x is not None
    shape = (-1,) + (1,) * (x.ndim - 2)
    return [a.reshape(shape) for a in arrays[1:] if a is not None]


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Shift, scale, shift."""
    x = arrays[0]
    scale, bias, mean, variance = _columns(arrays)
    assert x is not None
    with np.errstate(all="ignore"):
        return [(x - mean) * (scale / np.sqrt(variance + attributes["epsilon"])) + bias]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The same with absolute values, for a kernel may fold it to ``a * x + b``."""
    x = arrays[0]
    scale, bias, mean, variance = _columns(arrays)
    assert x is not None
    with np.errstate(all="ignore"):
        factor = np.abs(scale) / np.sqrt(variance + attributes["epsilon"])
        return [(np.abs(x) + np.abs(mean)) * factor + np.abs(bias)]


def _case(
    label: str,
    shape: tuple[int, ...],
    constant: bool = True,
    epilogue: tuple[EpilogueStep, ...] = (),
    operands: tuple[Sample, ...] = (),
    **attributes: Any,
) -> Case:
    parameters = [Sample((shape[1],), -1.0, 1.0, constant=constant) for _ in range(3)]
    variance = Sample((shape[1],), 0.1, 2.0, constant=constant)
    return Case(
        label, (Sample(shape, -3.0, 3.0), *parameters, variance, *operands), attributes, epilogue
    )


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Channels around a block's, each rank; then random ones."""
    shape: tuple[int, ...]
    for channels in (1, 3, 8, 15, 16, 17, 33):
        yield _case(f"{channels} channels", (2, channels, 5, 7))
    for shape in ((3, 5), (2, 3, 4), (2, 3, 2, 2, 3), (0, 3, 2, 2), (1, 64, 28, 28), (1, 3, 1, 1)):
        yield _case(f"shape {shape}", shape)
    yield _case("parameters not constant", (2, 19, 4, 5), constant=False)
    yield _case("epsilon", (2, 3, 4, 5), epsilon=0.125)
    relu = EpilogueStep("relu")
    yield _case("relu", (2, 16, 6, 6), epilogue=(relu,))
    yield _case(
        "residual and relu",
        (2, 19, 6, 6),
        epilogue=(EpilogueStep("add", 5), relu),
        operands=(Sample((2, 19, 6, 6)),),
    )
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 20, int(rng.integers(2, 6))))
        yield _case("random", shape, bool(rng.integers(2)))


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), *map(Input, PARAMETERS)),
    attributes={"epsilon": 1e-5},
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=8.0,
    flops=lambda problem: 2.0 * problem.outputs[0].size,
    onnx=("BatchNormalization",),
    epilogue=STEPS,
)


def batch_norm(
    x: Any,
    scale: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    *,
    epsilon: float = 1e-5,
    activation: str | tuple[Any, ...] | None = None,
    residual: Any = None,
    out: Any = None,
) -> Any:
    """Normalise channels with given statistics, as ONNX's BatchNormalization outside training.

    ``activation((x - mean) / sqrt(variance + epsilon) * scale + bias + residual)``.

    Parameters
    ----------
    x : array, shape (N, C, ...)
        At least two dimensions; float32, float64, float16 or bfloat16.
    scale, bias, mean, variance : array, shape (C,)
        Of x's dtype. Parameters that don't change: `dispatch.constant`.
    epsilon
        Added to the variance.
    activation
        A name or a name with its numbers: `dispatch.arguments.ACTIVATIONS`.
    residual : array of x's shape, optional
        Added before the activation.
    out : array, optional
        Where to write the result; may be `x` itself.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        A shape that doesn't fit, or a negative epsilon.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    return call(
        OPERATOR,
        (x, scale, bias, mean, variance),
        (epsilon,),
        out,
        epilogue_of(activation, residual),
    )
