"""Numbers that the model holds, or that follow from shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler
from runtime.onnx.tensors import tensor_array

__all__ = ["HANDLERS"]


def constant(call: Call) -> Any:
    """Return the value of Constant."""
    attributes = call.attributes
    if "value" in attributes:
        return call.scope.concrete(tensor_array(attributes["value"]))
    for name, dtype in (
        ("value_float", "float32"),
        ("value_floats", "float32"),
        ("value_int", "int64"),
        ("value_ints", "int64"),
    ):
        if name in attributes:
            return call.scope.concrete(attributes[name], dtype)
    held = ", ".join(attributes) or "none"
    raise ModelError(f"expected a tensor or numbers as the value, got {held}")


def constant_of_shape(call: Call) -> Any:
    """Record ConstantOfShape: one number, repeated."""
    given = call.attributes.get("value")
    value = np.zeros(1, np.float32) if given is None else tensor_array(given)
    if value.size != 1:
        raise ModelError(f"value: expected one element, got {value.size}")
    return dispatch.expand(call.scope.concrete(value.reshape(())), call.setting(0, "shape"))


HANDLERS: Mapping[str, Handler] = {
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
}
