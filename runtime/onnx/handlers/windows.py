"""What convolutions and pools share: padding, and windows of one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.errors import ModelError
from runtime.onnx.call import Call, Value
from runtime.onnx.extents import Extents, reshape

__all__ = ["pads_of", "pair", "spatial", "with_height", "without_height"]

AUTO_PAD = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}


def spatial(call: Call, x: Value) -> int:
    """Return the number of spatial dimensions: 1 or 2.

    Raises
    ------
    ModelError
        If there are more, or none.
    """
    count = x.ndim - 2
    if count not in (1, 2):
        raise ModelError(f"expected 1 or 2 spatial dimensions, got {count} (input {x.spec})")
    return count


def pair(values: Sequence[int] | None, default: int, count: int) -> tuple[int, int]:
    """Return an attribute with one entry a spatial dimension as (vertical, horizontal)."""
    given = tuple(values) if values else (default,) * count
    if len(given) != count:
        raise ModelError(f"expected {count} entries, one a spatial dimension, got {given}")
    return (default, given[0]) if count == 1 else (given[0], given[1])


def pads_of(call: Call, count: int) -> Any:
    """Return the padding as the project's operators take it."""
    auto = call.get("auto_pad", "NOTSET")
    if auto in AUTO_PAD:
        return AUTO_PAD[auto]
    if auto not in ("NOTSET", ""):
        raise ModelError(f"auto_pad: expected {', '.join(AUTO_PAD)} or NOTSET, got {auto!r}")
    pads = call.integers("pads") or (0,) * (2 * count)
    if len(pads) != 2 * count:
        raise ModelError(f"pads: expected {2 * count} entries, got {pads}")
    return pads if count == 2 else (0, pads[0], 0, pads[1])


def with_height(call: Call, x: Value) -> Any:
    """Return a row (N, C, W) as an image (N, C, 1, W)."""
    return reshape(call, x, (Extents((0,)), Extents((1,)), 1, Extents((2,))))


def without_height(call: Call, y: Value) -> Any:
    """Return an image (N, C, 1, W) as a row (N, C, W)."""
    return reshape(call, y, (Extents((0,)), Extents((1,)), Extents((3,))))
