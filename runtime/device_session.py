"""A plan on a device with memory of its own: bound beforehand, then enqueued in order."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dispatch.contract import CapturingMemory, DeviceKernel, DevicePrepared, Memory, Queue
from dispatch.dtypes import numpy_dtype
from dispatch.memory import dense_buffer
from dispatch.operator import Array
from runtime.cache import Cache
from runtime.plan.options import Option
from runtime.plan.plan import Plan

__all__ = ["DeviceSession", "DeviceStore", "QueueSession"]

KEPT_QUEUES = 8


class _Held:
    """A constant on a device or a prepared kernel.

    Parameters
    ----------
    value
        A buffer, or what `prepare` gave.
    arrays
        The constants that it is of; held, so that their ids stay their own.
    queue
        Where it was made.
    """

    __slots__ = ("__weakref__", "arrays", "queue", "value")

    def __init__(self, value: Any, arrays: tuple[Array, ...], queue: Queue) -> None:
        self.value, self.arrays, self.queue = value, arrays, queue


class DeviceStore:
    """Constants on a device and prepared kernels, as long as a session made with it has them."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._held: weakref.WeakValueDictionary[Hashable, _Held] = weakref.WeakValueDictionary()
        self._lock = threading.RLock()

    def constant(self, array: Array, queue: Queue) -> _Held:
        """Return the buffer of a constant in its own layout."""

        def copy() -> Any:
            buffer = self._memory.allocate(queue, array.nbytes)
            self._memory.write(queue, buffer, np.ascontiguousarray(array))
            return buffer

        return self._get((), (array,), queue, copy)

    def prepared(self, option: Option, constants: Mapping[int, Array], queue: Queue) -> _Held:
        """Return an option's kernel made ready for the context of a queue."""
        kernel, problem = option.kernel, option.problem
        assert isinstance(kernel, DeviceKernel)

        def prepare() -> Any:
            held = {index: self.constant(array, queue) for index, array in constants.items()}
            known = [held[i].value if i in held else None for i in range(len(problem.inputs))]
            return kernel.prepare(problem, known, queue)

        bound = tuple(constants.values()) if option.answer.binds_constants else ()
        return self._get((kernel.name, problem), bound, queue, prepare)

    def packed(
        self, prepared: DevicePrepared, option: Option, index: int, array: Array, queue: Queue
    ) -> _Held:
        """Return the buffer of what a prepared kernel makes of its constant input `index`."""
        assert option.kernel is not None
        form = (option.kernel.name, option.problem, index)

        def pack() -> Any:
            return prepared.pack(index, self.constant(array, queue).value, queue)

        return self._get(form, (array,), queue, pack)

    def _get(
        self,
        form: Hashable,
        arrays: tuple[Array, ...],
        queue: Queue,
        make: Callable[[], Any],
    ) -> _Held:
        key = (queue.context, form, *map(id, arrays))
        with self._lock:
            found = self._held.get(key)
            if found is None:
                found = self._held[key] = _Held(make(), arrays, queue)
            elif found.queue != queue:
                self._memory.order(found.queue, queue)
            return found


class _Step(NamedTuple):
    """A kernel, and its buffers.

    Parameters
    ----------
    prepared
        The kernel.
    buffers
        One for each input and output; None: absent, or given with each run.
    given
        (position among `buffers`, index among what is given).
    """

    prepared: DevicePrepared
    buffers: list[Any]
    given: tuple[tuple[int, int], ...]


def _filled(step: _Step, given: Sequence[Any]) -> list[Any]:
    """Return a step's buffers with what is given in its places."""
    buffers = step.buffers.copy()
    for position, index in step.given:
        buffers[position] = given[index]
    return buffers


def _bind(step: _Step, given: Sequence[Any], queue: Queue, scratch: Any) -> Callable[[], None]:
    """Return what enqueues a step on what is given."""
    needed = scratch if step.prepared.scratch_bytes else None
    return step.prepared.bind(_filled(step, given), queue, needed)


