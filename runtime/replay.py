"""Replays: a trace planned for one device, and run there: by libreplay on CPUs."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from dispatch.arguments import NUMBERS, scalar
from dispatch.arrays import from_numpy, to_numpy
from dispatch.constant import Constant
from dispatch.context import Fallback, Interned, active, current, settings, using
from dispatch.contract import Kernel, Memory
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, MemoryMismatch, UnsupportedDtype
from dispatch.memory import memory_of_device, place_of, to_host
from dispatch.operator import Array
from dispatch.problem import Precision, Problem
from dispatch.quantized import DeviceQuantizedArray, QuantizedArray
from dispatch.tensor import Quantization
from dispatch.tuning.record import Record
from dispatch.tuning.records import records
from dispatch.tuning.tune import TOTAL_SECONDS, Tuning
from runtime.bound import BoundReplay, host_outputs, refuse_copy
from runtime.cache import Cache, CacheInfo
from runtime.device_arrays import check_apart, check_outputs, device_inputs
from runtime.device_session import DeviceSession, DeviceStore
from runtime.passes.pipeline import adapt, prepare
from runtime.plan.measure import contests, measure_plan, records_of_plan
from runtime.plan.payoff import cheaper
from runtime.plan.plan import Plan, make_plan
from runtime.report import Explanation, Profile
from runtime.session import Session, Store
from runtime.trace import Trace

__all__ = ["CacheInfo", "Replay"]


Shapes: TypeAlias = tuple[tuple[int, ...], ...]
"""Of each input."""


class Replay:
    """A trace planned for a device; called with arrays, it gives what the function would.

    Made by `Trace.compile`. Several threads may call one replay at once.

    Parameters
    ----------
    trace
        What to run.
    device, threads, precision, packs, fallback, deterministic, tuned, tune, tune_seconds
        As in `Trace.compile`.
    cache_size
        As in `Trace.compile`.

    Attributes
    ----------
    trace : Trace
        What it replays.
    graph : Graph
        The trace's, with what holds for every shape folded into constants.
    """

    def __init__(
        self,
        trace: Trace,
        *,
        device: str = "cpu",
        threads: int | None = None,
        precision: Precision = "high",
        packs: str | Sequence[str] | None = None,
        fallback: Fallback | None = None,
        deterministic: bool | None = None,
        tuned: bool | None = None,
        tune: bool = False,
        tune_seconds: float = TOTAL_SECONDS,
        cache_size: int = 8,
    ) -> None:
        if cache_size < 1:
            raise InvalidArgument(f"cache_size: expected at least 1, got {cache_size}")
        self.trace = trace
        with using(
            device=device,
            threads=threads,
            precision=precision,
            packs=packs,
            fallback=fallback,
            deterministic=deterministic,
            tuned=tuned,
        ):
            self._setting: Interned = active()
        self._inputs = trace.graph.inputs
        self._names = [i.name for i in self._inputs]
        self._dtypes = [numpy_dtype(i.dtype) for i in self._inputs]
        self._quantized = any(i.quantization is not None for i in self._inputs)
        self._output_names = [name for name, _ in trace.graph.outputs]
        self._memory = memory_of_device(self._setting.device)
        self._store = Store() if self._memory is None else None
        self._device_store = None if self._memory is None else DeviceStore(self._memory)
        self._sessions: Cache[Shapes, Session] = Cache(cache_size)
        self._device_sessions: Cache[tuple[Shapes, int], DeviceSession] = Cache(cache_size)
        with _under(self._setting):
            self.graph = prepare(trace.graph)
        self._example = tuple(i.example for i in self._inputs)
        _replays.add(self)
        if tune:
            self.tune(seconds=tune_seconds)
        elif self._setting.settings.tuned:
            records().lend(trace.tuned)
        self._planned(self._example)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Run.

        Parameters
        ----------
        *inputs, **named
            The trace's inputs by position or by name; anything that an operator
            takes. Where the trace's is quantised, one of its scale and zero point.
            For a device with memory of its own, arrays there, on one queue.

        Returns
        -------
        array, tuple of array or dict of array
            As the traced function returned; of the first input's kind. On a device with memory
            of its own they are new arrays on the inputs' queue, and nothing waits.

        Raises
        ------
        InvalidArgument, UnsupportedDtype
            Inputs that are missing, too many, or of another dtype or rank.
        MemoryMismatch
            Inputs in another memory than the device's, or on several queues.
        OutOfMemory
            The device has no memory for it.
        PlanError
            Shapes that the trace can't take.
        KernelFailed
            A kernel reported a failure.
        """
        if named:
            inputs = self._in_order(inputs, named)
        elif len(inputs) != len(self._names):
            raise self._wrong_inputs(inputs, named)
        if self._memory is not None:
            return self._run_on_device(inputs, self._memory)
        arrays, like = self._host_arrays(inputs, _dense_copy)
        session = self._sessions.get(tuple([x.shape for x in arrays]), self._made)
        results: list[Any] = session.run(arrays)
        if session.quantizations:
            results = _with_meaning(results, session.quantizations, like)
        elif like is not None:
            results = [from_numpy(y, like) for y in results]
        return self._structured(results)

    def _run_on_device(self, inputs: tuple[Any, ...], memory: Memory) -> Any:
        given = device_inputs(inputs, self._inputs, self._setting, memory)
        session = self._on_device(given.shapes, given.queue.device_id)
        results = session.on(given.queue).run(given.arrays, given.like)
        return self._structured(_on_device_with_meaning(results, session.quantizations))

    def bind(self, *inputs: Any, out: Any = None, **named: Any) -> BoundReplay:
        """Fix what is read and written, for runs with nothing left to look up.

        Parameters
        ----------
        *inputs, **named
            As in a call; each array dense. Runs read what they hold then.
        out : array, tuple of array or dict of array
            What runs write, in the form of what the traced function returned: dense arrays of the
            results' shapes and dtypes, apart from each other and from the inputs. None: new ones.

        Returns
        -------
        BoundReplay
            Call it to run. On a device with memory of its own each call enqueues, where the
            device can by a single launch.

        Raises
        ------
        InvalidArgument, UnsupportedDtype, MemoryMismatch, OutOfMemory, PlanError
            As in a call; and for `out` that doesn't fit.

        Examples
        --------
        >>> bound = trace.compile().bind(x)
        >>> x[...] = frame
        >>> y = bound()
        """
        if named:
            inputs = self._in_order(inputs, named)
        elif len(inputs) != len(self._names):
            raise self._wrong_inputs(inputs, named)
        targets = None if out is None else self._targets(out)
        if self._memory is not None:
            return self._bound_on_device(inputs, targets, self._memory)
        arrays, like = self._host_arrays(inputs, refuse_copy)
        session = self._sessions.get(tuple([x.shape for x in arrays]), self._made)
        results = host_outputs(targets, session.plan.outputs, arrays)
        run = session.bind(arrays, results)
        shown: list[Any] = list(results)
        if targets is not None:
            shown = targets
        elif like is not None and not session.quantizations:
            shown = [from_numpy(y, like) for y in results]
        if session.quantizations:
            shown = _with_meaning(results, session.quantizations, like)
        return BoundReplay(run, inputs, self._structured(shown))

    def _bound_on_device(
        self, inputs: tuple[Any, ...], targets: list[Any] | None, memory: Memory
    ) -> BoundReplay:
        given = device_inputs(inputs, self._inputs, self._setting, memory)
        session = self._on_device(given.shapes, given.queue.device_id)
        outputs = session.plan.outputs
        if targets is None:
            targets = [
                memory.new_array(given.queue, spec.shape, numpy_dtype(spec.dtype), given.like)
                for _, spec in outputs
            ]
        else:
            check_outputs(targets, outputs, self._setting, memory, given.queue)
        check_apart(given.arrays, targets, memory, given.queue)
        run = session.on(given.queue).bind(given.arrays, targets)
        shown = _on_device_with_meaning(targets, session.quantizations)
        return BoundReplay(run, tuple(given.arrays), self._structured(shown))

    def _targets(self, out: Any) -> list[Any]:
        """Return the arrays of `out` in the outputs' order."""
        names = self._output_names
        structure = self.trace.structure
        if structure == "dict":
            if not isinstance(out, dict) or set(out) != set(names):
                raise InvalidArgument(f"out: expected a dictionary with {', '.join(names)}")
            return [out[name] for name in names]
        found = [out] if structure == "single" else out
        if not isinstance(found, (list, tuple)) or len(found) != len(names):
            raise InvalidArgument(f"out: expected a tuple of {len(names)} arrays")
        return list(found)

    def _structured(self, results: list[Any]) -> Any:
        structure = self.trace.structure
        if structure == "single":
            return results[0]
        if structure == "tuple":
            return tuple(results)
        return dict(zip(self._output_names, results, strict=True))

    def _host_arrays(
        self, inputs: tuple[Any, ...], make_dense: Callable[[str, Array], Array]
    ) -> tuple[list[Array], Any]:
        """Return the inputs as dense NumPy arrays, and one of another kind if there is any."""
        like: Any = None
        if self._quantized:
            inputs = tuple(self._stored(index, x) for index, x in enumerate(inputs))
        arrays = list(inputs)
        for index, x in enumerate(arrays):
            if type(x) is not np.ndarray:
                if like is None and not isinstance(x, (Constant, bool, int, float, np.generic)):
                    like = x
                x = arrays[index] = self._array(index, x)
            if x.dtype != self._dtypes[index]:
                raise self._wrong_dtype(index, x)
            flags = x.flags
            if not (flags.c_contiguous and flags.aligned):
                arrays[index] = make_dense(self._names[index], x)
        return arrays, like

    def tune(
        self,
        *,
        seconds: float = TOTAL_SECONDS,
        again: bool = False,
        progress: bool | None = None,
        **shapes: Sequence[int],
    ) -> Tuning:
        """Measure what plans for input shapes choose between, and plan by that from now on.

        Parameters
        ----------
        seconds, again, progress
            As in `dispatch.tune`.
        **shapes
            The shape of each input by name; those left out are the example's.

        Returns
        -------
        Tuning
            The times; prints as a table.
        """
        wanted = dict(zip(self._names, self._shapes(shapes), strict=True))
        with self._cache.making:
            with _under(self._setting), using(tuned=True):
                self._setting = active()
            records().lend(self.trace.tuned)
            with _under(self._setting):
                found = measure_plan(
                    self.graph,
                    wanted,
                    self._setting.settings,
                    seconds=seconds,
                    again=again,
                    progress=progress,
                )
            self._cache.clear()
        return found

    def records(self) -> tuple[Record, ...]:
        """Return the measured times that there are of what its plans choose between."""
        on_devices = [shapes for shapes, _ in self._device_sessions.held()]
        held = dict.fromkeys([*self._sessions.held(), *on_devices])
        found: dict[Record, None] = {}
        records().lend(self.trace.tuned)
        with _under(self._setting), using(tuned=True):
            for shapes in held:
                given = dict(zip(self._names, shapes, strict=True))
                found.update(dict.fromkeys(records_of_plan(self.graph, given, settings())))
        return tuple(found)

    def candidates(self, **shapes: Sequence[int]) -> tuple[tuple[Kernel, Problem], ...]:
        """Return every kernel that planning for input shapes chooses among, and for what problem.

        Parameters
        ----------
        **shapes
            The shape of each input by name; those left out are the example's.
        """
        wanted = dict(zip(self._names, self._shapes(shapes), strict=True))
        with _under(self._setting):
            held = contests(self.graph, wanted, self._setting.settings)
        return tuple((c.kernel, c.problem) for contest in held for c in contest.contestants)

    def cache_info(self) -> CacheInfo:
        """Return the counters of the plans' cache."""
        return self._cache.info()

    @property
    def _cache(self) -> Cache[Any, Any]:
        return self._sessions if self._memory is None else self._device_sessions

    def plan(self, **shapes: Sequence[int]) -> Plan:
        """Return the plan for input shapes by name; those left out are the example's."""
        return self._planned(self._shapes(shapes)).plan

    def _planned(self, shapes: Shapes) -> Session | DeviceSession:
        if self._memory is None:
            return self._sessions.get(shapes, self._made)
        return self._on_device(shapes, self._setting.device_id or 0)

    def _on_device(self, shapes: Shapes, device_id: int) -> DeviceSession:
        return self._device_sessions.get((shapes, device_id), self._made_on_device)

    def explain(self, **shapes: Sequence[int]) -> Explanation:
        """Say which kernel each step got, in which layout, and why not the others.

        Parameters
        ----------
        **shapes
            The shape of each input by name; those left out are the example's.

        Returns
        -------
        Explanation
            Prints as a table; `Explanation.rows` and `Explanation.to_dict` are its data.
        """
        session = self._planned(self._shapes(shapes))
        return Explanation(session.plan, session.memory, self._setting.settings)

    def profile(self, *inputs: Any, repeats: int = 20, **named: Any) -> Profile:
        """Time every step.

        Parameters
        ----------
        *inputs, **named
            As in a call. On a device with memory of its own their values are copied to a queue
            of its pack's, whose clock counts.
        repeats
            How many runs; the medians count.

        Returns
        -------
        Profile
            Prints as a table like that of `explain`, with seconds.
        """
        if repeats < 1:
            raise InvalidArgument(f"repeats: expected at least 1, got {repeats}")
        ordered = self._in_order(inputs, named)
        if self._memory is not None:
            return self._profile_on_device(ordered, self._memory, repeats)
        ordered = tuple(self._stored(i, x) for i, x in enumerate(ordered))
        arrays = [np.ascontiguousarray(self._array(i, x)) for i, x in enumerate(ordered)]
        for index, array in enumerate(arrays):
            if array.dtype != self._dtypes[index]:
                raise self._wrong_dtype(index, array)
            arrays[index] = array.reshape(np.shape(ordered[index]))
        session = self._sessions.get(tuple(x.shape for x in arrays), self._made)
        session.run(arrays)
        seconds = np.median([session.run_timed(arrays) for _ in range(repeats)], axis=0)
        return Profile(session.plan, session.memory, self._setting.settings, seconds.tolist())

    def _profile_on_device(self, inputs: tuple[Any, ...], memory: Memory, repeats: int) -> Profile:
        given = device_inputs(inputs, self._inputs, self._setting, memory)
        session = self._on_device(given.shapes, given.queue.device_id)
        values = [to_host(x, memory) for x in given.arrays]
        seconds = session.seconds(values, repeats)
        return Profile(session.plan, session.memory, self._setting.settings, seconds)

    def __repr__(self) -> str:
        return f"<replay of {self.trace!r} on {self._setting.device}>"

    def _made(self, shapes: Shapes) -> Session:
        assert self._store is not None
        with _under(self._setting):
            return Session(self._make_plan(shapes), self._store)

    def _made_on_device(self, key: tuple[Shapes, int]) -> DeviceSession:
        shapes, device_id = key
        assert self._memory is not None and self._device_store is not None
        with _under(self._setting), using(device=f"{self._setting.device}:{device_id}"):
            return DeviceSession(self._make_plan(shapes), self._memory, self._device_store)

    def _make_plan(self, shapes: Shapes) -> Plan:
        """Plan under the settings in force."""
        now = settings()
        given = dict(zip(self._names, shapes, strict=True))
        specialised = adapt(self.graph, given, cheaper(now))
        return make_plan(specialised.graph, specialised.specs, now)

    def _shapes(self, shapes: dict[str, Sequence[int]]) -> Shapes:
        unknown = set(shapes) - set(self._names)
        if unknown:
            raise InvalidArgument(
                f"shapes: expected names of {', '.join(self._names)}, got {', '.join(unknown)}"
            )
        return tuple(tuple(shapes.get(i.name, i.example)) for i in self._inputs)

    def _in_order(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        rest = self._names[len(inputs) :]
        if len(inputs) > len(self._names) or set(rest) != set(named):
            raise self._wrong_inputs(inputs, named)
        return (*inputs, *(named[name] for name in rest))

    def _wrong_inputs(self, inputs: tuple[Any, ...], named: dict[str, Any]) -> InvalidArgument:
        rest = set(self._names[len(inputs) :])
        text = f"inputs: expected {', '.join(self._names) or 'none'}"
        missing, unknown = sorted(rest - set(named)), sorted(set(named) - rest)
        if len(inputs) > len(self._names):
            text += f"; got {len(inputs)} by position"
        if missing:
            text += f"; {', '.join(missing)} is missing"
        if unknown:
            twice = [name for name in unknown if name in self._names]
            text += f"; got {', '.join(unknown)}" + (" by position too" if twice else "")
        return InvalidArgument(text)

    def _stored(self, index: int, x: Any) -> Any:
        """Return the stored values of what a quantised input is given; others as they are."""
        wanted = self._inputs[index].quantization
        if wanted is None:
            return x
        got = x.quantization if isinstance(x, (Constant, QuantizedArray)) else None
        if got != wanted:
            raise InvalidArgument(
                f"{self._names[index]}: expected a quantised array of {wanted}, "
                f"got {'a plain one' if got is None else got}"
            )
        return x.values if isinstance(x, QuantizedArray) else x.array

    def _array(self, index: int, x: Any) -> Array:
        if isinstance(x, (Constant, QuantizedArray)) and x.quantization is not None:
            raise InvalidArgument(
                f"{self._names[index]}: expected a plain array, got a quantised one; its integers "
                f"are its .array, its real values .dequantize()"
            )
        if isinstance(x, Constant):
            return x.array
        if isinstance(x, NUMBERS):
            return scalar(self._names[index], x, self._dtypes[index])
        place = place_of(x)
        if place is not None:
            raise MemoryMismatch(
                f"{self._names[index]}: expected an array in the host's memory, got "
                f"{type(x).__name__} in the memory of device {place.device!r}; compile the trace "
                f"for it, or copy the array yourself"
            )
        return to_numpy(x, self._names[index]).view(np.ndarray)

    def _wrong_dtype(self, index: int, x: Array) -> UnsupportedDtype:
        got = dtype_name(x.dtype) or x.dtype
        return UnsupportedDtype(
            f"{self._names[index]}: expected dtype {self._inputs[index].dtype}, got {got}"
        )

    def _forget_locks(self) -> None:
        self._sessions.forget_locks()
        self._device_sessions.forget_locks()


def _dense_copy(name: str, array: Array) -> Array:
    return np.array(array, order="C")


def _on_device_with_meaning(
    results: list[Any], quantizations: Sequence[Quantization | None]
) -> list[Any]:
    if not quantizations:
        return results
    return [
        y if quantization is None else DeviceQuantizedArray(y, quantization)
        for y, quantization in zip(results, quantizations, strict=True)
    ]


def _with_meaning(
    results: list[Array], quantizations: Sequence[Quantization | None], like: Any
) -> list[Any]:
    """Return results of a kind with what the integers of quantised ones stand for."""
    given: list[Any] = []
    for array, quantization in zip(results, quantizations, strict=True):
        values = array if like is None else from_numpy(array, like)
        if quantization is None:
            given.append(values)
        else:
            given.append(QuantizedArray(array, quantization, None if like is None else values))
    return given


_replays: weakref.WeakSet[Replay] = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child another thread may have held a lock that nobody will release."""
    for replay in list(_replays):
        replay._forget_locks()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def _under(setting: Interned) -> Iterator[None]:
    """Put the replay's own settings in force."""
    token = current.set(setting)
    try:
        yield
    finally:
        current.reset(token)
