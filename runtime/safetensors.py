"""Files of tensors in the safetensors format, mapped rather than read."""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.files import replacing
from dispatch.operator import Array
from runtime.errors import ArtifactError

__all__ = ["read", "write"]

HEADER_LIMIT = 100 * 2**20
ALIGNMENT = 64
METADATA = "__metadata__"

_NAMES: Mapping[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint64": "U64",
    "uint32": "U32",
    "uint16": "U16",
    "uint8": "U8",
    "bool": "BOOL",
}
_DTYPES = {short: name for name, short in _NAMES.items()}


def write(
    path: str | os.PathLike[str], tensors: Mapping[str, Array], metadata: Mapping[str, str]
) -> None:
    """Write tensors and text to a file, which takes the place of one that is there at once.

    Wider elements come first, so that all are aligned to their size.
    """
    order = sorted(tensors, key=lambda name: -tensors[name].dtype.itemsize)
    header: dict[str, Any] = {METADATA: dict(metadata)}
    at = 0
    for name in order:
        array = tensors[name]
        dtype = dtype_name(array.dtype)
        if dtype is None or name == METADATA:
            raise ArtifactError(f"{name}: a tensor of dtype {array.dtype} can't be saved")
        end = at + array.nbytes
        header[name] = {
            "dtype": _NAMES[dtype],
            "shape": list(array.shape),
            "data_offsets": [at, end],
        }
        at = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    if len(text) > HEADER_LIMIT:
        raise ArtifactError(f"{path}: expected a header of at most {HEADER_LIMIT} bytes")
    with replacing(path) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in order:
            file.write(np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8).data)


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Array], dict[str, str]]:
    """Return a file's tensors, over the mapped file and read-only, and its metadata.

    Raises
    ------
    ArtifactError
        If anything in it isn't as the format has it.
    """
    with Path(path).open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < 8:
            raise ArtifactError(f"{path}: expected a safetensors file, got {size} bytes")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    (length,) = struct.unpack("<Q", mapped[:8])
    if length > min(HEADER_LIMIT, size - 8):
        raise ArtifactError(
            f"{path}: the header says {length} bytes, more than there are or may be"
        )
    header = _header(path, mapped[8 : 8 + length])
    metadata = header.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ArtifactError(f"{path}: expected texts as metadata")
    data = np.frombuffer(mapped, np.uint8, offset=8 + length)
    spans = {name: _span(path, name, entry) for name, entry in header.items()}
    at = 0
    for name, (begin, end, _, _) in sorted(spans.items(), key=lambda item: item[1][:2]):
        if begin != at:
            raise ArtifactError(f"{path}: {name}: expected to begin at byte {at}, got {begin}")
        at = end
    if at != data.size:
        raise ArtifactError(f"{path}: expected {at} bytes of tensors, got {data.size}")
    return {
        name: data[begin:end].view(numpy_dtype(dtype)).reshape(shape)
        for name, (begin, end, dtype, shape) in spans.items()
    }, metadata


def _header(path: str | os.PathLike[str], text: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ArtifactError(f"{path}: the header has a key twice")
        return found

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: expected JSON as the header: {error}") from error
    if not isinstance(header, dict):
        raise ArtifactError(f"{path}: expected an object as the header")
    return header


def _span(
    path: str | os.PathLike[str], name: str, entry: Any
) -> tuple[int, int, str, tuple[int, ...]]:
    """Check one tensor's entry; return where it lies, its dtype and its shape."""
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ArtifactError(f"{path}: {name}: expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ArtifactError(f"{path}: {name}: dtype {dtype!r} isn't served")
    if not _extents(shape) or len(shape) > 64 or not _extents(offsets) or len(offsets) != 2:
        raise ArtifactError(f"{path}: {name}: expected extents and two offsets as integers")
    begin, end = offsets
    if math.prod(shape) * numpy_dtype(_DTYPES[dtype]).itemsize != end - begin:
        raise ArtifactError(
            f"{path}: {name}: {dtype} {shape} doesn't take the {end - begin} bytes it has"
        )
    return begin, end, _DTYPES[dtype], tuple(shape)


def _extents(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(e, int) and not isinstance(e, bool) and 0 <= e < 2**62 for e in value
    )
