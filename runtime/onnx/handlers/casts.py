"""Changes of the element type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dispatch
from dispatch.dtypes import dtype_name, numpy_dtype
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.library import onnx_library

__all__ = ["HANDLERS", "cast_to", "element_number", "element_type"]


def element_type(number: int) -> str:
    """Return the project's name of one of ONNX's element types.

    Raises
    ------
    ModelError
        If the project has no such dtype.
    """
    onnx = onnx_library()
    try:
        name = dtype_name(onnx.helper.tensor_dtype_to_np_dtype(number))
        text = onnx.TensorProto.DataType.Name(number)
    except (KeyError, ValueError, TypeError):
        name, text = None, f"number {number}"
    if name is None or text == "STRING":
        raise ModelError(f"element type {text} isn't served")
    return name


def element_number(dtype: str) -> int:
    """Return ONNX's number of one of the project's dtypes."""
    number: int = onnx_library().helper.np_dtype_to_tensor_dtype(numpy_dtype(dtype))
    return number


def cast_to(value: Value, dtype: str) -> Any:
    """Return a value in another dtype; itself where it has it."""
    return value if value.spec.dtype == dtype else dispatch.cast(value, dtype)


def cast(call: Call) -> Any:
    """Record Cast."""
    return cast_to(call[0], element_type(call.get("to", 0)))


def cast_like(call: Call) -> Any:
    """Record CastLike: the second input gives the dtype alone."""
    return cast_to(call[0], call[1].spec.dtype)


HANDLERS: Mapping[str, Handler] = {"Cast": cast, "CastLike": cast_like}
