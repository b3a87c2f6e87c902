"""What runs a call that was decided, on arrays in the memory of the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from dispatch.answer import Yes
from dispatch.constant import Constant
from dispatch.core import ffi
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.native import NativePrepared
from dispatch.operator import Array, Operator
from dispatch.problem import Problem
from dispatch.selection import Decision
from dispatch.tensor import Quantization

__all__ = ["Run", "Short", "runner"]

MOST_BUFFERS = 6
"""Inputs and the output of a call that is served without Python."""


Run: TypeAlias = Callable[[tuple[Any, ...], Any], Any]
"""Serves calls that are alike: takes the inputs and `out`."""


class Short(NamedTuple):
    """What `dispatch._eager` serves calls by: the end of `keep`'s arguments."""

    handle: int
    fixed: tuple[int, ...]
    like: Array
    may_overwrite: int
    quantization: Quantization | None
    owner: Any


def runner(
    operator: Operator, decision: Decision, inputs: tuple[Any, ...]
) -> tuple[Run, Short | None]:
    """Return the function that serves calls like this one, and the short way if there is one."""
    problem, answer = decision.problem, decision.answer
    constants = [x.array if type(x) is Constant else None for x in inputs]
    prepared = decision.kernel.prepare(problem, constants)
    fixed: list[Any] = [None] * len(inputs)
    for index, x in enumerate(inputs):
        if type(x) is Constant:
            fixed[index] = (
                prepared.pack(index, x.array) if prepared.packed_bytes[index] else x.array
            )
    run = _runner(operator, problem, answer, prepared, fixed)
    if (
        isinstance(prepared, NativePrepared)
        and len(problem.outputs) == 1
        and len(inputs) < MOST_BUFFERS
        and all(x.flags.c_contiguous for x in inputs if type(x) is np.ndarray)
    ):
        return run, _short(problem, answer, prepared, fixed)
    return run, None


def _short(problem: Problem, answer: Yes, prepared: NativePrepared, fixed: list[Any]) -> Short:
    output = problem.outputs[0]
    return Short(
        int(ffi.cast("uintptr_t", prepared.call)),
        tuple(0 if f is None else f.__array_interface__["data"][0] for f in fixed),
        np.empty(output.shape, numpy_dtype(output.dtype)),
        sum(1 << index for index in answer.may_overwrite),
        output.quantization,
        (prepared, fixed),
    )


def _runner(
    operator: Operator, problem: Problem, answer: Yes, prepared: Any, fixed: list[Any]
) -> Run:
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
