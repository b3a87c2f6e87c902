"""Elements around a tensor."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.errors import InvalidArgument
from dispatch.movement import ANY_DTYPE, no_flops, output_bytes
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
from dispatch.ops.slice import slice
from dispatch.shapes import choice, integers, output, real
from dispatch.tensor import TensorSpec

__all__ = ["OPERATOR", "pad"]

NAME = "pad"
MODES = ("constant", "reflect", "edge", "wrap")


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Check the padding and that there is something to repeat."""
    (x,) = specs
    assert x is not None
    pads = integers(NAME, "pads", attributes["pads"], minimum=0)
    if len(pads) != 2 * x.rank:
        raise InvalidArgument(
            f"{NAME}: pads: expected {2 * x.rank} entries, before and after for each of x's "
            f"{x.rank} axes, got {len(pads)}"
        )
    mode = choice(NAME, "mode", attributes["mode"], MODES)
    pairs = list(zip(pads[: x.rank], pads[x.rank :], strict=True))
    for axis, (extent, pair) in enumerate(zip(x.shape, pairs, strict=True)):
        if mode != "constant" and extent == 0 and any(pair):
            raise InvalidArgument(f"{NAME}: x: expected elements along axis {axis}, got {x.shape}")
    value = _value(attributes["value"], x)
    shape = [extent + sum(pair) for extent, pair in zip(x.shape, pairs, strict=True)]
    canonical = {"pads": pads, "mode": mode, "value": value if mode == "constant" else 0.0}
    return Inferred(canonical, (output(NAME, x.dtype, shape),))


def _value(value: Any, x: TensorSpec) -> float:
    """Return the constant: any number for floats, NaN too, a whole one for integers."""
    if "float" in x.dtype and isinstance(value, float) and math.isnan(value):
        return value
    number = real(NAME, "value", int(value) if isinstance(value, (bool, np.bool_)) else value)
    if "float" in x.dtype:
        return number
    low, high = (0, 1) if x.dtype == "bool" else (np.iinfo(x.dtype).min, np.iinfo(x.dtype).max)
    if not (math.isfinite(number) and number == int(number) and low <= number <= high):
        raise InvalidArgument(f"{NAME}: value: expected a value of {x.dtype}, got {value!r}")
    return number


def _indices(extent: int, before: int, after: int, mode: str) -> Array:
    """Return where each element along an axis comes from."""
    at = np.arange(-before, extent + after)
    if mode == "edge":
        return np.clip(at, 0, extent - 1)
    if mode == "wrap":
        return at % extent
    period = max(2 * (extent - 1), 1)
    return np.asarray((extent - 1) - np.abs(at % period - (extent - 1)))


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Fill and copy, or index each axis by where its elements come from."""
    (x,) = arrays
    assert x is not None
    before, after = attributes["pads"][: x.ndim], attributes["pads"][x.ndim :]
    if attributes["mode"] == "constant":
        shape = [a + n + b for a, n, b in zip(before, x.shape, after, strict=True)]
        y = np.full(shape, attributes["value"], x.dtype)
        inside = (builtins.slice(a, a + n) for a, n in zip(before, x.shape, strict=True))
        y[tuple(inside)] = x
        return [y]
    for axis, (a, b) in enumerate(zip(before, after, strict=True)):
        if a or b:
            x = np.take(x, _indices(x.shape[axis], a, b, attributes["mode"]), axis=axis)
    return [x]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each mode on each axis, wider than the tensor too; then random ones."""
    shape: tuple[int, ...]
    attributes: dict[str, Any]
    for mode in MODES:
        for shape, pads in (
            ((5,), (2, 3)), ((5,), (0, 0)), ((3, 4), (0, 2, 1, 0)),
            ((1, 3, 5, 6), (0, 0, 1, 2, 0, 0, 2, 1)),
            ((1, 16, 4, 4), (0, 0, 1, 1, 0, 0, 1, 1)), ((2, 3, 4), (1, 0, 2, 0, 1, 1)),
            ((3,), (7, 8)), ((1, 2), (0, 3, 0, 0)), ((1,), (3, 2)), ((), ()),
            ((4, 33), (0, 5, 0, 6)),
            ((2, 1, 3, 1, 2), (1, 0, 1, 0, 0, 0, 1, 0, 1, 1)),
        ):  # fmt: skip
            attributes = {"pads": pads, "mode": mode}
            yield Case(f"{mode}, {shape} by {pads}", (Sample(shape, -9.0, 9.0),), attributes)
    one = {"pads": (1, 2), "value": 1.0}
    yield Case("value", (Sample((5,), -9.0, 9.0),), one)
    yield Case(
        "channels", (Sample((1, 17, 3, 3)),), {"pads": (0, 1, 0, 0, 0, 14, 0, 0), "value": 1.0}
    )
    yield Case("around nothing", (Sample((0, 3)),), {"pads": (1, 0, 2, 1), "value": 1.0})
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 12, int(rng.integers(1, 5))))
        attributes = {
            "pads": tuple(int(p) for p in rng.integers(0, 5, 2 * len(shape))),
            "mode": str(rng.choice(MODES)),
            "value": float(rng.integers(2)),
        }
        yield Case("random", (Sample(shape, -9.0, 9.0),), attributes)


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={"pads": REQUIRED, "mode": "constant", "value": 0.0},
    dtypes=ANY_DTYPE,
    infer=infer,
    reference=reference,
    cases=cases,
    error=0.0,
    flops=no_flops,
    bytes_moved=output_bytes,
    onnx=("Pad",),
)


def pad(
    x: Any, pads: tuple[int, ...], *, mode: str = "constant", value: float = 0.0, out: Any = None
) -> Any:
    """Put elements around a tensor, as ONNX's Pad.

    Parameters
    ----------
    x : array
        Any shape, any dtype of the project.
    pads
        Elements before each axis, then after each axis; negative ones are cut
        off first.
    mode
        What the new elements are: ``"constant"`` (`value`), ``"reflect"``
        (mirrored, the edge not repeated), ``"edge"`` (the edge repeated) or
        ``"wrap"`` (as if the tensor went round).
    value
        For ``"constant"``.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        Entries that aren't two for each axis, an unknown mode, a value that
        the dtype doesn't have, or nothing to repeat.
    """
    is_traced = hasattr(pads, "__dispatch_operator__")
    if is_traced or not any(isinstance(p, (int, np.integer)) and p < 0 for p in pads):
        return call(OPERATOR, (x,), (pads, mode, value), out)
    numbers, rank = integers(NAME, "pads", pads), len(x.shape)
    starts = tuple(max(0, -p) for p in numbers[:rank])
    ends = tuple(extent + min(0, p) for extent, p in zip(x.shape, numbers[rank:], strict=True))
    if any(end < start for start, end in zip(starts, ends, strict=True)):
        raise InvalidArgument(
            f"{NAME}: pads: expected to cut off at most x's {tuple(x.shape)}, got {numbers}"
        )
    rest = tuple(max(0, p) for p in numbers)
    return pad(slice(x, starts, ends), rest, mode=mode, value=value, out=out)
