"""Traces: functions recorded once, for any device."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from dispatch.arguments import known_dtype
from dispatch.arrays import to_numpy
from dispatch.constant import Constant
from dispatch.context import Fallback
from dispatch.memory import place_of
from dispatch.problem import Precision
from dispatch.quantized import QuantizedArray
from dispatch.tuning.record import Record
from dispatch.tuning.tune import TOTAL_SECONDS
from runtime.errors import TraceError
from runtime.graph import Graph
from runtime.tracer import Recorder, Tracer, caller

if TYPE_CHECKING:
    from runtime.replay import Replay

__all__ = ["Structure", "Trace", "trace"]

Structure: TypeAlias = Literal["single", "tuple", "dict"]
"""What a replay returns: one array, a tuple of them, or a dictionary by name."""


@dataclass(frozen=True, slots=True)
class Trace:
    """A recorded graph of operator calls with its constants; names no kernel.

    Parameters
    ----------
    graph
        The operators.
    structure
        The form of what a replay returns.
    tuned
        Measured times that came with its file: of this machine and others.
    """

    graph: Graph
    structure: Structure = "tuple"
    tuned: tuple[Record, ...] = ()

    def compile(
        self,
        device: str = "cpu",
        *,
        threads: int | None = None,
        precision: Precision = "high",
        packs: str | Sequence[str] | None = None,
        fallback: Fallback | None = None,
        deterministic: bool | None = None,
        tuned: bool | None = None,
        tune: bool = False,
        tune_seconds: float = TOTAL_SECONDS,
        cache_size: int = 8,
    ) -> Replay:
        """Plan the trace for a device: kernels, layouts and memory.

        Parameters
        ----------
        device
            A name of `dispatch.devices`. Replays for one with memory of its own take arrays
            there; ``opencl:1`` plans for the second of several, ``opencl`` for the one where the
            arrays lie.
        threads
            An upper bound; None: as many as affinity and cgroup allow.
        precision
            ``highest``, ``high`` or ``medium``, as `dispatch.Settings` has them.
        packs, fallback, deterministic, tuned
            As in `dispatch.using`; None: what is in force. With `tuned` the times that came with
            the trace's file count too, if they were measured on a machine and with packs like
            those here.
        tune
            Measure first what there are no times of: every kernel that may serve, in every layout
            worth asking for, and the reorders between them; for the example's shapes
            (`Replay.tune` does it for others). Implies `tuned`.
        tune_seconds
            Bound on the time for that.
        cache_size
            How many plans are kept, for as many combinations of input shapes.

        Returns
        -------
        Replay
            Planned for the example's shapes; others are planned on first use.

        Raises
        ------
        PlanError
            If the trace can't be planned.
        NoKernel, FallbackRefused
            If no kernel serves one of its operators under these settings.
        DeviceUnavailable
            If the device isn't here.
        """
        from runtime.replay import Replay

        return Replay(
            self,
            device=device,
            threads=threads,
            precision=precision,
            packs=packs,
            fallback=fallback,
            deterministic=deterministic,
            tuned=tuned,
            tune=tune,
            tune_seconds=tune_seconds,
            cache_size=cache_size,
        )

    def save(
        self,
        path: str | os.PathLike[str],
        plans: Mapping[str, Replay] | None = None,
        *,
        kernels: str | os.PathLike[str] | None = None,
        tuned: Sequence[Replay] = (),
    ) -> None:
        """Write the trace to one file, which `runtime.load` reads.

        Parameters
        ----------
        path
            The file; replaced if it is there.
        plans
            Name → a replay of this trace: its plan for the example's shapes goes
            into the file too, so that libreplay runs it without Python.
        kernels
            A second file, for plans on a device with memory of its own: the kernels that they
            take, as the device's pack writes them for its native side. The trace's file is data;
            this one is code, to be trusted as a library is.
        tuned
            Replays of this trace: the measured times of what their plans choose between go into
            the file, beside those that the trace came with from other machines.
            ``compile(tuned=True)`` uses them where the machine and packs are like those here.

        Raises
        ------
        ArtifactError
            If a plan is for a device and `kernels` is missing, or the device's kernels need
            Python.
        """
        from runtime.artifact import save

        save(self, path, plans or {}, kernels, tuned)

    def to_dict(self) -> dict[str, Any]:
        """Return what the trace is, without its constants' values, as plain data."""
        from runtime.summary import summary

        return summary(self)

    def __str__(self) -> str:
        from runtime.summary import text

        return text(self)

    def __repr__(self) -> str:
        names = ", ".join(i.name for i in self.graph.inputs)
        return f"<trace of {len(self.graph.nodes)} calls on {names}>"


