"""From a file, bytes or a model in memory to a checked ModelProto."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from runtime.errors import ModelError
from runtime.onnx.library import onnx_library

__all__ = ["OLDEST", "load_model", "opsets_of"]

OLDEST = 7
"""The first version of the operator set that is served: from it on, broadcasting is NumPy's."""

LARGEST = 2**31 - 1
"""Bytes: protobuf's own limit."""

DEFAULT_DOMAINS = ("", "ai.onnx")


def load_model(source: Any) -> tuple[Any, Path | None]:
    """Return a model, and the folder of its file if there is one.

    Parameters
    ----------
    source
        A path, a file's content as bytes, or ONNX's ModelProto.

    Raises
    ------
    ModelError
        If it isn't an ONNX model, or a damaged one.
    OSError
        If the file can't be read.
    """
    onnx = onnx_library()
    if isinstance(source, onnx.ModelProto):
        return _checked(source, "model"), None
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _checked(_parsed(bytes(source), "model"), "model"), None
    if not isinstance(source, (str, os.PathLike)):
        raise ModelError(f"model: expected a path, bytes or a ModelProto, got {type(source)!r}")
    path = Path(source)
    size = path.stat().st_size
    if size > LARGEST:
        raise ModelError(
            f"{path}: expected at most {LARGEST} bytes, got {size}: larger models keep their "
            f"weights in files of their own"
        )
    return _checked(_parsed(path.read_bytes(), str(path)), str(path)), path.parent


def _parsed(content: bytes, name: str) -> Any:
    from google.protobuf.message import DecodeError

    model = onnx_library().ModelProto()
    try:
        model.ParseFromString(content)
    except (DecodeError, ValueError, RuntimeError, MemoryError) as error:
        raise ModelError(f"{name}: not an ONNX model, or a damaged one: {error}") from error
    return model


def _checked(model: Any, name: str) -> Any:
    """Check what tells a model from other data that protobuf happens to read."""
    if model.ir_version < 1 or not model.HasField("graph") or not model.graph.output:
        raise ModelError(
            f"{name}: not an ONNX model, or a damaged one: expected a version and a graph with "
            f"outputs"
        )
    opsets_of(model.opset_import, name)
    return model


def opsets_of(imports: Any, name: str) -> dict[str, int]:
    """Return the version of each operator set; the default domain's is under ``""``.

    Raises
    ------
    ModelError
        If the default domain's version is missing, too old, or newer than
        those that the package onnx knows.
    """
    opsets = {
        "" if entry.domain in DEFAULT_DOMAINS else entry.domain: entry.version for entry in imports
    }
    version = opsets.get("")
    newest = onnx_library().defs.onnx_opset_version()
    if version is None:
        raise ModelError(f"{name}: expected the version of ONNX's operator set, got none")
    if not OLDEST <= version <= newest:
        raise ModelError(
            f"{name}: expected an operator set from {OLDEST} to {newest}, got {version}: "
            f"onnx.version_converter converts older ones, a newer package onnx knows newer ones"
        )
    return opsets
