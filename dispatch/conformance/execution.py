"""One run of one kernel, watched: poisoned outputs, guards, inputs that must stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dispatch.answer import Yes
from dispatch.conformance.constants import constants_of, passing
from dispatch.conformance.device import DeviceBuffer, lend, run_on_device, take_back
from dispatch.conformance.layouts import from_layout, padding, physical_shape, to_layout
from dispatch.conformance.memory import Buffer
from dispatch.conformance.remote import RemoteKernel
from dispatch.conformance.scratch import run_in_guarded_scratch
from dispatch.contract import DeviceKernel, DevicePrepared, Kernel, Memory, Prepared
from dispatch.dtypes import numpy_dtype
from dispatch.memory import memory_of_device
from dispatch.native import NativeKernel
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.tensor import TensorSpec

__all__ = ["Outcome", "Run", "execute", "prepare"]


@dataclass(frozen=True, slots=True)
class Run:
    """How to run.

    Parameters
    ----------
    misaligned
        Put inputs and outputs at addresses aligned to their elements alone.
    overwritten
        The input whose memory the first output takes, or -1.
    guarded_scratch
        Give a native kernel poisoned scratch between guards; a pack driven
        from Python has scratch of its own.
    """

    misaligned: bool = False
    overwritten: int = -1
    guarded_scratch: bool = False

    def __str__(self) -> str:
        words = ["misaligned"] if self.misaligned else []
        if self.overwritten >= 0:
            words.append(f"over input {self.overwritten}")
        if self.guarded_scratch:
            words.append("scratch watched")
        return ", ".join(words)


@dataclass(slots=True)
class Outcome:
    """What a run left.

    Parameters
    ----------
    outputs
        In the logical order.
    faults
        What it did that the contract forbids.
    """

    outputs: list[Array]
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False, slots=True)
class Ready:
    """A prepared kernel, its packed constants, and the device's memory if it has its own."""

    kernel: Kernel
    prepared: Prepared
    problem: Problem
    answer: Yes
    stored: tuple[Array | None, ...]
    packed: dict[int, object]
    memory: Memory | None = None


def prepare(kernel: Kernel, problem: Problem, answer: Yes, arrays: Sequence[Array | None]) -> Ready:
    """Prepare a kernel and pack what it packs; `arrays` are in the logical order."""
    stored = tuple(
        None if array is None or spec is None else to_layout(array, spec.layout)
        for array, spec in zip(arrays, problem.inputs, strict=True)
    )
    # Who serves a pack elsewhere takes the host's buffers, and has them copied there.
    memory = None if isinstance(kernel, RemoteKernel) else memory_of_device(problem.device)
    if memory is not None:
        return _prepare_on_device(kernel, problem, answer, stored, memory)
    with passing(constants_of(problem, stored)) as constants:
        prepared = kernel.prepare(problem, constants)
        packed = {
            index: prepared.pack(index, value)
            for index, (size, value) in enumerate(
                zip(prepared.packed_bytes, constants, strict=True)
            )
            if size and value is not None
        }
    return Ready(kernel, prepared, problem, answer, stored, packed)


def _prepare_on_device(
    kernel: Kernel,
    problem: Problem,
    answer: Yes,
    stored: tuple[Array | None, ...],
    memory: Memory,
) -> Ready:
    queue = memory.open_queue(problem.device_id)
    lent = lend(memory, queue, constants_of(problem, stored))
    parts = [None if buffer is None else buffer.part for buffer in lent]
    assert isinstance(kernel, DeviceKernel)
    prepared = kernel.prepare(problem, parts, queue)
    packed = {
        index: prepared.pack(index, part, queue)
        for index, (size, part) in enumerate(zip(prepared.packed_bytes, parts, strict=True))
        if size and part is not None
    }
    take_back(lent)
    return Ready(kernel, prepared, problem, answer, stored, packed, memory)