def trace(function: Callable[..., Any], *examples: Any, **named: Any) -> Trace:
    """Record what a function does to arrays.

    Parameters
    ----------
    function
        Takes arrays, calls operators of `dispatch` and functions of NumPy, and
        returns an array, a tuple of them or a dictionary by name. It runs once.
    *examples, **named
        Arrays of the dtypes and ranks (and, where the function reads shapes,
        of the shapes) that replays will be given, in any memory: their elements
        aren't read. For a quantised array, replays take ones of the same scale
        and zero point.

    Returns
    -------
    Trace
        Arrays that the function takes from elsewhere are its constants,
        copied to the host's memory.

    Raises
    ------
    TraceError
        If the function reads a traced array's elements, or does with it what
        no operator stands for; the message has the line.

    Examples
    --------
    >>> t = runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), x)
    >>> y = t.compile()(x)
    """
    recorder = Recorder()
    args, kwargs = _traced_arguments(recorder, function, examples, named)
    returned = function(*args, **kwargs)
    outputs, structure = _outputs(returned)
    return Trace(recorder.graph(outputs), structure)


def _traced_arguments(
    recorder: Recorder,
    function: Callable[..., Any],
    examples: tuple[Any, ...],
    named: Mapping[str, Any],
) -> tuple[list[Tracer], dict[str, Tracer]]:
    """Declare one input for each example, under the parameter's name."""
    names = _positional_names(function, len(examples), named)
    args = [_traced(recorder, name, x) for name, x in zip(names, examples, strict=True)]
    return args, {name: _traced(recorder, name, x) for name, x in named.items()}


def _positional_names(
    function: Callable[..., Any], count: int, named: Mapping[str, Any]
) -> list[str]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names: list[str] = []
    for p in parameters:
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and len(names) < count:
            names.append(p.name)
        elif p.kind is p.VAR_POSITIONAL:
            names += [f"{p.name}_{i}" for i in range(count - len(names))]
    names += [f"input_{i}" for i in range(len(names), count)]
    twice = set(names) & set(named)
    if twice:
        raise TraceError(f"{', '.join(twice)}: given by position and by name")
    return names


def _traced(recorder: Recorder, name: str, example: Any) -> Tracer:
    if isinstance(example, Tracer):
        raise TraceError(
            f"{caller()}: {name}: expected an array, got a traced one: a trace inside of a trace "
            f"needs examples of its own"
        )
    quantization = None
    if isinstance(example, (Constant, QuantizedArray)):
        quantization, example = example.quantization, example.array
    if isinstance(example, (bool, int, float)):
        example = np.asarray(example)
    place = place_of(example)
    if place is None:
        array = to_numpy(example, name)
        stored, shape = array.dtype, array.shape
    else:
        stored, shape, _ = place.memory.describe(example)
    dtype = known_dtype(name, stored)
    extents = tuple(f"{name}.{axis}" for axis in range(len(shape)))
    return recorder.input(name, dtype, extents, shape, quantization)


def _outputs(returned: Any) -> tuple[list[tuple[str, Any]], Structure]:
    """Name what the function returned."""
    structure: Structure = "single"
    if isinstance(returned, Mapping):
        structure = "dict"
        outputs = [(str(name), value) for name, value in returned.items()]
        if len({name for name, _ in outputs}) != len(outputs):
            raise TraceError(f"result: expected different names, got {list(returned)}")
    elif isinstance(returned, (tuple, list)):
        structure = "tuple"
        outputs = [(f"output_{i}", value) for i, value in enumerate(returned)]
    else:
        outputs = [("output", returned)]
    if not outputs:
        raise TraceError("result: expected at least one array, got none")
    for name, value in outputs:
        array = isinstance(value, (np.ndarray, np.generic, *_HELD, bool, int, float))
        if not (array or hasattr(value, "__dlpack__") or place_of(value)):
            raise TraceError(
                f"result: expected an array, a tuple of them or a dictionary by name, got "
                f"{type(value).__name__} for {name}"
            )
    return [
        (name, value if isinstance(value, _HELD) or place_of(value) else _plain(name, value))
        for name, value in outputs
    ], structure


_HELD = (Tracer, Constant, QuantizedArray)
"""What a recorder takes as it is, beside arrays in a device's memory."""


def _plain(name: str, value: Any) -> Any:
    return np.asarray(value) if isinstance(value, (bool, int, float)) else to_numpy(value, name)
