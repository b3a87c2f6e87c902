"""Pad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.tracer import Tracer

__all__ = ["HANDLERS"]

TO_THE_END = 2**62


def pad(call: Call) -> Any:
    """Record Pad: numbers are attributes before version 11, then inputs."""
    x, mode = call[0], call.get("mode", "constant")
    rank = x.ndim
    if call.version < 11:
        pads, value = call.integers("pads") or (), call.get("value", 0.0)
        axes = tuple(range(rank))
    else:
        fill, chosen = call.array(2, "constant_value"), call.array(3, "axes")
        value = 0.0 if fill is None or fill.size == 0 else fill.item()
        axes = tuple(range(rank) if chosen is None else chosen.ravel().tolist())
        given = call.setting(1, "pads")
        if isinstance(given, Tracer):
            return _by_shapes(call, given, axes, mode, value)
        pads = given or ()
    if len(pads) != 2 * len(axes):
        raise ModelError(f"pads: expected two entries for each of {len(axes)} axes, got {pads}")
    before, after = [0] * rank, [0] * rank
    for axis, begin, end in zip(axes, pads[: len(axes)], pads[len(axes) :], strict=True):
        before[normalize_axis("Pad", "axes", axis, rank)] = begin
        after[normalize_axis("Pad", "axes", axis, rank)] = end
    if any(p < 0 for p in (*before, *after)):
        x = dispatch.slice(
            x,
            tuple(max(0, -p) for p in before),
            tuple(p if p < 0 else TO_THE_END for p in after),
            tuple(range(rank)),
        )
    if not any(p > 0 for p in (*before, *after)):
        return x
    rest = tuple(max(0, p) for p in (*before, *after))
    return dispatch.pad(x, rest, mode=mode, value=value)


def _by_shapes(call: Call, pads: Tracer, axes: tuple[int, ...], mode: str, value: Any) -> Any:
    """Record Pad by numbers that follow from shapes: any of them may be negative."""
    x = call[0]
    every = tuple(range(x.ndim))
    if axes != every or pads.spec.shape != (2 * x.ndim,):
        raise ModelError(f"pads: expected two entries for each axis of {x.spec}, got {pads.spec}")
    before, after = (dispatch.slice(pads, (n,), (n + x.ndim,)) for n in (0, x.ndim))
    starts = dispatch.maximum(dispatch.neg(before), 0)
    ends = dispatch.where(dispatch.less(after, 0), after, call.scope.concrete(TO_THE_END, np.int64))
    cut = dispatch.slice(x, starts, ends, every)
    return dispatch.pad(cut, dispatch.maximum(pads, 0), mode=mode, value=value)


HANDLERS: Mapping[str, Handler] = {"Pad": pad}
