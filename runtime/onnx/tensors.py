"""Tensors of a model as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array
from runtime.errors import ModelError
from runtime.onnx.handlers.casts import element_type
from runtime.onnx.library import onnx_library

__all__ = ["tensor_array"]

LARGEST = 2**40
"""Bytes: what claims to be larger is damaged."""


def tensor_array(tensor: Any, folder: Path | None = None) -> Array:
    """Return a tensor's elements, read-only and without a copy where they lie as bytes.

    Parameters
    ----------
    tensor
        ONNX's TensorProto.
    folder
        Where the model lies, for elements in files of their own.

    Raises
    ------
    ModelError
        If the tensor is damaged, of a dtype that isn't served, or lies in a
        file that isn't there or isn't within the folder.
    """
    onnx = onnx_library()
    name = tensor.name or "tensor"
    dtype = numpy_dtype(element_type(tensor.data_type))
    shape = tuple(tensor.dims)
    if any(extent < 0 for extent in shape) or tensor.HasField("segment"):
        raise ModelError(f"{name}: expected extents of at least 0 in one piece, got {shape}")
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > LARGEST:
        raise ModelError(f"{name}: expected at most {LARGEST} bytes, got shape {shape} of {dtype}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        data: Array = _external(tensor, folder, nbytes)
    elif tensor.HasField("raw_data"):
        data = np.frombuffer(tensor.raw_data, np.uint8)
    else:
        return _listed(tensor, shape, dtype)
    if data.nbytes != nbytes:
        raise ModelError(
            f"{name}: expected {nbytes} bytes for shape {shape} of {dtype}, got {data.nbytes}"
        )
    return data.view(dtype).reshape(shape) if nbytes else np.empty(shape, dtype)


def _listed(tensor: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Return elements that the model lists one by one."""
    try:
        array = np.asarray(onnx_library().numpy_helper.to_array(tensor)).astype(dtype, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ModelError(f"{tensor.name or 'tensor'}: damaged elements: {error}") from error
    if array.shape != shape:
        raise ModelError(f"{tensor.name or 'tensor'}: expected shape {shape}, got {array.shape}")
    return array


def _external(tensor: Any, folder: Path | None, nbytes: int) -> Array:
    """Map the part of a file in which a tensor's elements lie."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if folder is None:
        raise ModelError(
            f"{tensor.name}: its elements lie in the file {entries.get('location')!r}: give the "
            f"model's path, so that its folder is known"
        )
    path = _inside(folder, entries.get("location", ""), tensor.name)
    offset = _count(entries, "offset", 0, tensor.name)
    length = _count(entries, "length", nbytes, tensor.name)
    available = path.stat().st_size
    if length != nbytes or offset + length > available:
        raise ModelError(
            f"{tensor.name}: expected {nbytes} bytes from byte {offset} of {path.name}, which has "
            f"{available} bytes, got a length of {length}"
        )
    if not nbytes:
        return np.empty(0, np.uint8)
    return np.memmap(path, np.uint8, "r", offset, (nbytes,)).view(np.ndarray)


def _inside(folder: Path, location: str, name: str) -> Path:
    """Return the path of a tensor's file, which must lie within the model's folder."""
    root = folder.resolve()
    try:
        path = (root / location).resolve()
        inside = bool(location) and path.is_relative_to(root)
        found = inside and path.is_file()
    except (OSError, ValueError, RuntimeError):
        inside = found = False
    if not inside:
        raise ModelError(
            f"{name}: external data at {location!r}: expected a file within the model's folder"
        )
    if not found:
        raise ModelError(f"{name}: external data at {location!r}: no such file in {root}")
    return path


def _count(entries: Mapping[str, str], key: str, default: int, name: str) -> int:
    text = entries.get(key, str(default))
    if not text.isdecimal() or len(text) > 18:
        raise ModelError(f"{name}: external data: {key}: expected a number, got {text!r}")
    return int(text)
