"""Replays: a trace planned for one device and run by libreplay."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from dispatch.arrays import from_numpy, to_numpy
from dispatch.constant import Constant
from dispatch.context import Fallback, Interned, active, current, settings, using
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.operator import Array
from dispatch.problem import Precision
from dispatch.quantized import QuantizedArray
from dispatch.tensor import Quantization
from dispatch.tuning.record import Record
from dispatch.tuning.records import records
from dispatch.tuning.tune import TOTAL_SECONDS, Tuning
from runtime.passes.pipeline import adapt, prepare
from runtime.plan.measure import measure_plan, records_of_plan
from runtime.plan.payoff import cheaper
from runtime.plan.plan import Plan, make_plan
from runtime.report import Explanation, Profile
from runtime.session import Session, Store
from runtime.trace import Trace

__all__ = ["CacheInfo", "Replay"]


class CacheInfo(NamedTuple):
    """How a replay's plans were used.

    Attributes
    ----------
    hits, misses
        Calls that found a plan for their shapes, and that had to make one.
    evictions
        Plans that gave way to others.
    size, limit
        How many plans there are, and may be.
    """

    hits: int
    misses: int
    evictions: int
    size: int
    limit: int


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
        self._store = Store()
        self._sessions: OrderedDict[tuple[tuple[int, ...], ...], Session] = OrderedDict()
        self._limit = cache_size
        self._hits = self._misses = self._evictions = 0
        self._lock = threading.Lock()
        self._planning = threading.RLock()
        with _under(self._setting):
            self.graph = prepare(trace.graph)
        self._example = tuple(i.example for i in self._inputs)
        _replays.add(self)
        if tune:
            self.tune(seconds=tune_seconds)
        elif self._setting.settings.tuned:
            records().lend(trace.tuned)
        self._session(self._example)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """Run.

        Parameters
        ----------
        *inputs, **named
            The trace's inputs by position or by name; anything that an operator
            takes. Where the trace's is quantised, one of its scale and zero point.

        Returns
        -------
        array, tuple of array or dict of array
            As the traced function returned; of the first input's kind.

        Raises
        ------
        InvalidArgument, UnsupportedDtype
            Inputs that are missing, too many, or of another dtype or rank.
        PlanError
            Shapes that the trace can't take.
        KernelFailed
            A kernel reported a failure.
        """
        if named:
            inputs = self._in_order(inputs, named)
        elif len(inputs) != len(self._names):
            raise self._wrong_inputs(inputs, named)
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
                arrays[index] = np.array(x, order="C")
        session = self._session(tuple([x.shape for x in arrays]))
        results = session.run(arrays)
        if session.quantizations:
            results = _with_meaning(results, session.quantizations, like)
        elif like is not None:
            results = [from_numpy(y, like) for y in results]
        structure = self.trace.structure
        if structure == "single":
            return results[0]
        if structure == "tuple":
            return tuple(results)
        return dict(zip(self._output_names, results, strict=True))

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
        with self._planning:
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
            with self._lock:
                self._sessions.clear()
        return found

    def records(self) -> tuple[Record, ...]:
        """Return the measured times that there are of what its plans choose between."""
        with self._lock:
            held = list(self._sessions)
        found: dict[Record, None] = {}
        records().lend(self.trace.tuned)
        with _under(self._setting), using(tuned=True):
            for shapes in held:
                given = dict(zip(self._names, shapes, strict=True))
                found.update(dict.fromkeys(records_of_plan(self.graph, given, settings())))
        return tuple(found)

    def cache_info(self) -> CacheInfo:
        """Return the counters of the plans' cache."""
        with self._lock:
            size = len(self._sessions)
            return CacheInfo(self._hits, self._misses, self._evictions, size, self._limit)

    def plan(self, **shapes: Sequence[int]) -> Plan:
        """Return the plan for input shapes by name; those left out are the example's."""
        return self._session(self._shapes(shapes)).plan

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
        session = self._session(self._shapes(shapes))
        return Explanation(session.plan, session.memory, self._setting.settings)

    def profile(self, *inputs: Any, repeats: int = 20, **named: Any) -> Profile:
        """Time every step.

        Parameters
        ----------
        *inputs, **named
            As in a call.
        repeats
            How many runs; the medians count.

        Returns
        -------
        Profile
            Prints as a table like that of `explain`, with seconds.
        """
        if repeats < 1:
            raise InvalidArgument(f"repeats: expected at least 1, got {repeats}")
        ordered = tuple(self._stored(i, x) for i, x in enumerate(self._in_order(inputs, named)))
        arrays = [np.ascontiguousarray(self._array(i, x)) for i, x in enumerate(ordered)]
        for index, array in enumerate(arrays):
            if array.dtype != self._dtypes[index]:
                raise self._wrong_dtype(index, array)
            arrays[index] = array.reshape(np.shape(ordered[index]))
        session = self._session(tuple(x.shape for x in arrays))
        session.run(arrays)
        seconds = np.median([session.run_timed(arrays) for _ in range(repeats)], axis=0)
        return Profile(session.plan, session.memory, self._setting.settings, seconds.tolist())

    def __repr__(self) -> str:
        return f"<replay of {self.trace!r} on {self._setting.device}>"

    def _session(self, shapes: tuple[tuple[int, ...], ...]) -> Session:
        with self._lock:
            found = self._sessions.get(shapes)
            if found is not None:
                self._hits += 1
                self._sessions.move_to_end(shapes)
                return found
        with self._planning:
            with self._lock:
                found = self._sessions.get(shapes)
                if found is not None:
                    self._hits += 1
                    return found
            made = self._made(shapes)
            with self._lock:
                self._misses += 1
                self._sessions[shapes] = made
                while len(self._sessions) > self._limit:
                    self._sessions.popitem(last=False)
                    self._evictions += 1
            return made

    def _made(self, shapes: tuple[tuple[int, ...], ...]) -> Session:
        with _under(self._setting):
            settings = self._setting.settings
            given = dict(zip(self._names, shapes, strict=True))
            specialised = adapt(self.graph, given, cheaper(settings))
            plan = make_plan(specialised.graph, specialised.specs, settings)
        return Session(plan, self._store)

    def _shapes(self, shapes: dict[str, Sequence[int]]) -> tuple[tuple[int, ...], ...]:
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
        if isinstance(x, (bool, int, float)):
            return np.asarray(x, self._dtypes[index])
        return to_numpy(x, self._names[index]).view(np.ndarray)

    def _wrong_dtype(self, index: int, x: Array) -> UnsupportedDtype:
        got = dtype_name(x.dtype) or x.dtype
        return UnsupportedDtype(
            f"{self._names[index]}: expected dtype {self._inputs[index].dtype}, got {got}"
        )

    def _forget_locks(self) -> None:
        self._lock = threading.Lock()
        self._planning = threading.RLock()


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
