"""A replay's inputs and outputs in a device's own memory: what they must be, where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from dispatch.arguments import NUMBERS, scalar
from dispatch.constant import Constant, DeviceConstant
from dispatch.context import Interned
from dispatch.contract import Memory, Queue
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, MemoryMismatch, UnsupportedDtype
from dispatch.memory import place_of
from dispatch.quantized import QuantizedArray
from dispatch.tensor import TensorSpec
from runtime.graph import GraphInput

__all__ = ["DeviceInputs", "check_apart", "check_outputs", "device_inputs"]


class DeviceInputs(NamedTuple):
    """What a replay on a device is given.

    Parameters
    ----------
    arrays
        One for each input, on the queue, of the right dtype.
    queue
        That of all of them.
    like
        One whose kind and allocator results have.
    shapes
        Of the arrays.
    """

    arrays: list[Any]
    queue: Queue
    like: Any
    shapes: tuple[tuple[int, ...], ...]


def device_inputs(
    inputs: Sequence[Any], declared: Sequence[GraphInput], setting: Interned, memory: Memory
) -> DeviceInputs:
    """Check a replay's inputs.

    Raises
    ------
    InvalidArgument, UnsupportedDtype
        Inputs that are no arrays or of another dtype.
    MemoryMismatch
        Inputs in another memory, or on several queues; names two.
    """
    arrays = [_stored(x, i) for x, i in zip(inputs, declared, strict=True)]
    plain: list[tuple[str, Any]] = []
    constants: list[tuple[str, DeviceConstant]] = []
    for x, array, i in zip(inputs, arrays, declared, strict=True):
        if type(array) in NUMBERS:
            continue
        _check_place(array, i.name, setting, memory)
        _check_dtype(array, i.name, i.dtype, memory)
        if isinstance(x, DeviceConstant):
            constants.append((i.name, x))
        else:
            plain.append((i.name, array))
    if not arrays or not (plain or constants):
        raise InvalidArgument(
            f"inputs: expected at least one array in the memory of device "
            f"{setting.settings.device!r}, whose queue the replay runs on, got none"
        )
    first, like = plain[0] if plain else (constants[0][0], constants[0][1].array)
    queue = memory.queue_of(like)
    for name, array in plain:
        if memory.queue_of(array) != queue:
            raise MemoryMismatch(
                f"inputs: expected arrays of one queue, since nothing orders two, got {first} on "
                f"{queue} and {name} on another of {memory.queue_of(array)}"
            )
    for name, constant in constants:
        own = memory.queue_of(constant.array)
        if own.context != queue.context:
            raise MemoryMismatch(
                f"inputs: expected arrays of one device and context, got {first} on {queue} and "
                f"{name} on {own}"
            )
        constant.wait_on(queue)
    for index, (array, i) in enumerate(zip(arrays, declared, strict=True)):
        if type(array) in NUMBERS:
            value = scalar(i.name, array, numpy_dtype(i.dtype))
            arrays[index] = memory.new_array(queue, (), value.dtype, like)
            memory.fill(queue, arrays[index], value)
    return DeviceInputs(arrays, queue, like, tuple(memory.describe(x)[1] for x in arrays))


def _stored(x: Any, declared: GraphInput) -> Any:
    """Return the array of what an input is given, quantised as its declaration says."""
    held = isinstance(x, (Constant, QuantizedArray))
    got = x.quantization if held else None
    if got != declared.quantization:
        wanted = declared.quantization
        raise InvalidArgument(
            f"{declared.name}: expected "
            f"{'a plain array' if wanted is None else f'a quantised array of {wanted}'}, "
            f"got {'a plain one' if got is None else got}"
        )
    return x.array if held else x


def _check_place(array: Any, name: str, setting: Interned, memory: Memory) -> None:
    place = place_of(array)
    here = place is not None and place.memory is memory
    if not here or setting.device_id not in (None, memory.queue_of(array).device_id):
        where = "the host's memory" if place is None else str(place.memory.queue_of(array))
        raise MemoryMismatch(
            f"{name}: expected an array in the memory of device {setting.settings.device!r}, got "
            f"{type(array).__name__} in {where}; nothing is copied between them: copy it yourself"
        )


def _check_dtype(array: Any, name: str, wanted: str, memory: Memory) -> None:
    dtype = memory.describe(array)[0]
    if dtype != numpy_dtype(wanted):
        got = dtype_name(dtype) or dtype
        raise UnsupportedDtype(f"{name}: expected dtype {wanted}, got {got}")


def check_outputs(
    targets: Sequence[Any],
    outputs: Sequence[tuple[str, TensorSpec]],
    setting: Interned,
    memory: Memory,
    queue: Queue,
) -> None:
    """Check the arrays that a bound replay shall write.

    Raises
    ------
    InvalidArgument, UnsupportedDtype
        Of another shape or dtype.
    MemoryMismatch
        In another memory or on another queue.
    """
    for target, (name, spec) in zip(targets, outputs, strict=True):
        _check_place(target, f"out: {name}", setting, memory)
        own = memory.queue_of(target)
        if own != queue:
            raise MemoryMismatch(
                f"out: {name}: expected an array on the inputs' queue of {queue}, got one on "
                f"another of {own}"
            )
        shape = memory.describe(target)[1]
        if shape != spec.shape:
            raise InvalidArgument(f"out: {name}: expected shape {spec.shape}, got {shape}")
        _check_dtype(target, f"out: {name}", spec.dtype, memory)


def check_apart(
    arrays: Sequence[Any], targets: Sequence[Any], memory: Memory, queue: Queue
) -> None:
    """Check that a bound replay's arrays are dense, and that none of what it writes overlaps.

    Raises
    ------
    InvalidArgument
        Else.
    """
    for x in (*arrays, *targets):
        if memory.buffer(queue, x) is None:
            raise InvalidArgument(
                "bind: expected dense, aligned arrays, whose addresses stay, got one that isn't"
            )
    spans = [memory.span(x) for x in (*arrays, *targets)]
    for index in range(len(arrays), len(spans)):
        if any(spans[index].overlaps(other) for other in spans[:index]):
            raise InvalidArgument("out: expected arrays apart from each other and from the inputs")