def execute(ready: Ready, run: Run) -> Outcome:
    """Run once on buffers of its own and look at all that may have changed."""
    problem = ready.problem
    inputs: list[Buffer | None] = []
    buffers: list[object] = []

    def new(shape: tuple[int, ...], dtype: np.dtype[Any], offset: int) -> Buffer:
        if ready.memory is None:
            return Buffer(shape, dtype, offset)
        return DeviceBuffer(ready.memory, ready.memory.open_queue(problem.device_id), shape, dtype)

    for index, (array, spec) in enumerate(zip(ready.stored, problem.inputs, strict=True)):
        if array is None or spec is None:
            inputs.append(None)
            buffers.append(None)
        elif index in ready.packed:
            inputs.append(None)
            buffers.append(ready.packed[index])
        else:
            buffer = new(array.shape, array.dtype, _offset(spec, run, index))
            buffer.array[...] = array
            inputs.append(buffer)
            buffers.append(buffer)
    outputs = [
        new(physical_shape(spec), numpy_dtype(spec.dtype), _offset(spec, run, 0))
        for spec in problem.outputs
    ]
    if run.overwritten >= 0:
        shared = inputs[run.overwritten]
        assert shared is not None
        y = problem.outputs[0]
        outputs[0] = shared.seen_as(physical_shape(y), numpy_dtype(y.dtype))
    overrun = ""
    if ready.memory is not None:
        assert isinstance(ready.prepared, DevicePrepared)
        overrun = run_on_device(
            ready.prepared,
            ready.memory,
            ready.memory.open_queue(problem.device_id),
            [*buffers, *outputs],
            ready.answer.scratch_bytes,
        )
        outcome = _inspect(ready, run, inputs, outputs)
        if overrun:
            outcome.faults.append(f"wrote {overrun} of scratch")
        return outcome
    everything = [b.array if isinstance(b, Buffer) else b for b in (*buffers, *outputs)]
    if run.guarded_scratch and isinstance(ready.kernel, NativeKernel):
        overrun = run_in_guarded_scratch(
            ready.kernel,
            problem,
            constants_of(problem, ready.stored),
            everything,
            ready.answer.scratch_bytes,
        )
    else:
        ready.prepared.run(everything)
    outcome = _inspect(ready, run, inputs, outputs)
    if overrun:
        outcome.faults.append(f"wrote {overrun} of scratch")
    return outcome


def _offset(spec: TensorSpec, run: Run, index: int) -> int:
    return spec.itemsize * (1 + index % 3) if run.misaligned else 0


def _inspect(ready: Ready, run: Run, inputs: list[Buffer | None], outputs: list[Buffer]) -> Outcome:
    faults = []
    for index, (buffer, array) in enumerate(zip(inputs, ready.stored, strict=True)):
        if buffer is None or array is None:
            continue
        if buffer.guards_broken():
            faults.append(f"wrote {buffer.guards_broken()} of input {index}")
        if index != run.overwritten and buffer.bytes.tobytes() != array.tobytes():
            faults.append(f"changed input {index}")
    results = []
    for index, (buffer, spec) in enumerate(zip(outputs, ready.problem.outputs, strict=True)):
        if buffer.guards_broken():
            faults.append(f"wrote {buffer.guards_broken()} of output {index}")
        if spec.dtype == "bool" and int(buffer.bytes.max(initial=0)) > 1:
            faults.append(f"left bytes other than 0 and 1 in output {index} of bool")
        result = np.array(from_layout(buffer.array, spec))
        rest = padding(buffer.array, spec)
        if rest.size and not _all_zero(rest, nan=_has_nan(result)):
            faults.append(f"left the padding of output {index}'s last block other than zero")
        results.append(result)
    return Outcome(results, faults)


def _all_zero(values: Array, nan: bool) -> bool:
    """Say whether all are 0, or NaN where `nan` allows it: NaN times a weight of 0."""
    wide = values.astype(np.float64)
    return bool(((wide == 0.0) | (nan & np.isnan(wide))).all())


def _has_nan(values: Array) -> bool:
    return bool(np.isnan(values.astype(np.float64)).any())
