"""Fully connected layer."""

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
from dispatch.problem import STEPS, EpilogueStep, Problem
from dispatch.shapes import check_rank, check_same_dtype, output

__all__ = ["OPERATOR", "linear"]

NAME = "linear"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the features."""
    x, w, bias = specs
    assert x is not None and w is not None
    check_same_dtype(NAME, "x", x, w=w)
    check_rank(NAME, "w", w, 2)
    if x.rank < 1:
        raise InvalidArgument(f"{NAME}: x: expected at least 1 dimension, got 0")
    if x.shape[-1] != w.shape[1]:
        raise InvalidArgument(
            f"{NAME}: w: expected {x.shape[-1]} columns, x's last extent, got shape {w.shape}"
        )
    if bias is not None:
        check_same_dtype(NAME, "x", x, bias=bias)
        if bias.shape != (w.shape[0],):
            raise InvalidArgument(f"{NAME}: bias: expected shape ({w.shape[0]},), got {bias.shape}")
    return Inferred({}, (output(NAME, x.dtype, (*x.shape[:-1], w.shape[0])),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    x, w, bias = arrays
    assert x is not None and w is not None
    with np.errstate(all="ignore"):
        y = x @ w.T
        return [y if bias is None else y + bias]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The same of absolute values."""
    return reference([None if a is None else np.abs(a) for a in arrays], attributes)


def flops(problem: Problem) -> float:
    """Two for each product and its sum."""
    w = problem.inputs[1]
    assert w is not None
    return 2.0 * problem.outputs[0].size * w.shape[1]


def _case(
    label: str,
    x: tuple[int, ...],
    features: int,
    bias: bool = True,
    constant: bool = True,
    epilogue: tuple[EpilogueStep, ...] = (),
    operands: tuple[Sample, ...] = (),
) -> Case:
    inputs = (
        Sample(x),
        Sample((features, x[-1]), constant=constant),
        Sample((features,), constant=constant) if bias else None,
    )
    return Case(label, inputs + operands, {}, epilogue)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases, then random ones."""
    for x, features in (
        ((1, 1), 1), ((3, 5), 7), ((8, 16), 32), ((9, 17), 33), ((1, 1024), 100), ((5,), 3),
        ((2, 3, 20), 24), ((1, 40, 120), 65), ((0, 5), 3), ((3, 0), 4), ((3, 5), 0),
        ((2, 3, 4, 5), 6), ((70, 130), 97),
    ):  # fmt: skip
        yield _case(f"{x} to {features}", x, features)
    yield _case("no bias", (9, 33), 18, bias=False)
    yield _case("weight not constant", (9, 33), 18, constant=False)
    relu = EpilogueStep("relu")
    for step in (relu, EpilogueStep("gelu", -1, 1.0), EpilogueStep("silu"), EpilogueStep("tanh")):
        yield _case(step.name, (18, 24), 35, epilogue=(step,))
    yield _case(
        "residual and relu",
        (2, 9, 24),
        20,
        epilogue=(EpilogueStep("add", 3), relu),
        operands=(Sample((2, 9, 20)),),
    )
    while True:
        shape = tuple(int(e) for e in rng.integers(1, 40, int(rng.integers(1, 4))))
        yield _case(
            "random", shape, int(rng.integers(1, 70)), bool(rng.integers(2)), bool(rng.integers(2))
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"), Input("w"), Input("bias", optional=True)),
    attributes={},
    dtypes=(*FLOATS, "int32", "int64"),
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=flops,
    epilogue=STEPS,
)


def linear(
    x: Any,
    w: Any,
    bias: Any = None,
    *,
    activation: str | tuple[Any, ...] | None = None,
    residual: Any = None,
    out: Any = None,
) -> Any:
    """Apply a fully connected layer: ``activation(x @ w.T + bias + residual)``.

    ONNX writes it as Gemm with ``transB=1``, for two dimensions.

    Parameters
    ----------
    x : array, shape (..., K)
        float32, float64, float16, bfloat16, int32 or int64.
    w : array, shape (N, K)
        Weights, of x's dtype. Weights that don't change: `dispatch.constant`.
    bias : array, shape (N,), optional
        Added last.
    activation
        A name or a name with its numbers: `dispatch.arguments.ACTIVATIONS`.
    residual : array of the result's shape, optional
        Added before the activation.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (..., N)
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        Shapes that don't fit; the message names them.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    return call(OPERATOR, (x, w, bias), (), out, epilogue_of(activation, residual))
