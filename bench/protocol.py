"""Messages between the command and an engine's process: a line of JSON, then arrays' bytes.

Plain bytes over two streams, so that the process may as well be elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import IO, Any

import numpy as np

from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.operator import Array

__all__ = ["receive", "send"]


def send(stream: IO[bytes], message: Mapping[str, Any], arrays: Sequence[Array] = ()) -> None:
    """Write a message and its arrays."""
    dense = [np.ascontiguousarray(a) for a in arrays]
    described = [{"dtype": dtype_name(a.dtype), "shape": a.shape} for a in arrays]
    stream.write(json.dumps({**message, "arrays": described}).encode() + b"\n")
    for array in dense:
        stream.write(array.view(np.uint8).data if array.size else b"")
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[Array]]:
    """Read what `send` wrote.

    Raises
    ------
    EOFError
        If the other side has closed the stream, or closes it within the message.
    """
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the stream ended")
    message = json.loads(line)
    return message, [_array(stream, described) for described in message.pop("arrays")]


def _array(stream: IO[bytes], described: Mapping[str, Any]) -> Array:
    array = np.empty(described["shape"], numpy_dtype(described["dtype"]))
    wanted = array.nbytes
    read = stream.read(wanted)
    if len(read) != wanted:
        raise EOFError(f"the stream ended: expected {wanted} bytes of an array, got {len(read)}")
    array.reshape(-1).view(np.uint8)[:] = np.frombuffer(read, np.uint8)
    return array
