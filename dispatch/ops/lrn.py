"""Local response normalisation across channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.errors import InvalidArgument
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
from dispatch.shapes import integer, output, real

__all__ = ["OPERATOR", "lrn"]

NAME = "lrn"


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check rank and numbers."""
    (x,) = specs
    assert x is not None
    if x.rank < 2:
        raise InvalidArgument(f"{NAME}: x: expected at least 2 dimensions, got {x.rank} {x.shape}")
    canonical = {
        "size": integer(NAME, "size", attributes["size"], 1),
        "alpha": real(NAME, "alpha", attributes["alpha"]),
        "beta": real(NAME, "beta", attributes["beta"]),
        "bias": real(NAME, "bias", attributes["bias"]),
    }
    return Inferred(canonical, (output(NAME, x.dtype, x.shape),))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """One channel after the other."""
    (x,) = arrays
    assert x is not None
    size = attributes["size"]
    before, after = (size - 1) // 2, size // 2
    y = np.empty_like(x)
    with np.errstate(all="ignore"):
        for c in range(x.shape[1]):
            near = x[:, max(0, c - before) : c + after + 1]
            squares = np.sum(near**2, axis=1)
            base = attributes["bias"] + attributes["alpha"] / size * squares
            y[:, c] = x[:, c] / base ** attributes["beta"]
    return [y]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Windows within and beyond the channels; then random ones."""
    shape: tuple[int, ...]
    attributes: dict[str, Any]
    for shape, size in (
        ((1, 5, 3, 3), 3), ((2, 16, 4, 5), 5), ((1, 17, 3, 3), 4), ((1, 3, 2, 2), 7),
        ((1, 1, 2, 2), 1),
        ((2, 33, 5, 5), 5), ((3, 8), 3), ((2, 6, 7), 2), ((0, 3, 2, 2), 3), ((1, 64, 13, 13), 5),
    ):  # fmt: skip
        yield Case(f"{shape}, size {size}", (Sample(shape, -3.0, 3.0),), {"size": size})
    strong = {"size": 5, "alpha": 0.5, "beta": 0.5, "bias": 2.0}
    yield Case("strong", (Sample((2, 19, 4, 4), -3.0, 3.0),), strong)
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 16, 4))
        attributes = {
            "size": int(rng.integers(1, 8)),
            "alpha": float(rng.choice([1e-4, 0.1])),
            "beta": float(rng.choice([0.75, 0.5, 1.0])),
            "bias": float(rng.choice([1.0, 2.0])),
        }
        yield Case("random", (Sample(shape, -3.0, 3.0),), attributes)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"size": REQUIRED, "alpha": 1e-4, "beta": 0.75, "bias": 1.0},
    dtypes=FLOATS,
    infer=infer,
    reference=reference,
    cases=cases,
    error=16.0,
    flops=lambda problem: 4.0 * problem.outputs[0].size,
    onnx=("LRN",),
)


def lrn(
    x: Any,
    size: int,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    bias: float = 1.0,
    out: Any = None,
) -> Any:
    """Normalise by the squares of neighbouring channels, as ONNX's LRN.

    ``x / (bias + alpha / size * sum(x**2 of size channels)) ** beta``.

    Parameters
    ----------
    x : array, shape (N, C, ...)
        At least two dimensions; float32, float64, float16 or bfloat16.
    size
        Channels in the window, ``(size - 1) // 2`` of them before and
        ``size // 2`` after the element's own.
    alpha, beta, bias
        As in the formula.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's shape, kind and dtype.

    Raises
    ------
    InvalidArgument
        A rank or a number that doesn't fit.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(OPERATOR, (x,), (size, alpha, beta, bias), out)
