"""Pad."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
from dispatch.shapes import normalize_axis
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler

__all__ = ["HANDLERS"]

TO_THE_END = 2**62


def pad(call: Call) -> Any:
    """Record Pad: numbers are attributes before version 11, then inputs."""
    x = call[0]
    rank = x.ndim
    if call.version < 11:
        pads, value = call.integers("pads") or (), call.get("value", 0.0)
        axes = tuple(range(rank))
    else:
        array, fill, chosen = (
            call.array(i, name) for i, name in ((1, "pads"), (2, "constant_value"), (3, "axes"))
        )
        pads = () if array is None else tuple(array.ravel().tolist())
        value = 0.0 if fill is None or fill.size == 0 else fill.item()
        axes = tuple(range(rank) if chosen is None else chosen.ravel().tolist())
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
    return dispatch.pad(x, rest, mode=call.get("mode", "constant"), value=value)


HANDLERS: Mapping[str, Handler] = {"Pad": pad}
