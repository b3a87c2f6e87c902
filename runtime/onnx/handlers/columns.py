"""Convolutions of columns: DeformConv, which samples them, and Col2Im, which sums them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.operator import Array
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value, as_integers
from runtime.onnx.extents import static_shape
from runtime.onnx.handlers.casts import cast_to
from runtime.onnx.handlers.windows import pair

__all__ = ["HANDLERS"]


def deform_conv(call: Call) -> Any:
    """Record DeformConv of images: each tap of each window from a place of its own.

    One sampling gives the columns of all taps, one product of their channels the result
    (Dai et al., "Deformable Convolutional Networks", 2017; masks: Zhu et al., 2018).
    """
    x, w, offset = call[0], call[1], call[2]
    bias, mask = call.optional(3), call.optional(4)
    (n, c, height, width), (m, _, *kernel) = (_fixed(call, value, 4) for value in (x, w))
    shape, groups = _fixed(call, offset, 4), call.get("offset_group", 1)
    taps, out = math.prod(kernel), shape[2:]
    if groups < 1 or c % groups or shape[:2] != (n, 2 * taps * groups):
        raise ModelError(
            f"offset: expected {2 * taps} channels for each of {groups} groups of {c} channels, "
            f"got {offset.spec}"
        )
    kind = x.spec.dtype if x.spec.dtype == "float64" else "float32"
    apart = dispatch.reshape(cast_to(offset, kind), (n, groups, taps, 2, *out))
    grid = []
    for axis, extent in ((1, width), (0, height)):
        given = dispatch.gather(apart, call.scope.concrete(axis, np.int64), 3)
        places = dispatch.add(given, call.scope.concrete(_places(call, axis, kernel, out), kind))
        # -1 and 1 are the image's outer edges, pixels' middles half a pixel within.
        scaled = dispatch.add(dispatch.mul(places, 2 / extent), 1 / extent - 1)
        grid.append(dispatch.reshape(scaled, (n * groups, taps * out[0], out[1], 1)))
    image = dispatch.reshape(cast_to(x, kind), (n * groups, c // groups, height, width))
    columns = dispatch.grid_sample(image, dispatch.concat(grid, 3))
    if mask is not None:
        columns = dispatch.reshape(columns, (n, groups, c // groups, taps, *out))
        weights = dispatch.reshape(cast_to(mask, kind), (n, groups, 1, taps, *out))
        columns = dispatch.mul(columns, weights)
    columns = cast_to(dispatch.reshape(columns, (n, c * taps, *out)), x.spec.dtype)
    filters = dispatch.reshape(w, (m, -1, 1, 1))
    return dispatch.conv2d(columns, filters, bias, groups=call.get("group", 1))


def _fixed(call: Call, value: Value, rank: int) -> tuple[int, ...]:
    shape = static_shape(call, value)
    if shape is None or len(shape) != rank:
        raise ModelError(f"expected {rank} fixed extents, got {value.spec}")
    return shape


def _places(call: Call, axis: int, kernel: list[int], out: tuple[int, ...]) -> Array:
    """Return where taps lie along an axis without an offset: (taps, height, width)."""
    stride = pair(call.integers("strides"), 1, 2)[axis]
    dilation = pair(call.integers("dilations"), 1, 2)[axis]
    before = (call.integers("pads") or (0, 0, 0, 0))[axis]
    taps = np.indices(kernel)[axis].reshape(-1, 1, 1) * dilation
    places: Array = taps + np.indices(out)[axis] * stride - before
    return places


def col2im(call: Call) -> Any:
    """Record Col2Im of images: a transposed convolution by filters of a single one."""
    x = call[0]
    image, block = (as_integers(call[i]) for i in (1, 2))
    n, rows, count = _fixed(call, x, 3)
    if not (
        isinstance(image, tuple) and isinstance(block, tuple) and len(image) == len(block) == 2
    ):
        raise ModelError("expected an image and blocks of two known extents")
    strides, dilations = (pair(call.integers(name), 1, 2) for name in ("strides", "dilations"))
    pads = call.integers("pads") or (0, 0, 0, 0)
    room = [image[a] + pads[a] + pads[a + 2] - (block[a] - 1) * dilations[a] - 1 for a in range(2)]
    out = [r // s + 1 for r, s in zip(room, strides, strict=True)]
    taps = math.prod(block)
    if min(room) < 0 or taps < 1 or rows % taps or math.prod(out) != count:
        raise ModelError(
            f"expected {math.prod(out)} columns of a multiple of {taps} rows, got {x.spec}"
        )
    channels = rows // taps
    one = np.tile(np.eye(taps).reshape(taps, 1, *block), (channels, 1, 1, 1))
    return dispatch.conv_transpose2d(
        dispatch.reshape(x, (n, rows, *out)),
        call.scope.concrete(one, x.dtype),
        strides=strides,
        dilations=dilations,
        pads=pads,
        groups=channels,
        output_padding=tuple(r % s for r, s in zip(room, strides, strict=True)),
    )


HANDLERS: Mapping[str, Handler] = {"Col2Im": col2im, "DeformConv": deform_conv}
