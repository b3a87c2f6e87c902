"""Schemas of elementwise operators: one input, or two that broadcast."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dispatch.dtypes import FLOATS
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
    own_magnitude,
)
from dispatch.problem import AttributeValue
from dispatch.shapes import broadcast, check_same_dtype, output
from dispatch.tensor import TensorSpec

__all__ = ["binary", "erf_values", "is_floating", "of_angle", "remainder", "unary"]

Check = Callable[[Attributes, TensorSpec], Mapping[str, AttributeValue]]
Magnitude = Callable[[Arrays, Attributes, Arrays], list[Array]]

_SHAPES: tuple[tuple[int, ...], ...] = (
    (7,), (), (0,), (1,), (3, 5), (2, 3, 0, 4), (16,), (31,), (33,), (64,), (1, 3, 17, 19),
    (2, 16, 5, 5), (100003,),
)  # fmt: skip

_EDGES = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 3e4, -3e4)
_INTEGER_EDGES = (0.0, 1.0, -1.0, 2.0, 100.0, float(2**31 - 1), -float(2**31))


def erf_values(x: Array) -> Array:
    """Return the error function of each element, from the C library."""
    return np.asarray(np.vectorize(math.erf, otypes=[np.float64])(x))


def remainder(of: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """Return a remainder's function with 0 for integers that are divided by 0."""

    def run(a: Array, b: Array) -> Array:
        rest = np.asarray(of(a, b))
        return rest if a.dtype.kind == "f" else np.where(b == 0, 0, rest).astype(a.dtype)

    return run


def is_floating(dtypes: Sequence[str]) -> bool:
    """Say whether any of `dtypes` is a floating one."""
    return any("float" in dtype for dtype in dtypes)


def unary(
    name: str,
    *,
    dtypes: tuple[str, ...],
    reference: Callable[..., Array],
    onnx: tuple[str, ...],
    attributes: Mapping[str, Any] | None = None,
    check: Check | None = None,
    low: float = -6.0,
    high: float = 6.0,
    variants: Sequence[Mapping[str, Any]] = ({},),
    edge_values: tuple[float, ...] | None = None,
    error: float = 4.0,
    magnitude: Magnitude = own_magnitude,
    flops_per_element: float = 1.0,
    output_dtype: str | None = None,
) -> Operator:
    """Return the schema of an operator that maps each element.

    Parameters
    ----------
    reference
        ``reference(x, **attributes) -> y``.
    check
        ``check(attributes, x)`` makes the attributes canonical, raising `InvalidArgument`.
    low, high
        Where conformance draws its values.
    variants
        Attribute settings that conformance tries.
    edge_values
        Values that conformance tries together; default: NaN, infinities, zeros.
        Integers get the largest and smallest.
    output_dtype
        The result's dtype where it isn't the input's.
    """
    defaults = dict(attributes or {})

    def infer(specs: Specs, given: Attributes) -> Inferred:
        (x,) = specs
        assert x is not None
        return Inferred(
            dict(given) if check is None else check(given, x),
            (output(name, output_dtype or x.dtype, x.shape),),
        )

    def run_reference(arrays: Arrays, given: Attributes) -> list[Array]:
        with np.errstate(all="ignore"):
            return [np.asarray(reference(arrays[0], **given))]

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        default = _EDGES if is_floating(dtypes) else ()
        edges = default if edge_values is None else edge_values
        integers = () if set(dtypes) <= set(FLOATS) else _INTEGER_EDGES
        for variant in variants:
            for values in filter(None, (edges, integers)):
                yield Case("edge values", (Sample((len(values),), values=values),), variant)
            for shape in _SHAPES:
                yield Case(f"shape {shape}", (Sample(shape, low, high),), variant)
        while True:
            shape = tuple(int(n) for n in rng.integers(1, 40, int(rng.integers(1, 4))))
            variant = variants[int(rng.integers(len(variants)))]
            yield Case("random", (Sample(shape, low, high),), variant)

    return Operator(
        name=name,
        inputs=(Input("x"),),
        attributes=defaults,
        dtypes=dtypes,
        infer=infer,
        reference=run_reference,
        cases=cases,
        magnitude=magnitude,
        error=error,
        flops=lambda problem: flops_per_element * problem.outputs[0].size,
        onnx=onnx,
        elementwise=True,
    )