class QueueSession:
    """A plan made ready for one queue, with memory that its runs share, since they run in order.

    Parameters
    ----------
    plan
        What to run.
    memory, queue
        Where.
    store
        Where constants are kept.

    Raises
    ------
    KernelFailed
        If a kernel can't be built; the message has the compiler's log.
    OutOfMemory
        If the device has no memory for the plan.
    """

    def __init__(self, plan: Plan, memory: Memory, queue: Queue, store: DeviceStore) -> None:
        self._memory, self._queue = memory, queue
        self._recorder = memory if isinstance(memory, CapturingMemory) else None
        self._results = [(spec.shape, numpy_dtype(spec.dtype)) for _, spec in plan.outputs]
        self._inputs = [(spec.shape, numpy_dtype(spec.dtype)) for _, spec in plan.inputs]
        self._lock = threading.Lock()
        self._held: list[_Held] = []
        self._arena = memory.allocate(queue, plan.data["arena_bytes"])
        self._steps = self._prepare(plan, store)
        size = max((step.prepared.scratch_bytes for step in self._steps), default=0)
        self._scratch = memory.allocate(queue, size) if size else None
        # What works on the session's own memory alone is bound once.
        self._bound = [
            None if step.given else _bind(step, (), queue, self._scratch) for step in self._steps
        ]
        self._fixed: _Fixed | None = None

    def _prepare(self, plan: Plan, store: DeviceStore) -> list[_Step]:
        memory, queue, steps = self._memory, self._queue, []
        descriptions = plan.data["buffers"]
        empty = memory.allocate(queue, 0)
        parts = {
            number: memory.part(self._arena, b["offset"], b["bytes"]) if b["bytes"] else empty
            for number, b in enumerate(descriptions)
            if b["kind"] == "arena"
        }
        base = {"input": 0, "output": len(plan.inputs)}
        for option, step in zip(plan.options, plan.data["steps"], strict=True):
            numbers = [*step["inputs"], *step["outputs"]]
            constants: dict[int, Array] = {}
            given: list[tuple[int, int]] = []
            buffers: list[Any] = [None] * len(numbers)
            for position, number in enumerate(numbers):
                if number < 0:
                    continue
                kind = descriptions[number]["kind"]
                if kind == "arena":
                    buffers[position] = parts[number]
                elif kind == "constant":
                    constants[position] = plan.constants[descriptions[number]["name"]]
                else:
                    given.append((position, base[kind] + descriptions[number]["index"]))
            ready = store.prepared(option, constants, queue)
            self._held.append(ready)
            prepared: DevicePrepared = ready.value
            for position, array in constants.items():
                held = (
                    store.packed(prepared, option, position, array, queue)
                    if prepared.packed_bytes[position]
                    else store.constant(array, queue)
                )
                self._held.append(held)
                buffers[position] = held.value
            steps.append(_Step(prepared, buffers, tuple(given)))
        return steps

    def run(self, arrays: Sequence[Any], like: Any) -> list[Any]:
        """Enqueue a run on arrays of the plan's dtypes and shapes.

        Parameters
        ----------
        arrays
            On the queue.
        like
            An array whose kind and allocator the results have.
        """
        memory, queue = self._memory, self._queue
        results = [memory.new_array(queue, shape, dtype, like) for shape, dtype in self._results]
        if self._recorder is not None:
            self._run_captured(self._recorder, arrays, results, like)
            return results
        given = [dense_buffer(memory, queue, x) for x in arrays]
        given += [memory.buffer(queue, y) for y in results]
        with self._lock:
            for step, bound in zip(self._steps, self._bound, strict=True):
                if bound is not None:
                    bound()
                else:
                    scratch = self._scratch if step.prepared.scratch_bytes else None
                    step.prepared.run(_filled(step, given), queue, scratch)
        return results

    def _run_captured(
        self, memory: CapturingMemory, arrays: Sequence[Any], results: Sequence[Any], like: Any
    ) -> None:
        """Copy the inputs, start all at once, copy the results."""
        queue = self._queue
        with self._lock:
            if self._fixed is None:
                sources, targets = (
                    [memory.new_array(queue, shape, dtype, like) for shape, dtype in described]
                    for described in (self._inputs, self._results)
                )
                launch = self._captured(memory, [*sources, *targets])
                self._fixed = _Fixed(sources, targets, launch)
            for target, x in zip(self._fixed.inputs, arrays, strict=True):
                memory.copy(queue, target, x)
            self._fixed.launch(queue)
            for y, source in zip(results, self._fixed.outputs, strict=True):
                memory.copy(queue, y, source)

    def _captured(self, memory: CapturingMemory, arrays: Sequence[Any]) -> Callable[[Queue], None]:
        given = [memory.buffer(self._queue, x) for x in arrays]
        # Not the session itself, which keeps what is recorded: nobody would have either go.
        steps, scratch = self._steps, self._scratch

        def enqueue(queue: Queue) -> None:
            for step in steps:
                _bind(step, given, queue, scratch)()

        return memory.capture(self._queue, enqueue)

    def bound(self, given: Sequence[Any]) -> list[Callable[[], None]]:
        """Return what enqueues each step on fixed buffers: the inputs', then the outputs'."""
        return [
            bound or _bind(step, given, self._queue, self._scratch)
            for step, bound in zip(self._steps, self._bound, strict=True)
        ]

    def alone(self, given: Sequence[Any]) -> list[Callable[[], None]]:
        """Return the same, each recorded alone where work is recorded: to enqueue it takes less."""
        queue, scratch = self._queue, self._scratch
        if self._recorder is None:
            return self.bound(given)

        def recorded(memory: CapturingMemory, step: _Step) -> Callable[[], None]:
            launch = memory.capture(queue, lambda own: _bind(step, given, own, scratch)())
            return partial(launch, queue)

        return [recorded(self._recorder, step) for step in self._steps]

    def bind(self, arrays: Sequence[Any], results: Sequence[Any]) -> Callable[[], None]:
        """Return a function that enqueues runs on arrays and results that stay the same."""
        memory, queue, lock = self._memory, self._queue, self._lock
        if self._recorder is not None:
            launch = self._captured(self._recorder, [*arrays, *results])

            def launch_all() -> None:
                with lock:
                    launch(queue)

            return launch_all
        steps = self.bound([memory.buffer(queue, x) for x in (*arrays, *results)])

        def run_all() -> None:
            with lock:
                for step in steps:
                    step()

        return run_all


