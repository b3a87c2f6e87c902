"""Matrix product of plain integers into int32."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.integer_products import (
    MOST_PRODUCTS,
    check_integer_product,
    draw_integers,
    less_zero_point,
    zero_point_sample,
)
from dispatch.operator import Array, Arrays, Attributes, Case, Inferred, Input, Operator, Specs
from dispatch.ops.matmul import product
from dispatch.ops.qmatmul import flops
from dispatch.quantization import STORED
from dispatch.shapes import output

__all__ = ["OPERATOR", "matmul_integer"]

NAME = "matmul_integer"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the inner extents and zero points, broadcast the other extents."""
    a, b, a_point, b_point = specs
    assert a is not None and b is not None
    shape = product(NAME, a, b, None)
    check_integer_product(NAME, ("a", a, a_point), ("b", b, b_point), b.shape[-1], a.shape[-1])
    return Inferred({}, (output(NAME, "int32", shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Multiply in int64."""
    a, b, a_point, b_point = arrays
    assert a is not None and b is not None
    return [np.matmul(less_zero_point(a, a_point), less_zero_point(b, b_point))]


def _case(
    label: str,
    a: tuple[int, ...],
    b: tuple[int, ...],
    dtypes: tuple[str, str],
    points: tuple[int | None, int | None] = (0, 0),
    constant: bool = True,
    constant_point: bool = True,
    extreme: bool = False,
) -> Case:
    return Case(
        label,
        (
            draw_integers(a, dtypes[0]),
            draw_integers(b, dtypes[1], constant),
            zero_point_sample(dtypes[0], points[0], False, extreme),
            zero_point_sample(dtypes[1], points[1], constant_point, extreme),
        ),
    )


_SHAPES: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((1, 1), (1, 1)), ((3, 5), (5, 7)), ((9, 17), (17, 33)), ((15, 31), (31, 63)),
    ((1, 300), (300, 50)), ((50, 300), (300, 1)), ((64, 64), (64, 64)), ((70, 130), (130, 97)),
    ((0, 5), (5, 3)), ((3, 0), (0, 4)), ((3, 5), (5, 0)), ((2, 7, 5), (5, 6)),
    ((2, 7, 5), (2, 5, 6)), ((2, 1, 7, 5), (3, 5, 6)), ((4, 5), (3, 5, 2)),
)  # fmt: skip


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Boundary cases in each combination of dtypes and constancy, then random ones."""
    for first in STORED:
        for second in STORED:
            both = (first, second)
            label = f"{first} by {second}"
            yield _case(label, (21, 70), (70, 35), both)
            yield _case(f"{label}, no zero points", (21, 70), (70, 35), both, (None, None))
            yield _case(f"{label}, per column", (21, 70), (70, 35), both, (1, 35))
            yield _case(f"{label}, extremes", (7, 33), (33, 35), both, (0, 35), extreme=True)
            yield _case(f"{label}, b not constant", (9, 23), (23, 29), both, (0, 29), False)
            yield _case(
                f"{label}, zero point not constant",
                (9, 23),
                (23, 29),
                both,
                (0, 29),
                constant_point=False,
            )
            yield _case(f"{label}, batches", (3, 9, 8), (3, 8, 11), both, (0, 11), False, False)
        for a, b in _SHAPES:
            yield _case(f"{a} by {b}", a, b, (first, "int8"), (0, 0 if b[-1] % 2 else None))
        longest = (first, "int8")
        most = MOST_PRODUCTS
        yield _case("the longest sums", (2, most), (most, 3), longest, extreme=True)
    while True:
        m, n, k = (int(e) for e in rng.integers(1, 70, 3))
        batch = tuple(int(e) for e in rng.integers(1, 4, int(rng.integers(0, 3))))
        other = tuple(e if rng.integers(2) else 1 for e in batch)[int(rng.integers(2)) :]
        first, second = (str(d) for d in rng.choice(STORED, 2))
        yield _case(
            "random",
            (*batch, m, k),
            (*other, k, n),
            (first, second),
            ((None, 0, 1)[rng.integers(3)], (None, 0, 1, n)[rng.integers(4)]),
            bool(rng.integers(2)),
            bool(rng.integers(2)),
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(
        Input("a"),
        Input("b"),
        Input("a_zero_point", optional=True),
        Input("b_zero_point", optional=True),
    ),
    attributes={},
    dtypes=STORED,
    infer=infer,
    reference=reference,
    cases=cases,
    flops=flops,
    onnx=("MatMulInteger",),
)


def matmul_integer(
    a: Any, b: Any, a_zero_point: Any = None, b_zero_point: Any = None, *, out: Any = None
) -> Any:
    """Multiply matrices of 8-bit integers less their zero points, as ONNX's MatMulInteger.

    For operands whose scales are known only when the values are
    (`dynamic_quantize_linear`); where they are known before, `qmatmul` is faster.

    Parameters
    ----------
    a : array of uint8 or int8, shape (..., M, K)
        Left matrices.
    b : array of uint8 or int8, shape (..., K, N)
        Right matrices; the dimensions before the last two broadcast with a's.
        Weights that don't change: `dispatch.constant`.
    a_zero_point : array of a's dtype, shape () or (1,), optional
        Subtracted from each element of a.
    b_zero_point : array of b's dtype, shape (), (1,) or (N,), optional
        Subtracted from each element of b, or of its column. Constant like b, b is
        packed once.
    out : array of int32, optional
        Where to write the result.

    Returns
    -------
    array of int32, shape (..., M, N)
        Exact.

    Raises
    ------
    InvalidArgument
        A shape that doesn't fit, or sums that int32 might not hold (more than 33025
        products); the message names it.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (a, b, a_zero_point, b_zero_point), (), out)
