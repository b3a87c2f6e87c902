"""Operators that copy elements elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler

__all__ = ["HANDLERS"]


def transpose(call: Call) -> Any:
    """Record Transpose."""
    return dispatch.transpose(call[0], call.integers("perm"))


def concat(call: Call) -> Any:
    """Record Concat."""
    values = call.every()
    return values[0] if len(values) == 1 else dispatch.concat(values, call.get("axis", 1))


def split(call: Call) -> Any:
    """Record Split: into parts of given sizes, or into equal ones."""
    sizes = call.setting(1, "split")
    if sizes is None:
        sizes = call.get("num_outputs", len(call.outputs))
        if sizes != len(call.outputs):
            raise ModelError(f"num_outputs: expected {len(call.outputs)} outputs, got {sizes}")
    return dispatch.split(call[0], sizes, call.get("axis", 0))


def cut(call: Call) -> Any:
    """Record Slice: bounds are attributes before version 10, then inputs."""
    if call.version < 10:
        starts, ends = call.integers("starts"), call.integers("ends")
        if starts is None or ends is None:
            raise ModelError("starts, ends: expected the attributes, got none")
        return dispatch.slice(call[0], starts, ends, call.integers("axes"))
    starts, ends = call.setting(1, "starts"), call.setting(2, "ends")
    return dispatch.slice(call[0], starts, ends, call.setting(3, "axes"), call.setting(4, "steps"))


HANDLERS: Mapping[str, Handler] = {
    "Concat": concat,
    "Slice": cut,
    "Split": split,
    "Transpose": transpose,
}
