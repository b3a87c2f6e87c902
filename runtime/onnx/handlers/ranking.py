"""The largest elements along an axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.onnx.concrete import Concrete

__all__ = ["HANDLERS"]


def top_k(call: Call) -> Any:
    """Record TopK; results are sorted, whether the model needs that or not."""
    return dispatch.top_k(
        call[0],
        _count(call),
        call.get("axis", -1),
        largest=bool(call.get("largest", 1)),
    )


def _count(call: Call) -> Any:
    """Return k, an attribute before version 10, then an input: a number or a traced value."""
    if call.version < 10:
        return call.get("k", 0)
    k = call[1]
    if k.spec.size != 1:
        raise ModelError(f"k: expected one number, got {k.spec}")
    return int(k.array.item()) if isinstance(k, Concrete) else dispatch.reshape(k, ())


HANDLERS: Mapping[str, Handler] = {"TopK": top_k}