def of_angle(name: str, reference: Callable[[Array], Array], onnx: str) -> Operator:
    """Return the schema of a function of angles in radians, tried at far ones too."""
    return unary(
        name,
        dtypes=FLOATS,
        reference=reference,
        onnx=(onnx,),
        low=-30.0,
        high=30.0,
        edge_values=(
            *(math.nan, math.inf, -math.inf, 0.0, -0.0, 1e-20, 0.5, -0.75, 3.0, -1.5),
            # Near multiples of a quarter turn, where a reduced argument loses its digits.
            *(math.pi / 2, -math.pi, 710.0, 3.3e3, 52174.0, -131071.5, 1e7, 3e38),
        ),
    )


_PAIRS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((7,), (7,)), ((), ()), ((5,), ()), ((), (5,)), ((0,), (1,)), ((3, 1), (1, 4)),
    ((2, 3, 5, 7), (2, 3, 5, 7)), ((2, 3, 5, 7), (7,)), ((2, 3, 5, 7), (3, 1, 1)),
    ((2, 3, 5, 7), (2, 1, 5, 1)), ((1, 3, 1, 7), (2, 1, 5, 1)), ((33,), (33,)), ((4, 64), (64,)),
    ((4, 64), (4, 1)), ((1, 16, 9, 9), (1, 16, 1, 1)), ((100003,), (100003,)), ((2, 1, 3), (4, 1)),
    ((2, 2, 2, 2, 2, 3), (2, 1, 2, 1, 2, 1)),
)  # fmt: skip

_PAIR_EDGES = (math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, -2.5, 7.0)


def _each_with_each(values: tuple[float, ...]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return tuple(v for v in values for _ in values), values * len(values)


def binary(
    name: str,
    *,
    dtypes: tuple[str, ...],
    reference: Callable[[Array, Array], Array],
    onnx: tuple[str, ...],
    low: float = -4.0,
    high: float = 4.0,
    second_low: float | None = None,
    second_high: float | None = None,
    edge_values: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    error: float = 4.0,
    magnitude: Magnitude = own_magnitude,
    output_dtype: str | None = None,
) -> Operator:
    """Return the schema of an operator on two inputs of one dtype that broadcast as NumPy's do.

    Parameters
    ----------
    reference
        ``reference(a, b) -> y``.
    second_low, second_high
        Where conformance draws the second input's values; default as the first's.
    edge_values
        Pairs of values that conformance tries; default: each with each of NaN,
        infinities, zeros and some numbers.
    output_dtype
        The result's dtype where it isn't the inputs'.
    """

    def infer(specs: Specs, given: Attributes) -> Inferred:
        a, b = specs
        assert a is not None and b is not None
        check_same_dtype(name, "a", a, b=b)
        shape = broadcast(name, a=a.shape, b=b.shape)
        return Inferred({}, (output(name, output_dtype or a.dtype, shape),))

    def run_reference(arrays: Arrays, given: Attributes) -> list[Array]:
        a, b = arrays
        assert a is not None and b is not None
        with np.errstate(all="ignore"):
            return [np.asarray(reference(a, b))]

    def cases(rng: np.random.Generator) -> Iterator[Case]:
        low_b = low if second_low is None else second_low
        high_b = high if second_high is None else second_high
        floating = _each_with_each(_PAIR_EDGES) if is_floating(dtypes) else None
        integers = None if set(dtypes) <= set(FLOATS) else _each_with_each(_INTEGER_EDGES)
        for pairs in (floating, integers) if edge_values is None else (edge_values,):
            if pairs is not None:
                shape = (len(pairs[0]),)
                samples = (Sample(shape, values=pairs[0]), Sample(shape, values=pairs[1]))
                yield Case("edge values", samples)
        for a, b in _PAIRS:
            yield Case(f"shapes {a} {b}", (Sample(a, low, high), Sample(b, low_b, high_b)))
        while True:
            full = tuple(int(n) for n in rng.integers(1, 12, int(rng.integers(1, 5))))
            a = tuple(n if rng.integers(4) else 1 for n in full)
            b = tuple(n if rng.integers(4) else 1 for n in full)[int(rng.integers(len(full))) :]
            yield Case("random", (Sample(a, low, high), Sample(b, low_b, high_b)))

    return Operator(
        name=name,
        inputs=(Input("a"), Input("b")),
        attributes={},
        dtypes=dtypes,
        infer=infer,
        reference=run_reference,
        cases=cases,
        magnitude=magnitude,
        error=error,
        onnx=onnx,
        elementwise=True,
    )
