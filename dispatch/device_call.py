"""The eager call on arrays that lie in a device's own memory.

As `dispatch.call` for the host, with these differences: results are of the
caller's kind and on the caller's queue; a kernel is enqueued, and nothing waits;
nothing is copied between host and device (decision 18).
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from dispatch.answer import Yes
from dispatch.arguments import NUMBERS, freeze, input_names, known_dtype, make_problem, scalar
from dispatch.constant import Constant, DeviceConstant
from dispatch.context import Interned, active, current
from dispatch.contract import DeviceKernel, DevicePrepared, Memory, Queue
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, MemoryMismatch, UnsupportedDtype
from dispatch.memory import Place, dense_buffer, memory_of_device, place_of
from dispatch.operator import Operator
from dispatch.quantized import DeviceQuantizedArray, QuantizedArray
from dispatch.remembered import Entry, entries, remember
from dispatch.selection import Decision, select
from dispatch.tensor import TensorSpec

__all__ = ["call_on_device", "decide_on_device", "device_place"]


def device_place(inputs: Sequence[Any]) -> Place | None:
    """Return the first place of a device's own that an input lies in, None if there is none."""
    for x in inputs:
        kind = type(x)
        if kind is DeviceConstant:
            return place_of(x.array)
        place = place_of(x.array if issubclass(kind, QuantizedArray) else x)
        if place is not None:
            return place
    return None


def call_on_device(
    place: Place,
    operator: Operator,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    out: Any,
    steps: tuple[tuple[str, float, float], ...],
) -> Any:
    """Run an operator on arrays in a device's memory, on their queue.

    Parameters
    ----------
    place
        Where the first of them lies.
    operator, inputs, attributes, out
        As `dispatch.call.call` takes them.
    steps
        The epilogue's, whose operands are the last inputs.

    Raises
    ------
    MemoryMismatch
        If arrays lie in several memories, contexts or queues; names two.
    OutOfMemory
        If the device has no memory for the result.
    """
    setting = current.get() or active()
    memory = place.memory
    queue = _common_queue(operator, inputs, place, setting)
    if any(type(x) in NUMBERS for x in inputs):
        inputs = _with_numbers(operator, inputs, memory, queue)
    key = (operator, setting, attributes, steps, queue, *_keys(inputs, memory))
    try:
        entry = entries.get(key)
    except TypeError:
        attributes = freeze(attributes)
        key = (operator, setting, attributes, steps, queue, *_keys(inputs, memory))
        entry = entries.get(key)
    if entry is None:
        decision = decide_on_device(place, operator, inputs, attributes, steps, setting)
        run = _runner(operator, decision, memory, queue, inputs)
        entry = remember(key, Entry(run, decision), inputs)
    return entry.run(inputs, out)


def decide_on_device(
    place: Place,
    operator: Operator,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    steps: tuple[tuple[str, float, float], ...],
    setting: Interned,
) -> Decision:
    """Return the decision for a call on arrays in a device's memory."""
    memory = place.memory
    queue = _common_queue(operator, inputs, place, setting)
    inputs = _with_numbers(operator, inputs, memory, queue)
    names = input_names(operator, len(inputs))
    specs = tuple(
        None if x is None else _spec(operator, name, x, memory)
        for name, x in zip(names, inputs, strict=True)
    )
    problem = make_problem(operator, specs, attributes, steps, setting)
    problem = replace(problem, device=place.device, device_id=queue.device_id)
    if setting.observe is not None:
        setting.observe(problem)
    return select(problem, setting.settings)


def refuse_host_arrays(operator: Operator, inputs: tuple[Any, ...], setting: Interned) -> None:
    """Raise if the device asked for has memory of its own, in which arrays of the host aren't."""
    if memory_of_device(setting.device) is None:
        return
    names = input_names(operator, len(inputs))
    name = next((n for n, x in zip(names, inputs, strict=True) if x is not None), "inputs")
    raise MemoryMismatch(
        f"{operator.name}: {name}: expected an array in the memory of device {setting.device!r}, "
        f"got one in the host's; nothing is copied between them: copy it yourself"
    )


