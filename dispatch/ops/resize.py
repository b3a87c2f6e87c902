"""Interpolation to other extents."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from dispatch.call import call
from dispatch.dtypes import FLOATS
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.interpolation import (
    COORDINATE_MODES,
    NEAREST_MODES,
    coordinates,
    nearest,
    resized,
    taps,
)
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
from dispatch.problem import AttributeValue
from dispatch.shapes import choice, flag, integers, output, real

__all__ = ["OPERATOR", "resize"]

NAME = "resize"
MODES = ("nearest", "linear", "cubic")


def infer(specs: Specs, attributes: Attributes) -> Inferred:
    """Give sizes by scales or scales by sizes; canonical attributes have both."""
    (x,) = specs
    assert x is not None
    sizes, scales = _extents(x.shape, attributes["sizes"], attributes["scales"])
    for axis, (extent, size) in enumerate(zip(x.shape, sizes, strict=True)):
        if extent == 0 and size:
            raise InvalidArgument(f"{NAME}: x: expected elements along axis {axis}, got {x.shape}")
    canonical: dict[str, AttributeValue] = {
        "sizes": sizes,
        "scales": scales,
        "mode": choice(NAME, "mode", attributes["mode"], MODES),
        "coordinate_mode": choice(
            NAME, "coordinate_mode", attributes["coordinate_mode"], COORDINATE_MODES
        ),
        "nearest_mode": choice(NAME, "nearest_mode", attributes["nearest_mode"], NEAREST_MODES),
        "cubic_coefficient": real(NAME, "cubic_coefficient", attributes["cubic_coefficient"]),
        "exclude_outside": flag(NAME, "exclude_outside", attributes["exclude_outside"]),
    }
    if canonical["mode"] != "nearest" and x.dtype not in FLOATS:
        raise UnsupportedDtype(
            f"{NAME}: x: expected {', '.join(FLOATS)} in mode {canonical['mode']}, got {x.dtype}"
        )
    return Inferred(canonical, (output(NAME, x.dtype, sizes),))


def _extents(
    shape: tuple[int, ...], sizes: Any, scales: Any
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    if sizes is None and scales is None:
        raise InvalidArgument(f"{NAME}: sizes: expected sizes or scales, got neither")
    factors: tuple[float, ...] | None = None
    if scales is not None:
        if not hasattr(scales, "__len__") or len(scales) != len(shape):
            raise InvalidArgument(
                f"{NAME}: scales: expected a number for each of x's {len(shape)} axes, "
                f"got {scales!r}"
            )
        factors = tuple(real(NAME, "scales", scale) for scale in scales)
        if any(not 0 < factor < math.inf for factor in factors):
            raise InvalidArgument(f"{NAME}: scales: expected numbers above 0, got {factors}")
    if sizes is not None:
        wanted = integers(NAME, "sizes", sizes, minimum=0)
        if len(wanted) != len(shape):
            raise InvalidArgument(
                f"{NAME}: sizes: expected a number for each of x's {len(shape)} axes, got {wanted}"
            )
    elif factors is not None:
        wanted = tuple(resized(n, f) for n, f in zip(shape, factors, strict=True))
    if factors is None:
        pairs = zip(shape, wanted, strict=True)
        factors = tuple(size / extent if extent and size else 1.0 for extent, size in pairs)
    return wanted, factors


def _interpolate(x: Array, attributes: Attributes, absolute: bool) -> Array:
    """Resize one axis after the other; `absolute` takes the weights' absolute values."""
    mode = attributes["mode"]
    if not x.size:
        return np.zeros(attributes["sizes"])
    for axis, (size, scale) in enumerate(
        zip(attributes["sizes"], attributes["scales"], strict=True)
    ):
        extent = x.shape[axis]
        if size == extent and scale == 1.0:
            continue
        at = coordinates(extent, size, scale, attributes["coordinate_mode"])
        if mode == "nearest":
            x = np.take(x, nearest(at, extent, attributes["nearest_mode"]), axis=axis)
            continue
        shape = [1] * x.ndim
        shape[axis] = size
        parts = taps(
            at,
            extent,
            mode,
            attributes["cubic_coefficient"],
            bool(attributes["exclude_outside"]),
        )
        total: Any = 0.0
        for index, weight in parts:
            factor = np.abs(weight) if absolute else weight
            total = total + np.take(x, index, axis=axis) * factor.reshape(shape)
        x = np.asarray(total)
    return x


def reference(arrays: Arrays, attributes: Attributes) -> list[Array]:
    """Interpolate each axis by itself."""
    (x,) = arrays
    assert x is not None
    return [np.array(_interpolate(x, attributes, absolute=False))]


