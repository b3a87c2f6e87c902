"""Operators on single elements: one table of expressions, in the words of src/functions.h."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from dispatch.answer import No
from dispatch.problem import Problem
from kernels.gpu.mapping import Operand, map_launch, too_many_axes
from kernels.gpu.plan import Plan
from kernels.gpu.strided import broadcast_view, dense, stored_shape
from kernels.gpu.traits import Traits

__all__ = [
    "ELEMENTWISE",
    "RAW",
    "Elementwise",
    "plan_cast",
    "plan_elementwise",
    "plan_where",
    "raw",
]

RAW: Mapping[int, str] = {1: "uint8", 2: "uint16", 4: "uint32", 8: "uint64"}
"""By their bytes, the unsigned integers in which elements are moved, bit by bit."""


def raw(dtype: str) -> str:
    """Return the unsigned integer in which a dtype's elements are moved, bit by bit."""
    return RAW[np.dtype("uint16" if dtype == "bfloat16" else dtype).itemsize]


@dataclass(frozen=True, slots=True)
class Elementwise:
    """An operator's expressions.

    Parameters
    ----------
    floats, integers
        Of floating dtypes, and of integers and truth values; "": it takes none.
    numbers
        What `alpha` and `beta` are, from the attributes and the dtype.
    """

    floats: str = ""
    integers: str = ""
    numbers: Callable[[Mapping[str, Any], str], tuple[float, float]] = lambda a, d: (0.0, 0.0)


def _alpha(attributes: Mapping[str, Any], dtype: str) -> tuple[float, float]:
    return attributes["alpha"], 0.0


def _alpha_beta(attributes: Mapping[str, Any], dtype: str) -> tuple[float, float]:
    return attributes["alpha"], attributes["beta"]


def _bounds(attributes: Mapping[str, Any], dtype: str) -> tuple[float, float]:
    low, high = attributes["minimum"], attributes["maximum"]
    if "float" in dtype:
        return low, high
    limits = np.iinfo(dtype)

    def within(n: float) -> int:
        return int(limits.min if n <= limits.min else limits.max if n >= limits.max else n)

    return within(low), within(high)


def _same(floats: str, integers: str | None = None) -> Elementwise:
    return Elementwise(floats, floats if integers is None else integers)


def _compare(sign: str) -> Elementwise:
    return Elementwise(f"a {sign} b", f"a {sign} b")


def _logical(expression: str) -> Elementwise:
    return Elementwise(integers=expression)


ELEMENTWISE: Mapping[str, Elementwise] = {
    "abs": _same("fabs(a)", "a < 0 ? wrapped_difference(0, a) : a"),
    "add": _same("a + b", "wrapped_sum(a, b)"),
    "atan": Elementwise("atan(a)"),
    "ceil": Elementwise("ceil(a)"),
    "clip": Elementwise("clip_of(a, alpha, beta)", "clip_of(a, alpha, beta)", _bounds),
    "cos": Elementwise("cos(a)"),
    "div": _same("a / b", "quotient_of(a, b)"),
    "elu": Elementwise("elu_of(a, alpha)", numbers=_alpha),
    "equal": _compare("=="),
    "erf": Elementwise("erf_of(a)"),
    "exp": Elementwise("exp(a)"),
    "floor": Elementwise("floor(a)"),
    "fmod": _same("fmod(a, b)", "rest_of(a, b)"),
    "gelu": Elementwise("gelu_of(a)"),
    "greater": _compare(">"),
    "greater_equal": _compare(">="),
    "hard_sigmoid": Elementwise("hard_sigmoid_of(a, alpha, beta)", numbers=_alpha_beta),
    "hard_swish": Elementwise("hard_swish_of(a)"),
    "leaky_relu": Elementwise("leaky_relu_of(a, alpha)", numbers=_alpha),
    "less": _compare("<"),
    "less_equal": _compare("<="),
    "log": Elementwise("log(a)"),
    "logical_and": _logical("a && b"),
    "logical_not": _logical("!a"),
    "logical_or": _logical("a || b"),
    "logical_xor": _logical("a != b"),
    "maximum": _same("larger_of(a, b)"),
    "minimum": _same("smaller_of(a, b)"),
    "mod": _same("modulus_of(a, b)"),
    "mul": _same("a * b", "wrapped_product(a, b)"),
    "neg": _same("-a", "wrapped_difference(0, a)"),
    "not_equal": _compare("!="),
    "pow": _same("pow(a, b)", "power_of(a, b)"),
    "prelu": _same("a < 0 ? b * a : a", "a < 0 ? wrapped_product(b, a) : a"),
    "reciprocal": Elementwise("1 / a"),
    "relu": _same("relu_of(a)"),
    "round": Elementwise("rint(a)"),
    "rsqrt": Elementwise("1 / sqrt(a)"),
    "sigmoid": Elementwise("sigmoid_of(a)"),
    "sign": _same("sign_of(a)"),
    "silu": Elementwise("silu_of(a)"),
    "sin": Elementwise("sin(a)"),
    "sqrt": Elementwise("sqrt(a)"),
    "sub": _same("a - b", "wrapped_difference(a, b)"),
    "tanh": Elementwise("tanh_of(a)"),
}


def plan_elementwise(problem: Problem, traits: Traits) -> Plan | No:
    """Plan an operator of `ELEMENTWISE`."""
    chosen = ELEMENTWISE[problem.operator]
    attributes = dict(problem.attributes)
    expression = chosen.floats if "float" in problem.dtype else chosen.integers
    if attributes.get("approximate") == "tanh":
        expression = "gelu_tanh_of(a)"
    return _plan(
        problem, expression, [t.dtype for t in problem.tensors if t is not None],
        traits, chosen.numbers(attributes, problem.dtype),
    )  # fmt: skip


def plan_cast(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the conversion from one dtype to another."""
    x, y = problem.tensors
    assert x is not None and y is not None
    if y.dtype == x.dtype:
        return _plan(problem, "a", [raw(x.dtype)] * 2, traits)
    return _plan(problem, "a", [x.dtype, y.dtype], traits)


def plan_where(problem: Problem, traits: Traits) -> Plan | No:
    """Plan the choice between two elements, which are moved bit by bit."""
    moved = raw(problem.outputs[0].dtype)
    return _plan(problem, "a ? b : c", ["bool", moved, moved, moved], traits)


def _plan(
    problem: Problem,
    expression: str,
    dtypes: list[str],
    traits: Traits,
    numbers: tuple[float, float] = (0.0, 0.0),
) -> Plan | No:
    y = problem.outputs[0]
    extents = stored_shape(y)
    inputs = [
        Operand(index, dtype, broadcast_view(stored_shape(x), extents))
        for index, (x, dtype) in enumerate(zip(problem.inputs, dtypes[:-1], strict=True))
        if x is not None
    ]
    output = Operand(len(inputs), dtypes[-1], dense(extents))
    refused = too_many_axes(extents, [t.view for t in (*inputs, output)])
    if refused is not None:
        return refused
    same = frozenset(
        index
        for index, x in enumerate(problem.inputs)
        if x is not None and x.shape == y.shape and x.dtype == y.dtype
    )
    if 0 in y.shape:
        return Plan((), may_overwrite=same)
    launch = map_launch(expression, extents, inputs, output, traits, numbers=numbers)
    return Plan((launch,), may_overwrite=same)