def _common_queue(
    operator: Operator, inputs: tuple[Any, ...], place: Place, setting: Interned
) -> Queue:
    """Return the queue that all inputs share."""
    memory, found, name_found = place.memory, None, ""
    if setting.settings.device != "cpu" and setting.device != place.device:
        raise _wrong_device(operator, setting, place.device)
    constant: Queue | None = None
    for index, x in enumerate(inputs):
        kind = type(x)
        if x is None or kind in NUMBERS:
            continue
        array = x.array if kind is DeviceConstant or issubclass(kind, QuantizedArray) else x
        if place_of(array) != place or kind is Constant:
            _refuse_mixed(operator, inputs)
        queue = memory.queue_of(array)
        if kind is DeviceConstant:
            constant = constant or queue
            if found is not None and queue.context != found.context:
                _refuse_queue(operator, inputs, index, queue, name_found, found)
        elif found is None:
            found, name_found = queue, input_names(operator, len(inputs))[index]
            if constant is not None and constant.context != queue.context:
                _refuse_queue(operator, inputs, index, queue, "a constant", constant)
        elif queue != found:
            _refuse_queue(operator, inputs, index, queue, name_found, found)
    result = found or constant
    assert result is not None
    if setting.device_id not in (None, result.device_id):
        raise _wrong_device(operator, setting, f"{place.device}:{result.device_id}")
    return result


def _wrong_device(operator: Operator, setting: Interned, got: str) -> MemoryMismatch:
    return MemoryMismatch(
        f"{operator.name}: expected arrays for device {setting.settings.device!r}, as the "
        f"settings say, got some in the memory of device {got!r}"
    )


def _refuse_mixed(operator: Operator, inputs: tuple[Any, ...]) -> None:
    """Raise for arrays in several memories; name one of each."""
    sides: dict[str, str] = {}
    names = input_names(operator, len(inputs))
    for name, x in zip(names, inputs, strict=True):
        if x is None or type(x) in NUMBERS:
            continue
        array = x.array if isinstance(x, (Constant, QuantizedArray)) else x
        place = place_of(array)
        where = "the host's memory" if place is None else str(place.memory.queue_of(array))
        sides.setdefault(where, name)
    (here, x), (there, y) = list(sides.items())[:2]
    raise MemoryMismatch(
        f"{operator.name}: expected arrays in one memory, got {x} in {here} and {y} in {there}; "
        f"nothing is copied between them: copy one yourself"
    )


def _refuse_queue(
    operator: Operator,
    inputs: tuple[Any, ...],
    index: int,
    queue: Queue,
    other_name: str,
    other: Queue,
) -> None:
    name = input_names(operator, len(inputs))[index]
    if queue.context != other.context:
        raise MemoryMismatch(
            f"{operator.name}: expected arrays of one device and context, got {other_name} on "
            f"{other} and {name} on {queue}"
        )
    raise MemoryMismatch(
        f"{operator.name}: expected arrays of one queue, since nothing orders two, got "
        f"{other_name} and {name} on different queues of {queue}"
    )


def _with_numbers(
    operator: Operator, inputs: tuple[Any, ...], memory: Memory, queue: Queue
) -> tuple[Any, ...]:
    """Return the inputs with an array on the device in place of each Python number."""
    if not any(type(x) in NUMBERS for x in inputs):
        return inputs
    like = next(x for x in inputs if not (x is None or type(x) in NUMBERS))
    source = like.array if isinstance(like, (Constant, QuantizedArray)) else like
    dtype = memory.describe(source)[0]
    names = input_names(operator, len(inputs))
    result = []
    for name, x in zip(names, inputs, strict=True):
        if type(x) in NUMBERS:
            value = scalar(f"{operator.name}: {name}", x, dtype)
            x = memory.new_array(queue, (), value.dtype, source)
            memory.fill(queue, x, value)
        result.append(x)
    return tuple(result)


def _spec(operator: Operator, name: str, x: Any, memory: Memory) -> TensorSpec:
    constant = type(x) is DeviceConstant
    held = constant or isinstance(x, QuantizedArray)
    dtype, shape, _ = memory.describe(x.array if held else x)
    quantization = x.quantization if held else None
    known = known_dtype(f"{operator.name}: {name}", dtype)
    return TensorSpec(known, shape, constant=constant, quantization=quantization)


def _keys(inputs: tuple[Any, ...], memory: Memory) -> list[Any]:
    keys: list[Any] = []
    for x in inputs:
        kind = type(x)
        if x is None:
            keys.append(None)
        elif kind is DeviceConstant:
            keys.append(x.token)
        elif issubclass(kind, QuantizedArray):
            keys += (*memory.describe(x.array), x.quantization)
        else:
            keys += memory.describe(x)
    return keys


# ---- Runs ------------------------------------------------------------------------------------


