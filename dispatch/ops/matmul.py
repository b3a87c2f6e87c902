"""Matrix product."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.arguments import epilogue_of
from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.errors import InvalidArgument, UnsupportedDtype
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
    with_specials,
)
from dispatch.ops.reshape import reshape
from dispatch.problem import STEPS, EpilogueStep, Problem
from dispatch.shapes import broadcast, check_same_dtype, flag, output, real
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "matmul", "product"]

NAME = "matmul"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the inner extents, broadcast the others."""
    a, b, bias = specs
    assert a is not None and b is not None
    check_same_dtype(NAME, "a", a, b=b)
    transpose_a = flag(NAME, "transpose_a", attributes["transpose_a"])
    transpose_b = flag(NAME, "transpose_b", attributes["transpose_b"])
    shape = product(NAME, a, b, bias, transpose_a, transpose_b)
    if bias is not None:
        check_same_dtype(NAME, "a", a, bias=bias)
    alpha = real(NAME, "alpha", attributes["alpha"])
    if "float" not in a.dtype and alpha != 1.0:
        raise UnsupportedDtype(f"{NAME}: alpha: expected 1 for {a.dtype}, got {alpha}")
    canonical = {"transpose_a": transpose_a, "transpose_b": transpose_b, "alpha": alpha}
    return Inferred(canonical, (output(NAME, a.dtype, shape),))


def product(
    operator: str,
    a: TensorSpec,
    b: TensorSpec,
    bias: TensorSpec | None,
    transpose_a: int = 0,
    transpose_b: int = 0,
) -> tuple[int, ...]:
    """Return the shape of a product of matrices, whatever the dtypes."""
    for name, tensor in (("a", a), ("b", b)):
        if tensor.rank < 2:
            raise InvalidArgument(
                f"{operator}: {name}: expected at least 2 dimensions, "
                f"got {tensor.rank} {tensor.shape}"
            )
    rows, inner = a.shape[-2:] if not transpose_a else a.shape[:-3:-1]
    inner_b, columns = b.shape[-2:] if not transpose_b else b.shape[:-3:-1]
    if inner_b != inner:
        raise InvalidArgument(
            f"{operator}: b: expected {inner} rows as a {a.shape} has columns, got {inner_b} of "
            f"{b.shape} (transpose_a={bool(transpose_a)}, transpose_b={bool(transpose_b)})"
        )
    batch: tuple[int, ...] = ()
    if a.rank > 2 or b.rank > 2:
        batch = broadcast(operator, a=a.shape[:-2], b=b.shape[:-2])
    if bias is not None and bias.shape != (columns,):
        raise InvalidArgument(f"{operator}: bias: expected shape ({columns},), got {bias.shape}")
    return (*batch, rows, columns)


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Leave it to NumPy."""
    a, b, bias = arrays
    assert a is not None and b is not None
    with np.errstate(all="ignore"):
        y = np.matmul(
            np.swapaxes(a, -1, -2) if attributes["transpose_a"] else a,
            np.swapaxes(b, -1, -2) if attributes["transpose_b"] else b,
        )
        if y.dtype.kind == "f":
            y = attributes["alpha"] * y
        return [y if bias is None else y + bias]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The product of absolute values."""
    absolute = {**attributes, "alpha": abs(attributes["alpha"])}
    return reference([None if a is None else np.abs(a) for a in arrays], absolute)


def flops(problem: Problem) -> float:
    """Two for each product and its sum."""
    a = problem.inputs[0]
    assert a is not None
    inner = a.shape[-2 if problem.attribute("transpose_a") else -1]
    return 2.0 * problem.outputs[0].size * inner


def _case(
    label: str,
    a: tuple[int, ...],
    b: tuple[int, ...],
    constant: bool = True,
    bias: bool = False,
    epilogue: tuple[EpilogueStep, ...] = (),
    operands: tuple[Sample, ...] = (),
    values: tuple[float, ...] | None = None,
    **attributes: Any,
) -> Case:
    columns = b[-2] if attributes.get("transpose_b") else b[-1]
    inputs = (
        Sample(a, values=values),
        Sample(b, constant=constant),
        Sample((columns,), constant=constant) if bias else None,
    )
    return Case(label, inputs + operands, attributes, epilogue)


_SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((1, 1), (1, 1)), ((3, 5), (5, 7)), ((8, 16), (16, 32)), ((9, 17), (17, 33)),
    ((15, 31), (31, 63)), ((1, 300), (300, 50)), ((50, 300), (300, 1)), ((6, 1), (1, 9)),
    ((64, 64), (64, 64)), ((70, 130), (130, 97)), ((0, 5), (5, 3)), ((3, 0), (0, 4)),
    ((3, 5), (5, 0)), ((2, 7, 5), (5, 6)), ((2, 7, 5), (2, 5, 6)), ((2, 1, 7, 5), (3, 5, 6)),
    ((1, 4, 5), (3, 5, 2)), ((4, 5), (3, 5, 2)), ((0, 4, 5), (5, 2)),
    ((2, 3, 40, 8), (2, 3, 8, 40)),
    ((3, 1025), (1025, 5)),
)  # fmt: skip


_STEPS = (
    EpilogueStep("relu"),
    EpilogueStep("clip", -1, -0.5, 0.75),
    EpilogueStep("gelu", -1, 0.0),
    EpilogueStep("hard_swish"),
    EpilogueStep("silu"),
    EpilogueStep("sigmoid"),
    EpilogueStep("linear", -1, 0.5, -0.25),
    EpilogueStep("hard_sigmoid", -1, 0.2, 0.5),
    EpilogueStep("tanh"),
    EpilogueStep("leaky_relu", -1, 0.1),
    EpilogueStep("elu", -1, 1.0),
    EpilogueStep("gelu", -1, 1.0),
)


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases, then random ones."""
    for a, b in _SHAPES:
        yield _case(f"{a} by {b}", a, b)
    yield _case("b not constant", (19, 23), (23, 29), constant=False)
    yield _case("batches, b not constant", (3, 9, 8), (3, 8, 11), constant=False)
    yield _case("transposed a", (13, 9), (13, 21), transpose_a=True)
    yield _case("transposed b", (9, 13), (21, 13), transpose_b=True)
    yield _case("both transposed", (13, 9), (21, 13), transpose_a=True, transpose_b=True)
    yield _case("batches, transposed b", (2, 3, 9, 8), (2, 3, 7, 8), False, transpose_b=True)
    yield _case("alpha", (9, 16), (16, 8), alpha=0.125)
    yield _case("alpha and bias", (9, 16), (16, 8), bias=True, alpha=-0.5)
    yield _case("alpha 0", (9, 16), (16, 8), bias=True, alpha=0.0)
    yield _case("bias", (17, 40), (40, 33), bias=True)
    yield _case("bias, not constant", (17, 40), (40, 33), constant=False, bias=True)
    yield _case("bias, batches", (2, 5, 6), (6, 9), bias=True)
    yield _case("bias, nothing to add up", (3, 0), (0, 4), bias=True)
    relu = EpilogueStep("relu")
    for step in _STEPS:
        yield _case(step.name, (18, 24), (24, 35), bias=True, epilogue=(step,))
    for steps in ((), *((step,) for step in _STEPS)):
        values = with_specials(18 * 24)
        yield _case("NaN and infinity", (18, 24), (24, 35), epilogue=steps, values=values)
    yield _case(
        "residual and relu",
        (2, 9, 24),
        (24, 20),
        bias=True,
        epilogue=(EpilogueStep("add", 3), relu),
        operands=(Sample((2, 9, 20)),),
    )
    while True:
        m, n, k = (int(e) for e in rng.integers(1, 70, 3))
        batch = tuple(int(e) for e in rng.integers(1, 4, int(rng.integers(0, 3))))
        transpose_a, transpose_b = bool(rng.integers(2)), bool(rng.integers(2))
        other = tuple(e if rng.integers(2) else 1 for e in batch)[int(rng.integers(2)) :]
        yield _case(
            "random",
            (*batch, *((k, m) if transpose_a else (m, k))),
            (*other, *((n, k) if transpose_b else (k, n))),
            constant=bool(rng.integers(2)),
            bias=bool(rng.integers(2)),
            transpose_a=transpose_a,
            transpose_b=transpose_b,
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("a"), Input("b"), Input("bias", optional=True)),
    attributes={"transpose_a": False, "transpose_b": False, "alpha": 1.0},
    dtypes=(*FLOATS, "int32", "int64"),
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=flops,
    onnx=("MatMul", "Gemm"),
    epilogue=STEPS,
)


def matmul(
    a: Any,
    b: Any,
    bias: Any = None,
    *,
    transpose_a: bool = False,
    transpose_b: bool = False,
    alpha: float = 1.0,
    activation: str | tuple[Any, ...] | None = None,
    residual: Any = None,
    out: Any = None,
) -> Any:
    """Multiply matrices, as ONNX's MatMul: ``activation(alpha * (a @ b) + bias + residual)``.

    With two dimensions, `transpose_a`, `transpose_b`, `alpha` and `bias` it is
    ONNX's Gemm.

    Parameters
    ----------
    a : array, shape (..., M, K) or (K,)
        float32, float64, float16, bfloat16, int32 or int64.
    b : array, shape (..., K, N) or (K,)
        Of a's dtype; the dimensions before the last two broadcast with a's. A
        vector counts as one row of `a` or one column of `b`, which the result
        then lacks. Weights that don't change: `dispatch.constant`.
    bias : array, shape (N,), optional
        Added to each row of the result.
    transpose_a, transpose_b
        Exchange the last two dimensions first; not of a vector.
    alpha
        Multiplies the product; 1 for integers, which wrap around.
    activation
        A name or a name with its numbers: `dispatch.arguments.ACTIVATIONS`.
    residual : array of the result's shape, optional
        Added before the activation; not with vectors.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array, shape (..., M, N)
        Of a's kind and dtype.

    Raises
    ------
    InvalidArgument
        Shapes that don't fit; the message names them.
    UnsupportedDtype
        A dtype that isn't served, or dtypes that differ.
    """
    if getattr(a, "ndim", 2) != 1 and getattr(b, "ndim", 2) != 1:
        return call(
            OPERATOR,
            (a, b, bias),
            (transpose_a, transpose_b, alpha),
            out,
            epilogue_of(activation, residual),
        )
    return _with_vectors(a, b, bias, transpose_a, transpose_b, alpha, activation, residual, out)


def _with_vectors(
    a: Any,
    b: Any,
    bias: Any,
    transpose_a: bool,
    transpose_b: bool,
    alpha: float,
    activation: str | tuple[Any, ...] | None,
    residual: Any,
    out: Any,
) -> Any:
    """Give each vector a second dimension, and take it from the result."""
    if residual is not None:
        raise InvalidArgument(f"{NAME}: residual: expected None with vectors, got an array")
    vector_a, vector_b = a.ndim == 1, b.ndim == 1
    for name, vector, transpose in (("a", vector_a, transpose_a), ("b", vector_b, transpose_b)):
        if vector and transpose:
            raise InvalidArgument(f"{NAME}: transpose_{name}: expected False for a vector")
    if vector_a:
        a = reshape(a, (1, *a.shape))
    if vector_b:
        b = reshape(b, (*b.shape, 1))
    y = matmul(
        a,
        b,
        bias,
        transpose_a=transpose_a,
        transpose_b=transpose_b,
        alpha=alpha,
        activation=activation,
    )
    shape = tuple(y.shape)
    if vector_b:
        shape = shape[:-1]
    if vector_a:
        shape = (*shape[:-2], shape[-1]) if not vector_b else shape[:-1]
    return reshape(y, shape, allow_zero=True, out=out)
