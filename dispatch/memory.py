"""Whose memory an array lies in: the host's, or a device's own, by the packs that are installed.

Nothing is imported to find out: a type is known by its module's name, any other
array by what its ``__dlpack_device__`` says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from dispatch.contract import Memory, Queue
from dispatch.dlpack import CPU_DEVICES
from dispatch.operator import Array
from dispatch.registry import Registry, registry

__all__ = ["Place", "dense_buffer", "memory_of_device", "place_of", "to_device", "to_host"]


class Place(NamedTuple):
    """A device with memory of its own.

    Parameters
    ----------
    device
        A name of `dispatch.devices`.
    memory
        Its memory, as the pack that serves it knows it.
    """

    device: str
    memory: Memory


_ASK_EACH = object()
_known: dict[type, Any] = {np.ndarray: None}
_known_to: Registry | None = None


def place_of(value: Any) -> Place | None:
    """Return the device in whose memory a value lies, None for the host's and for no array."""
    global _known, _known_to
    now = registry()
    if now is not _known_to:
        _known, _known_to = {np.ndarray: None}, now
    kind = type(value)
    if kind not in _known:
        _known[kind] = _place_of_type(kind)
    found: Place | None = _known[kind]
    if found is not _ASK_EACH:
        return found
    number = value.__dlpack_device__()[0]
    return None if number in CPU_DEVICES else _first(lambda m: number in m.dlpack_devices)


def memory_of_device(device: str) -> Memory | None:
    """Return the memory of a device by its name, None if it works in the host's."""
    place = next((p for p in _places() if p.device == device), None)
    return None if place is None else place.memory


def dense_buffer(memory: Memory, queue: Queue, array: Any) -> Any:
    """Return an array's buffer, of a copy on the device where its elements aren't dense."""
    found = memory.buffer(queue, array)
    if found is not None:
        return found
    dtype, shape, _ = memory.describe(array)
    copy = memory.new_array(queue, shape, dtype, array)
    memory.copy(queue, copy, array)
    return memory.buffer(queue, copy)


def to_host(array: Any, memory: Memory) -> Array:
    """Return a copy of an array's elements on the host, and wait for them."""
    queue = memory.queue_of(array)
    dtype, shape, _ = memory.describe(array)
    values = np.empty(shape, dtype)
    memory.read(queue, dense_buffer(memory, queue, array), values)
    return values


def to_device(values: Array, memory: Memory, queue: Queue) -> Any:
    """Return an array of the pack's own kind with a copy of the host's elements, once there."""
    array = memory.new_array(queue, values.shape, values.dtype, None)
    memory.write(queue, memory.buffer(queue, array), np.ascontiguousarray(values))
    return array


def _place_of_type(kind: type) -> Any:
    library = kind.__module__.partition(".")[0]
    found = _first(lambda memory: library in memory.libraries)
    asked = found is None and hasattr(kind, "__dlpack_device__")
    return _ASK_EACH if asked and _first(lambda m: bool(m.dlpack_devices)) else found


def _first(condition: Any) -> Place | None:
    return next((place for place in _places() if condition(place.memory)), None)


def _places() -> Iterable[Place]:
    for pack in registry().packs:
        if pack.memory is not None:
            yield Place(pack.devices[0], pack.memory)
