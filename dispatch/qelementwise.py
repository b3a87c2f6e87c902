"""Schemas of quantised operators on two inputs that broadcast."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

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
from dispatch.problem import EpilogueStep
from dispatch.quantization import (
    RANGES,
    STORED,
    check_quantized,
    make_quantization,
    output_spec,
)
from dispatch.shapes import broadcast, output
from dispatch.tensor import Quantization, TensorSpec

__all__ = ["quantized_binary"]

Check = Callable[[Quantization, Quantization, Quantization], None]
Combine = Callable[[Any, Any, Quantization, str], Array]

_PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((7,), (7,)), ((), ()), ((5,), ()), ((), (5,)), ((0,), (1,)), ((3, 1), (1, 4)),
    ((2, 3, 5, 7), (2, 3, 5, 7)), ((2, 3, 5, 7), (7,)), ((2, 3, 5, 7), (3, 1, 1)),
    ((2, 3, 5, 7), (2, 1, 5, 1)), ((33,), (33,)), ((4, 64), (64,)), ((4, 64), (4, 1)),
    ((1, 16, 9, 9), (1, 16, 1, 1)), ((100003,), (100003,)), ((2, 1, 3), (4, 1)),
)  # fmt: skip


def _float32(value: float) -> float:
    return float(np.float32(value))


def _sample(shape: tuple[int, ...], dtype: str, scale: float, zero: float) -> Sample:
    low, high = RANGES[dtype]
    point = round(low + zero * (high - low))
    q = Quantization((_float32(scale),), (point,))
    return Sample(shape, low - 0.5, high + 0.5, dtype, quantization=q)


def quantized_binary(
    name: str, *, check: Check, combine: Combine, onnx: tuple[str, ...], scale: float
) -> Operator:
    """Return the schema of an operator on two quantised tensors of one scale each.

    Parameters
    ----------
    check
        ``check(a, b, y)`` raises where the parameters don't go together.
    combine
        ``combine(a, b, y, dtype) -> stored``, on quantised arrays.
    scale
        The result's in cases whose operands have 0.02 and 0.03.
    """

    def infer(specs: Specs, attributes: Attributes) -> Inferred:
        a, b = specs
        assert a is not None and b is not None
        q_a, q_b = check_quantized(name, "a", a), check_quantized(name, "b", b)
        shape = broadcast(name, a=a.shape, b=b.shape)
        y: TensorSpec = output_spec(name, attributes, a.dtype, output(name, a.dtype, shape))
        assert y.quantization is not None
        check(q_a, q_b, y.quantization)
        return Inferred({}, (y,))

    def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
        a, b = arrays
        dtype = attributes["dtype"]
        q = make_quantization(name, attributes["scale"], attributes["zero_point"], None, dtype, ())
        return [combine(a, b, q, dtype)]

    def result(dtype: str, zero: float, loudness: float = 1.0) -> dict[str, Any]:
        low, high = RANGES[dtype]
        point = round(low + zero * (high - low))
        return {"scale": _float32(scale / loudness), "zero_point": point, "dtype": dtype}

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        steps = (EpilogueStep("relu"), EpilogueStep("clip", -1, -0.5, 0.8))
        for first in STORED:
            for second in STORED:
                for third in STORED:
                    pair = (
                        _sample((1, 33, 8, 9), first, 0.02, 0.5),
                        _sample((1, 33, 8, 9), second, 0.03, 0.4),
                    )
                    label = f"{first} and {second} to {third}"
                    yield Case(label, pair, result(third, 0.6))
            for a, b in _PAIRS:
                pair = (_sample(a, first, 0.02, 0.3), _sample(b, first, 0.03, 0.7))
                yield Case(f"shapes {a} {b}", pair, result(first, 0.5))
            pair = (_sample((3, 70), first, 0.02, 0.0), _sample((3, 70), first, 0.03, 1.0))
            yield Case("zero points at the ends", pair, result(first, 0.5))
            yield Case("saturated", pair, result(first, 0.5, 20.0))
            for step in steps:
                yield Case(step.name, pair, result(first, 0.5), (step,))
            yield Case("both steps", pair, result(first, 0.5), steps)
        while True:
            shape = tuple(int(n) for n in rng.integers(1, 12, int(rng.integers(1, 5))))
            other = tuple(n if rng.integers(4) else 1 for n in shape)[
                int(rng.integers(len(shape))) :
            ]
            first, second, third = (str(d) for d in rng.choice(STORED, 3))
            zeros = [float(z) for z in rng.random(3)]
            scales = [float(s) for s in rng.uniform(0.001, 0.1, 2)]
            pair = (
                _sample(shape, first, scales[0], zeros[0]),
                _sample(other, second, scales[1], zeros[1]),
            )
            yield Case("random", pair, result(third, zeros[2], float(rng.uniform(0.5, 4.0))))

    return Operator(
        name=name,
        inputs=(Input("a", quantized=True), Input("b", quantized=True)),
        attributes={"scale": REQUIRED, "zero_point": 0, "dtype": None},
        dtypes=STORED,
        infer=infer,
        reference=reference,
        cases=cases,
        onnx=onnx,
        epilogue=("relu", "clip"),
        quantized_output=True,
    )