class _Fixed(NamedTuple):
    """Arrays of a captured run, and what starts it."""

    inputs: list[Any]
    outputs: list[Any]
    launch: Callable[[Queue], None]


class DeviceSession:
    """A plan on one device, made ready for each queue that asks.

    Parameters
    ----------
    plan
        What to run.
    memory
        The device's.
    store
        Where constants are kept.
    """

    def __init__(self, plan: Plan, memory: Memory, store: DeviceStore) -> None:
        self.plan = plan
        self._memory, self._store = memory, store
        self._queues: Cache[Queue, QueueSession] = Cache(KEPT_QUEUES)
        quantizations = tuple(spec.quantization for _, spec in plan.outputs)
        self.quantizations = quantizations if any(quantizations) else ()

    def on(self, queue: Queue) -> QueueSession:
        """Return the plan made ready for a queue."""
        return self._queues.get(queue, self._made_ready)

    def _made_ready(self, queue: Queue) -> QueueSession:
        return QueueSession(self.plan, self._memory, queue, self._store)

    @property
    def memory(self) -> dict[str, int]:
        """Bytes of the arena, of scratch memory and of packed constants, for each queue."""
        answers = [option.answer for option in self.plan.options]
        return {
            "arena_bytes": self.plan.data["arena_bytes"],
            "scratch_bytes": max((a.scratch_bytes for a in answers), default=0),
            "packed_bytes": sum(sum(a.packed_bytes) for a in answers),
        }

    def seconds(self, arrays: Sequence[Array], repeats: int) -> list[float]:
        """Return the device's time for each step on a queue of the pack's own, and wait.

        Parameters
        ----------
        arrays
            The inputs' values, on the host.
        repeats
            How many runs; the medians count.
        """
        memory = self._memory
        device_id = next((o.problem.device_id for o in self.plan.options), 0)
        queue = memory.open_queue(device_id)
        given = [memory.allocate(queue, x.nbytes) for x in arrays]
        for buffer, x in zip(given, arrays, strict=True):
            memory.write(queue, buffer, x)
        given += [memory.allocate(queue, spec.nbytes) for _, spec in self.plan.outputs]
        session = self.on(queue)
        for step in session.bound(given):  # what a library does at a first run isn't for a record
            step()
        steps = session.alone(given)
        times = [[memory.seconds(queue, step) for step in steps] for _ in range(repeats)]
        found: list[float] = np.median(times, axis=0).tolist() if steps else []
        return found