def magnitude(arrays: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The sum of absolute values; nearest takes elements as they are."""
    (x,) = arrays
    assert x is not None
    if attributes["mode"] == "nearest":
        return [np.zeros(attributes["sizes"])]
    return [_interpolate(np.abs(x), attributes, absolute=True)]


def cases(rng: np.random.Generator) -> Iterator[Case]:
    """Each mode with each coordinate mode, up and down; then random ones."""

    def case(label: str, shape: tuple[int, ...], **attributes: Any) -> Case:
        return Case(label, (Sample(shape, -3.0, 3.0),), attributes)

    for coordinate_mode in COORDINATE_MODES:
        for mode in MODES:
            given = {"mode": mode, "coordinate_mode": coordinate_mode}
            label = f"{mode}, {coordinate_mode}"
            yield case(f"{label}, twice", (1, 17, 5, 6), sizes=(1, 17, 10, 12), **given)
            yield case(f"{label}, down", (2, 3, 11, 9), sizes=(2, 3, 4, 5), **given)
            yield case(f"{label}, scales", (1, 4, 7, 5), scales=(1.0, 1.0, 0.6, 2.3), **given)
            yield case(f"{label}, to one", (1, 3, 5, 4), sizes=(1, 3, 1, 1), **given)
            yield case(f"{label}, from one", (1, 3, 1, 1), sizes=(1, 3, 4, 5), **given)
    for nearest_mode in NEAREST_MODES:
        for coordinate_mode in ("half_pixel", "asymmetric"):
            given = {"nearest_mode": nearest_mode, "coordinate_mode": coordinate_mode}
            label = f"{nearest_mode}, {coordinate_mode}"
            yield case(label, (1, 2, 4, 6), sizes=(1, 2, 8, 3), **given)
    for mode in ("linear", "cubic"):
        yield case(
            f"{mode}, outside excluded",
            (1, 2, 5, 6),
            sizes=(1, 2, 9, 4),
            mode=mode,
            exclude_outside=True,
        )
    yield case(
        "cubic, other coefficient",
        (1, 1, 6, 6),
        sizes=(1, 1, 9, 9),
        mode="cubic",
        cubic_coefficient=-0.5,
    )
    yield case(
        "twice",
        (1, 24, 20, 20),
        sizes=(1, 24, 40, 40),
        coordinate_mode="asymmetric",
        nearest_mode="floor",
    )
    yield case(
        "eight times",
        (1, 24, 5, 5),
        sizes=(1, 24, 40, 40),
        mode="nearest",
        coordinate_mode="asymmetric",
        nearest_mode="floor",
    )
    yield case("the same", (1, 3, 5, 6), sizes=(1, 3, 5, 6), mode="linear")
    yield case("one axis", (7,), sizes=(12,), mode="linear")
    yield case("three axes", (1, 2, 3, 4, 5), sizes=(1, 2, 6, 5, 7), mode="linear")
    yield case("channels too", (1, 4, 5, 5), sizes=(1, 7, 8, 8), mode="linear")
    yield case("empty batch", (0, 3, 4, 4), sizes=(0, 3, 8, 8), mode="linear")
    yield case("to nothing", (1, 3, 4, 4), sizes=(1, 3, 0, 8), mode="linear")
    while True:
        shape = tuple(int(n) for n in rng.integers(1, 14, 4))
        yield case(
            "random",
            shape,
            sizes=(*shape[:2], *(int(n) for n in rng.integers(1, 30, 2))),
            mode=str(rng.choice(MODES)),
            coordinate_mode=str(rng.choice(COORDINATE_MODES)),
            nearest_mode=str(rng.choice(NEAREST_MODES)),
            exclude_outside=bool(rng.integers(2)),
        )


OPERATOR = Operator(
    name=NAME,
    inputs=(Input("x"),),
    attributes={
        "sizes": None,
        "mode": "nearest",
        "coordinate_mode": "half_pixel",
        "nearest_mode": "round_prefer_floor",
        "cubic_coefficient": -0.75,
        "exclude_outside": False,
        "scales": None,
    },
    dtypes=(*FLOATS, "int8", "uint8"),
    infer=infer,
    reference=reference,
    cases=cases,
    magnitude=magnitude,
    error=16.0,
    flops=lambda problem: (
        {"nearest": 0.0, "linear": 8.0, "cubic": 32.0}[str(problem.attribute("mode"))]
        * problem.outputs[0].size
    ),
    onnx=("Resize", "Upsample"),
)


def resize(
    x: Any,
    sizes: tuple[int, ...] | None = None,
    *,
    mode: str = "nearest",
    coordinate_mode: str = "half_pixel",
    nearest_mode: str = "round_prefer_floor",
    cubic_coefficient: float = -0.75,
    exclude_outside: bool = False,
    scales: tuple[float, ...] | None = None,
    out: Any = None,
) -> Any:
    """Resize a tensor by interpolation, as ONNX's Resize without antialiasing and cropping.

    Parameters
    ----------
    x : array
        float32, float64, float16 or bfloat16; in mode ``"nearest"`` int8 or uint8 too.
    sizes
        The result's extent along each axis.
    mode
        ``"nearest"``, ``"linear"`` or ``"cubic"``, along every axis whose
        extent changes.
    coordinate_mode
        How an output's index ``i`` gives a place in the input, computed in
        float64: ``"half_pixel"`` ``(i + 0.5) / scale - 0.5``;
        ``"pytorch_half_pixel"`` the same, 0 for an output of one element;
        ``"align_corners"`` ``i * (n - 1) / (m - 1)`` from extent n to m;
        ``"asymmetric"`` ``i / scale``; ``"half_pixel_symmetric"`` as half_pixel
        with the middles together where the scale isn't ``m / n``.
    nearest_mode
        ``"round_prefer_floor"``, ``"round_prefer_ceil"``, ``"floor"`` or ``"ceil"``.
    cubic_coefficient
        The cubic's parameter.
    exclude_outside
        Weights outside the tensor become 0 and the others add up to 1 again;
        else the edge is repeated.
    scales
        The result's extents over x's, in place of `sizes`: the extents are
        rounded down. With both, `sizes` gives the extents and `scales` the places.
    out : array, optional
        Where to write the result.

    Returns
    -------
    array
        Of x's kind and dtype.

    Raises
    ------
    InvalidArgument
        Neither sizes nor scales, or what doesn't fit x's rank; an unknown mode.
    UnsupportedDtype
        A dtype that isn't served.
    """
    return call(
        OPERATOR,
        (x,),
        (sizes, mode, coordinate_mode, nearest_mode, cubic_coefficient, exclude_outside, scales),
        out,
    )
