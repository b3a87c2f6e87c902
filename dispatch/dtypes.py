"""The element types, under NumPy's names, and the short names that kernels carry."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["BFLOAT16", "FLOATS", "INTEGERS", "SHORT_NAMES", "dtype_name", "numpy_dtype"]

BFLOAT16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)

SHORT_NAMES: dict[str, str] = {
    "float64": "f64",
    "float32": "f32",
    "float16": "f16",
    "bfloat16": "bf16",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "uint64": "u64",
    "uint32": "u32",
    "uint16": "u16",
    "uint8": "u8",
    "bool": "bool",
}
"""Every dtype of the project, and how a kernel's name spells it."""

FLOATS: tuple[str, ...] = ("float32", "float64", "float16", "bfloat16")
INTEGERS: tuple[str, ...] = (
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
)

_NUMPY: dict[str, np.dtype[Any]] = {
    name: BFLOAT16 if name == "bfloat16" else np.dtype(name) for name in SHORT_NAMES
}
_NAMES: dict[np.dtype[Any], str] = {dtype: name for name, dtype in _NUMPY.items()}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return NumPy's dtype of a dtype's name.

    Raises
    ------
    KeyError
        If `name` is not one of `SHORT_NAMES`.
    """
    return _NUMPY[name]


def dtype_name(dtype: np.dtype[Any]) -> str | None:
    """Return the name of NumPy's `dtype`, or None if the project has no such element type.

    A dtype in the other byte order has none.
    """
    return _NAMES.get(dtype)
