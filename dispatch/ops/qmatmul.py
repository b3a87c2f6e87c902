"""Matrix product of quantised tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.arguments import epilogue_of
from dispatch.call import call
from dispatch.operator import (
    REQUIRED,
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
from dispatch.ops.matmul import product
from dispatch.problem import EpilogueStep, Problem
from dispatch.qproducts import Parameters, check_product, draw_parameters, outputs_of
from dispatch.quantization import STORED, centred, output_spec
from dispatch.quantized import quantized_input
from dispatch.shapes import output

__all__ = ["OPERATOR", "qmatmul"]

NAME = "qmatmul"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the inner extents and quantisation, broadcast the other extents."""
    a, b, bias = specs
    assert a is not None and b is not None
    shape = product(NAME, a, b, bias)
    y = output_spec(NAME, attributes, a.dtype, output(NAME, a.dtype, shape))
    check_product(NAME, ("a", a), ("b", b, b.rank - 1), bias, y, a.shape[-1])
    return Inferred({}, (y,))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Multiply in int64, then requantise."""
    a, b = map(quantized_input, arrays[:2])
    bias = arrays[2]
    real_a, real_b = (centred(t.array, t.quantization) for t in (a, b))
    sums = np.matmul(real_a, real_b)
    if bias is not None:
        sums = sums + bias
    return [outputs_of(sums, a, b, attributes, axis=sums.ndim - 1)]


def flops(problem: Problem) -> float:
    """Two for each product and its sum."""
    a = problem.inputs[0]
    assert a is not None
    return 2.0 * problem.outputs[0].size * a.shape[-1]


def _case(
    label: str,
    a: tuple[int, ...],
    b: tuple[int, ...],
    parameters: Parameters,
    constant: bool = True,
    bias: bool = False,
    epilogue: tuple[EpilogueStep, ...] = (),
) -> Case:
    inputs = (
        parameters.first(a),
        parameters.second(b, len(b) - 1, constant),
        Sample((b[-1],), -3000.0, 3000.0, "int32", constant) if bias else None,
    )
    return Case(label, inputs, parameters.output, epilogue)


_SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((1, 1), (1, 1)), ((3, 5), (5, 7)), ((8, 16), (16, 32)), ((9, 17), (17, 33)),
    ((15, 31), (31, 63)), ((1, 300), (300, 50)), ((50, 300), (300, 1)), ((6, 1), (1, 9)),
    ((64, 64), (64, 64)), ((70, 130), (130, 97)), ((0, 5), (5, 3)), ((3, 0), (0, 4)),
    ((3, 5), (5, 0)), ((2, 7, 5), (5, 6)), ((2, 7, 5), (2, 5, 6)), ((2, 1, 7, 5), (3, 5, 6)),
    ((1, 4, 5), (3, 5, 2)), ((4, 5), (3, 5, 2)), ((0, 4, 5), (5, 2)),
    ((2, 3, 40, 8), (2, 3, 8, 40)), ((3, 1025), (1025, 5)),
)  # fmt: skip


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases in each combination of dtypes, then random ones."""
    relu, clip = EpilogueStep("relu"), EpilogueStep("clip", -1, -0.6, 0.5)
    for first in STORED:
        for second in STORED:
            for result in STORED:
                p = Parameters(first, second, result, sums=70, zero_points=True)
                label = f"{first} by {second} to {result}"
                yield _case(label, (21, 70), (70, 35), p, bias=True)
        for a, b in _SHAPES:
            p = Parameters(first, sums=a[-1], per_channel=b[-1] % 2 == 1)
            yield _case(f"{a} by {b}", a, b, p)
        odd = Parameters(first, "uint8", sums=40, per_channel=True, zero_points=True)
        yield _case("b not constant", (19, 23), (23, 29), odd, constant=False)
        yield _case("batches, b not constant", (3, 9, 8), (3, 8, 11), odd, constant=False)
        yield _case("per column, batches", (2, 5, 40), (2, 40, 33), odd, bias=True)
        yield _case("bias, nothing to add up", (3, 0), (0, 4), odd, bias=True)
        for steps in ((relu,), (clip,), (clip, relu)):
            names = ", ".join(step.name for step in steps)
            yield _case(names, (18, 24), (24, 35), odd, bias=True, epilogue=steps)
        loud = Parameters(first, "uint8", sums=64, loudness=40.0, extremes=True)
        yield _case("saturated", (9, 64), (64, 21), loud)
        yield _case("ties", (16, 1), (1, 16), Parameters(first, ties=True))
        most = Parameters(first, sums=33025, extremes=True)
        yield _case("the longest sums that can't overflow", (2, 33025), (33025, 3), most)
    while True:
        m, n, k = (int(e) for e in rng.integers(1, 70, 3))
        batch = tuple(int(e) for e in rng.integers(1, 4, int(rng.integers(0, 3))))
        other = tuple(e if rng.integers(2) else 1 for e in batch)[int(rng.integers(2)) :]
        yield _case(
            "random",
            (*batch, m, k),
            (*other, k, n),
            draw_parameters(rng, k),
            constant=bool(rng.integers(2)),
            bias=bool(rng.integers(2)),
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(
        Input("a", quantized=True),
        Input("b", quantized=True),
        Input("bias", optional=True),
    ),
    attributes={"scale": REQUIRED, "zero_point": 0, "dtype": None},
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=flops,
    onnx=("QLinearMatMul",),
    epilogue=("relu", "clip"),
    quantized_output=True,
)


def qmatmul(
    a: Any,
    b: Any,
    bias: Any = None,
    *,
    scale: float,
    zero_point: int = 0,
    dtype: str | None = None,
    activation: str | tuple[Any, ...] | None = None,
    out: Any = None,
) -> Any:
    """Multiply quantised matrices, as ONNX's QLinearMatMul.

    The sums are exact; ``docs/decisions/0012-quantised-tensors.md`` says how they
    are rounded to the result.

    Parameters
    ----------
    a : QuantizedArray, shape (..., M, K)
        uint8 or int8 with one scale.
    b : QuantizedArray, shape (..., K, N)
        uint8 or int8 with one scale, or one for each column (its last axis); the
        dimensions before the last two broadcast with a's. Weights that don't
        change: `dispatch.constant`.
    bias : array of int32, shape (N,), optional
        Added to each row, in units of ``a.scale * b.scale``.
    scale, zero_point
        The result's.
    dtype
        The result's, ``"uint8"`` or ``"int8"``; None: as a's.
    activation
        ``"relu"`` or ``("clip", low, high)``, of the real result.
    out : array of the result's dtype, optional
        Where to write the stored values.

    Returns
    -------
    QuantizedArray, shape (..., M, N)

    Raises
    ------
    InvalidArgument
        A shape, scale or zero point that doesn't fit; the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(
        OPERATOR, (a, b, bias), (scale, zero_point, dtype), out, epilogue_of(activation, None)
    )