class _Scratch:
    """A queue's scratch: what runs in order on one queue may share one buffer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.size = 0
        self.buffer: Any = None

    def of(self, memory: Memory, queue: Queue, size: int) -> Any:
        """Return a buffer of `size` bytes at least."""
        if size > self.size:
            self.buffer, self.size = None, 0
            self.buffer, self.size = memory.allocate(queue, size), size
        return self.buffer


_scratch: weakref.WeakKeyDictionary[Queue, _Scratch] = weakref.WeakKeyDictionary()


def _runner(
    operator: Operator, decision: Decision, memory: Memory, queue: Queue, inputs: tuple[Any, ...]
) -> Callable[[tuple[Any, ...], Any], Any]:
    """Return the function that serves calls like this one."""
    problem, answer = decision.problem, decision.answer
    prepared, fixed = _prepared(decision, memory, queue, inputs)
    outputs = [(spec.shape, numpy_dtype(spec.dtype)) for spec in problem.outputs]
    quantization = problem.outputs[0].quantization
    size, scratch = answer.scratch_bytes, _scratch.setdefault(queue, _Scratch())
    plain = [
        i for i, x in enumerate(inputs) if not (x is None or type(x) in (DeviceConstant, Constant))
    ]
    first = plain[0] if plain else next(i for i, x in enumerate(inputs) if x is not None)

    def run(inputs: tuple[Any, ...], out: Any) -> Any:
        arrays = [x.array if isinstance(x, QuantizedArray) else x for x in inputs]
        like = arrays[first]
        if type(like) is DeviceConstant:
            like = like.array
        buffers: list[Any] = fixed.copy()
        for i in plain:
            buffers[i] = dense_buffer(memory, queue, arrays[i])
        results = targets = None
        if out is not None:
            targets = list(out) if isinstance(out, tuple) else [out]
            _check_out(operator, decision, memory, queue, targets)
            live = [(i, arrays[i]) for i in plain]
            if len(targets) == 1 and _may_write(memory, queue, targets[0], live, answer):
                results = targets
        if results is None:
            results = [memory.new_array(queue, shape, dtype, like) for shape, dtype in outputs]
        buffers += [memory.buffer(queue, result) for result in results]
        with scratch.lock:
            prepared.run(buffers, queue, scratch.of(memory, queue, size) if size else None)
        if targets is not None and targets is not results:
            for target, result in zip(targets, results, strict=True):
                memory.copy(queue, target, result)
            results = targets
        if quantization is not None:
            return DeviceQuantizedArray(results[0], quantization)
        return results[0] if len(results) == 1 else tuple(results)

    return run


def _prepared(
    decision: Decision, memory: Memory, queue: Queue, inputs: tuple[Any, ...]
) -> tuple[DevicePrepared, list[Any]]:
    """Prepare the kernel, pack the constants; return them in their places."""
    fixed: list[Any] = [None] * len(inputs)
    for index, x in enumerate(inputs):
        if type(x) is DeviceConstant:
            x.wait_on(queue)
            fixed[index] = memory.buffer(queue, x.array)
    kernel = decision.kernel
    assert isinstance(kernel, DeviceKernel)
    prepared = kernel.prepare(decision.problem, fixed, queue)
    for index, value in enumerate(fixed):
        if value is not None and prepared.packed_bytes[index]:
            fixed[index] = prepared.pack(index, value, queue)
    return prepared, fixed


def _may_write(
    memory: Memory, queue: Queue, target: Any, live: list[tuple[int, Any]], answer: Yes
) -> bool:
    """Say whether the kernel may write straight into `target`, perhaps an input's memory."""
    if memory.buffer(queue, target) is None:
        return False
    span = memory.span(target)
    for index, x in live:
        if not memory.span(x).overlaps(span):
            continue
        same = memory.span(x) == span and memory.describe(x) == memory.describe(target)
        if not (same and index in answer.may_overwrite):
            return False
    return True


def _check_out(
    operator: Operator, decision: Decision, memory: Memory, queue: Queue, targets: list[Any]
) -> None:
    outputs = decision.problem.outputs
    if len(targets) != len(outputs):
        raise InvalidArgument(
            f"{operator.name}: out: expected {len(outputs)} arrays, got {len(targets)}"
        )
    for target, spec in zip(targets, outputs, strict=True):
        place = place_of(target)
        if place is None or place.memory is not memory or memory.queue_of(target) != queue:
            where = "the host's memory" if place is None else str(place.memory.queue_of(target))
            raise MemoryMismatch(
                f"{operator.name}: out: expected an array on the inputs' queue of {queue}, "
                f"got {type(target).__name__} in {where}"
            )
        dtype, shape, _ = memory.describe(target)
        if shape != spec.shape:
            raise InvalidArgument(f"{operator.name}: out: expected shape {spec.shape}, got {shape}")
        if dtype_name(dtype) != spec.dtype:
            raise UnsupportedDtype(
                f"{operator.name}: out: expected dtype {spec.dtype}, got {dtype}"
            )
