"""The ``onnx`` package, which is an extra."""

from __future__ import annotations

import importlib
from typing import Any

from runtime.errors import ModelError

__all__ = ["onnx_library"]


def onnx_library() -> Any:
    """Return the module ``onnx`` with its helpers loaded.

    Raises
    ------
    ModelError
        If it isn't installed.
    """
    try:
        library = importlib.import_module("onnx")
        for part in ("defs", "helper", "numpy_helper"):
            importlib.import_module(f"onnx.{part}")
    except ImportError as error:
        raise ModelError(
            f"importing a model needs the package onnx ({error}): "
            f"pip install 'kernel-dispatch[onnx]'"
        ) from error
    return library
