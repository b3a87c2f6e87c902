"""What runs a call that was decided, on arrays in the memory of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dispatch.answer import Yes
from dispatch.constant import Constant
from dispatch.core import ffi, lib
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.native import NativePrepared
from dispatch.operator import Array, Operator
from dispatch.problem import Problem
from dispatch.selection import Decision

__all__ = ["runner"]


def runner(
    operator: Operator, decision: Decision, inputs: tuple[Any, ...]
) -> Callable[[tuple[Any, ...], Array | None], Any]:
    """Return the function that serves calls like this one."""
    problem, answer = decision.problem, decision.answer
    constants = [x.array if type(x) is Constant else None for x in inputs]
    prepared = decision.kernel.prepare(problem, constants)
    fixed: list[Any] = [None] * len(inputs)
    for index, x in enumerate(inputs):
        if type(x) is Constant:
            fixed[index] = (
                prepared.pack(index, x.array) if prepared.packed_bytes[index] else x.array
            )
    copied = {
        index
        for index, x in enumerate(inputs)
        if type(x) is np.ndarray and not x.flags.c_contiguous
    }
    slow = _slow_runner(operator, problem, answer, prepared, fixed, copied)
    buffers = len(inputs) + len(problem.outputs)
    if (
        isinstance(prepared, NativePrepared)
        and len(problem.outputs) == 1
        and buffers <= 6
        and not copied
    ):
        return _fast_runner(problem, prepared, fixed, inputs, slow)
    return slow


def _fast_runner(
    problem: Problem,
    prepared: NativePrepared,
    fixed: list[Any],
    inputs: tuple[Any, ...],
    slow: Callable[[tuple[Any, ...], Array | None], Any],
) -> Callable[[tuple[Any, ...], Array | None], Any]:
    """One C call with up to six pointers; anything unusual goes the slow way."""
    shape, dtype = problem.outputs[0].shape, numpy_dtype(problem.outputs[0].dtype)
    live = tuple(i for i, x in enumerate(inputs) if type(x) is np.ndarray)
    pointers: list[Any] = [
        ffi.NULL if f is None else ffi.cast("void *", f.__array_interface__["data"][0])
        for f in fixed
    ] + [ffi.NULL] * (6 - len(fixed))
    position, handle, keep = len(inputs), prepared.call, fixed
    from_buffer, run6, empty = ffi.from_buffer, lib.core_call_run6, np.empty

    def run(inputs: tuple[Any, ...], out: Array | None) -> Any:
        if out is not None:
            return slow(inputs, out)
        y = empty(shape, dtype)
        b = pointers.copy()
        for i in live:
            b[i] = from_buffer(inputs[i])
        b[position] = from_buffer(y)
        if run6(handle, *b):
            return slow(inputs, out)
        return y

    run.__dict__["keep"] = keep
    return run


def _slow_runner(
    operator: Operator,
    problem: Problem,
    answer: Yes,
    prepared: Any,
    fixed: list[Any],
    copied: set[int],
) -> Callable[[tuple[Any, ...], Any], Any]:
    """Copies what isn't dense or aligned, checks `out`, and serves every kind of kernel."""

    def run(inputs: tuple[Any, ...], out: Any) -> Any:
        buffers: list[Any] = [
            f if x is None or type(x) is Constant else _dense(x)
            for f, x in zip(fixed, inputs, strict=True)
        ]
        results = [np.empty(s.shape, numpy_dtype(s.dtype)) for s in problem.outputs]
        targets: list[Any] = [None] * len(results)
        if out is not None:
            targets = list(out) if isinstance(out, tuple) else [out]
            _check_out(operator, problem, targets)
            for i, target in enumerate(targets):
                if i == 0 and len(targets) == 1 and _may_write(target, inputs, answer):
                    results[0] = target
        prepared.run([*buffers, *results])
        for i, target in enumerate(targets):
            if target is not None and target is not results[i]:
                target[...] = results[i]
                results[i] = target
        return results[0] if len(results) == 1 else tuple(results)

    return run


def _dense(x: Array) -> Array:
    return x if x.flags.c_contiguous and x.flags.aligned else np.array(x, order="C", copy=True)


def _may_write(target: Array, inputs: tuple[Any, ...], answer: Yes) -> bool:
    """Say whether the kernel may write straight into `target`, perhaps an input's memory."""
    if not (target.flags.c_contiguous and target.flags.aligned):
        return False
    for index, x in enumerate(inputs):
        if type(x) is not np.ndarray or not np.may_share_memory(target, x):
            continue
        same = (
            x.__array_interface__["data"] == target.__array_interface__["data"]
            and x.shape == target.shape
            and x.dtype == target.dtype
            and x.flags.c_contiguous
        )
        if not (same and index in answer.may_overwrite):
            return False
    return True


def _check_out(operator: Operator, problem: Problem, targets: list[Any]) -> None:
    if len(targets) != len(problem.outputs):
        raise InvalidArgument(
            f"{operator.name}: out: expected {len(problem.outputs)} arrays, got {len(targets)}"
        )
    for target, spec in zip(targets, problem.outputs, strict=True):
        if not isinstance(target, np.ndarray):
            raise InvalidArgument(
                f"{operator.name}: out: expected an array, got {type(target).__name__}"
            )
        if target.shape != spec.shape:
            raise InvalidArgument(
                f"{operator.name}: out: expected shape {spec.shape}, got {target.shape}"
            )
        if dtype_name(target.dtype) != spec.dtype:
            raise UnsupportedDtype(
                f"{operator.name}: out: expected dtype {spec.dtype}, got {target.dtype}"
            )
        if not target.flags.writeable:
            raise InvalidArgument(
                f"{operator.name}: out: expected a writable array, got a read-only one"
            )
