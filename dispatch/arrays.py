"""Arrays of other libraries, taken in and given back through DLPack without a copy."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from dispatch.dlpack import Exported, from_capsule
from dispatch.dtypes import SHORT_NAMES, dtype_name
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.operator import Array

__all__ = ["TRACE_HOOK", "from_numpy", "to_numpy"]

TRACE_HOOK = "__dispatch_operator__"
"""An array's type with this class method takes calls over: the tracer's way in."""


def to_numpy(value: Any, name: str) -> Array:
    """Return a NumPy array over an array's own memory.

    Parameters
    ----------
    value
        A NumPy array, or anything with ``__dlpack__`` on the CPU.
    name
        The argument's name, for the message.

    Raises
    ------
    InvalidArgument
        If it is no array, or not in the CPU's memory.
    UnsupportedDtype
        If the project has no such element type.
    """
    if isinstance(value, np.ndarray):
        array = value
    elif isinstance(value, np.generic):
        array = np.asarray(value)
    elif hasattr(value, "__dlpack__"):
        array = _from_dlpack(value, name)
    else:
        raise InvalidArgument(
            f"{name}: expected an array (NumPy, or anything with __dlpack__), "
            f"got {type(value).__name__}"
        )
    if dtype_name(array.dtype) is None:
        raise UnsupportedDtype(
            f"{name}: expected dtype {', '.join(SHORT_NAMES)} in native byte order, "
            f"got {array.dtype!r}"
        )
    return array


def _from_dlpack(value: Any, name: str) -> Array:
    try:
        return from_capsule(value.__dlpack__())
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidArgument(
            f"{name}: expected an array that DLPack gives in the CPU's memory: {error}"
        ) from error


def from_numpy(array: Array, like: Any) -> Any:
    """Return `array` as the kind of array that `like` is, over the same memory."""
    if isinstance(like, (np.ndarray, np.generic)):
        return array
    module = sys.modules[type(like).__module__.partition(".")[0]]
    return module.from_dlpack(Exported(array))
