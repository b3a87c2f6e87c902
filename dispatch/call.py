"""The eager call: from arrays to a prepared kernel, remembered for the next call like it."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dispatch._native import ffi, lib
from dispatch.answer import Yes
from dispatch.arrays import TRACE_HOOK, from_numpy, to_numpy
from dispatch.constant import Constant
from dispatch.context import Interned, active, current, use_one_thread_by_default
from dispatch.devices import is_cpu
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.native import NativePrepared
from dispatch.operator import REQUIRED, Array, Operator
from dispatch.problem import OPERANDS, AttributeValue, EpilogueStep, Problem
from dispatch.quantized import QuantizedArray
from dispatch.selection import Decision, select
from dispatch.tensor import Quantization, TensorSpec
from dispatch.tuning.records import on_change

__all__ = [
    "ACTIVATIONS",
    "Entry",
    "Epilogue",
    "call",
    "clear",
    "decide",
    "epilogue_of",
    "find",
    "forget_observed",
    "forget_tuned",
    "freeze",
    "input_names",
    "known_dtype",
    "make_problem",
    "numpy_inputs",
    "remember",
    "scalar",
]

ACTIVATIONS: Mapping[str, tuple[float, float]] = {
    "relu": (0.0, 0.0),
    "sigmoid": (0.0, 0.0),
    "tanh": (0.0, 0.0),
    "silu": (0.0, 0.0),
    "hard_swish": (0.0, 0.0),
    "clip": (-float("inf"), float("inf")),
    "hard_sigmoid": (0.2, 0.5),
    "leaky_relu": (0.01, 0.0),
    "elu": (1.0, 0.0),
    "gelu": (0.0, 0.0),
    "linear": (1.0, 0.0),
}
"""The activations an epilogue may hold, and the defaults of their two numbers."""

NUMBERS = (bool, int, float)
"""Python's own: they take the dtype of the arrays beside them."""

CACHE_LIMIT = 4096
MAX_BYTES = 2**62


class Epilogue(NamedTuple):
    """What follows an operator: steps, and the arrays that they take, in order."""

    steps: tuple[tuple[str, float, float], ...]
    operands: tuple[Any, ...]


def epilogue_of(activation: str | tuple[Any, ...] | None, residual: Any) -> Epilogue | None:
    """Return the epilogue ``activation(y + residual)``, None where there is neither.

    Raises
    ------
    InvalidArgument
        If the activation isn't one of `ACTIVATIONS`.
    """
    if activation is None:
        return None if residual is None else Epilogue((("add", 0.0, 0.0),), (residual,))
    name, numbers = (
        (activation, ()) if isinstance(activation, str) else (activation[0], activation[1:])
    )
    defaults = ACTIVATIONS.get(name) if isinstance(name, str) else None
    if defaults is None or len(numbers) > 2:
        raise InvalidArgument(
            f"activation: expected one of {', '.join(ACTIVATIONS)}, alone or as (name, alpha, "
            f"beta), got {activation!r}"
        )
    alpha, beta = (*map(float, numbers), *defaults[len(numbers) :])
    step = (name, alpha, beta)
    if residual is None:
        return Epilogue((step,), ())
    return Epilogue((("add", 0.0, 0.0), step), (residual,))


@dataclass(slots=True)
class Entry:
    """A call like an earlier one: everything is decided."""

    run: Callable[[tuple[Any, ...], Array | None], Any]
    decision: Decision


_entries: dict[Any, Entry] = {}
_keys_of: dict[int, list[Any]] = {}
_lock = threading.Lock()


def call(
    operator: Operator,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    out: Any = None,
    epilogue: Epilogue | None = None,
) -> Any:
    """Run an operator.

    Parameters
    ----------
    operator
        Its schema.
    inputs
        Arrays, quantised arrays, constants, or None for an absent one.
    attributes
        In the schema's order, as the caller gave them.
    out
        Where to write the result (for several outputs, a tuple); for a
        quantised result, where to write its stored values.
    epilogue
        What follows on the result.
    """
    steps: tuple[tuple[str, float, float], ...] = ()
    if epilogue is not None:
        steps = epilogue.steps
        inputs += epilogue.operands
    setting = current.get() or active()
    key: list[Any] = [operator, setting, attributes, steps]
    quantized = False
    for x in inputs:
        kind = type(x)
        if kind is np.ndarray:
            key += (x.dtype, x.shape, x.strides)
        elif kind is Constant:
            key.append(x.token)
        elif x is None:
            key.append(None)
        elif kind is QuantizedArray and x.values is x.array:
            key += (x.array.dtype, x.array.shape, x.array.strides, x.quantization)
            quantized = True
        else:
            return _call_others(operator, inputs, attributes, out, steps)
    frozen = tuple(key)
    try:
        entry = _entries.get(frozen)
    except TypeError:
        return call(
            operator,
            inputs,
            freeze(attributes),
            out,
            Epilogue(steps, ()) if steps else None,
        )
    if entry is None:
        entry = _remember(frozen, operator, setting, inputs, attributes, steps)
    return entry.run(_stored(inputs) if quantized else inputs, out)


def _stored(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the inputs with the stored values in place of quantised arrays."""
    return tuple(x.array if type(x) is QuantizedArray else x for x in inputs)


def freeze(value: Any) -> Any:
    """Return a hashable form of an attribute's value."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return tuple(freeze(entry) for entry in value)
    try:
        hash(value)
    except TypeError:
        raise InvalidArgument(
            f"expected numbers, strings or sequences of them as attributes, got {value!r}"
        ) from None
    return value


def _call_others(
    operator: Operator,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    out: Any,
    steps: tuple[tuple[str, float, float], ...],
) -> Any:
    """Serve what isn't plain NumPy: tracers, numbers, other libraries' arrays."""
    for x in inputs:
        hook = getattr(type(x), TRACE_HOOK, None)
        if hook is not None:
            return hook(operator, inputs, attributes, out, steps)
    from dispatch.device_call import call_on_device, device_place

    place = device_place(inputs)
    if place is not None:
        return call_on_device(place, operator, inputs, attributes, out, steps)
    like = next(
        (x for x in inputs if not (x is None or type(x) in NUMBERS or type(x) is Constant)),
        None,
    )
    arrays = numpy_inputs(operator, inputs)
    target = out
    if out is not None:
        wanted = out if isinstance(out, tuple) else (out,)
        views = tuple(to_numpy(o, f"{operator.name}: out") for o in wanted)
        target = views if isinstance(out, tuple) else views[0]
    result = call(operator, arrays, attributes, target, Epilogue(steps, ()) if steps else None)
    if isinstance(like, QuantizedArray):
        like = like.values
    if isinstance(result, QuantizedArray):
        values = result.array if like is None else from_numpy(result.array, like)
        return QuantizedArray(result.array, result.quantization, values if out is None else out)
    if out is not None:
        return out
    if like is None:
        return result
    if isinstance(result, tuple):
        return tuple(from_numpy(r, like) for r in result)
    return from_numpy(result, like)


def numpy_inputs(operator: Operator, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the inputs as NumPy arrays over the same memory; constants and None stay.

    A Python number becomes a 0-d array of the first array's dtype. A quantised
    array stays one, of a NumPy array.
    """
    names = input_names(operator, len(inputs))
    arrays = [
        _as_numpy(x, f"{operator.name}: {name}") for name, x in zip(names, inputs, strict=True)
    ]
    first = next((a.dtype for a in arrays if isinstance(a, (np.ndarray, Constant))), None)
    return tuple(
        scalar(f"{operator.name}: {name}", x, first) if type(x) in NUMBERS else x
        for name, x in zip(names, arrays, strict=True)
    )


def _as_numpy(x: Any, name: str) -> Any:
    if x is None or type(x) is Constant or type(x) in NUMBERS:
        return x
    if type(x) is QuantizedArray:
        return x if x.values is x.array else QuantizedArray(x.array, x.quantization)
    return to_numpy(x, name).view(np.ndarray)


def scalar(name: str, value: float, dtype: np.dtype[Any] | None) -> Array:
    """Return a Python number as a 0-d array of a dtype; `name` is the argument's."""
    if dtype is None:
        raise InvalidArgument(f"{name}: expected an array, got {value!r}")
    array = np.asarray(value)
    if array.dtype.kind == "f" and np.dtype(dtype).kind in "iub":
        raise UnsupportedDtype(
            f"{name}: expected an integer as the dtype is {dtype}, got {value!r}"
        )
    try:
        return np.asarray(value, dtype)
    except OverflowError:
        raise InvalidArgument(f"{name}: {value!r} is out of the range of {dtype}") from None


def input_names(operator: Operator, count: int) -> list[str]:
    """Return a name for each of `count` inputs, epilogue operands too."""
    names = [i.name for i in operator.inputs]
    if operator.inputs and operator.inputs[-1].variadic:
        last = names.pop()
        return names + [f"{last}[{i}]" for i in range(count - len(names))]
    extra = count - len(names)
    return names + ["residual"] * extra


def spec_of(operator: Operator, name: str, x: Any) -> TensorSpec | None:
    """Return what a problem knows of an argument."""
    if x is None:
        return None
    dtype = known_dtype(f"{operator.name}: {name}", x.dtype)
    quantization = x.quantization if isinstance(x, (Constant, QuantizedArray)) else None
    return TensorSpec(dtype, x.shape, constant=type(x) is Constant, quantization=quantization)


def known_dtype(name: str, dtype: np.dtype[Any]) -> str:
    """Return the project's name of the dtype of an argument, or raise `UnsupportedDtype`."""
    found = dtype_name(dtype)
    if found is None:
        raise UnsupportedDtype(
            f"{name}: expected a dtype of the project in native byte order, got {dtype!r}"
        )
    return found


def make_problem(
    operator: Operator,
    specs: tuple[TensorSpec | None, ...],
    attributes: tuple[Any, ...] | Mapping[str, Any],
    steps: tuple[tuple[str, float, float], ...],
    setting: Interned,
) -> Problem:
    """Check arguments, infer the outputs and return the problem.

    Raises
    ------
    InvalidArgument, UnsupportedDtype
        Where an argument doesn't fit; the message names it.
    """
    given = (
        attributes
        if isinstance(attributes, Mapping)
        else dict(zip(operator.attributes, attributes, strict=True))
    )
    complete = {**operator.attributes, **given}
    for name, value in complete.items():
        if value is REQUIRED:
            raise InvalidArgument(f"{operator.name}: {name}: expected a value, got none")
    operands = sum(name in OPERANDS for name, _, _ in steps)
    own = len(specs) - operands
    names = input_names(operator, len(specs))
    for name, spec, declared in zip(names, specs[:own], operator.inputs, strict=False):
        if spec is None and not declared.optional:
            raise InvalidArgument(f"{operator.name}: {name}: expected an array, got None")
    _refuse_quantized(operator, names, specs)
    first = next((s for s in specs if s is not None), None)
    if first is not None and first.dtype not in operator.dtypes:
        raise UnsupportedDtype(
            f"{operator.name}: {names[specs.index(first)]}: expected dtype "
            f"{' or '.join(operator.dtypes)}, got {first.dtype}"
        )
    inferred = operator.infer(specs[:own], complete)
    for output in inferred.outputs:
        if output.nbytes > MAX_BYTES:
            raise InvalidArgument(
                f"{operator.name}: expected a result of at most {MAX_BYTES} bytes, "
                f"got shape {output.shape}"
            )
    numbered, index = [], own
    for name, alpha, beta in steps:
        if name not in operator.epilogue:
            served = ", ".join(step for step in operator.epilogue if step not in OPERANDS)
            what = "residual" if name in OPERANDS else "activation"
            raise InvalidArgument(
                f"{operator.name}: {what}: expected "
                f"{f'one of {served}' if served and what == 'activation' else 'None'}, got {name}"
            )
        operand = -1
        if name in OPERANDS:
            operand, index = index, index + 1
            spec, y = specs[operand], inferred.outputs[0]
            if spec is None or spec.shape != y.shape or spec.dtype != y.dtype:
                raise InvalidArgument(
                    f"{operator.name}: residual: expected {y.dtype} of the result's shape "
                    f"{y.shape}, got {'None' if spec is None else f'{spec.dtype} {spec.shape}'}"
                )
        numbered.append(EpilogueStep(name, operand, alpha, beta))
    canonical: dict[str, AttributeValue] = dict(inferred.attributes)
    return Problem(
        operator=operator.name,
        inputs=specs,
        outputs=inferred.outputs,
        attributes=tuple(sorted(canonical.items())),
        epilogue=tuple(numbered),
        num_operator_inputs=own,
        device=setting.device,
        precision=setting.settings.precision,
        deterministic=setting.settings.deterministic,
        threads=setting.threads,
        device_id=setting.device_id or 0,
    )


def _refuse_quantized(
    operator: Operator, names: list[str], specs: tuple[TensorSpec | None, ...]
) -> None:
    """Raise if an input is quantised whose operator would take it for plain integers."""
    for index, (name, spec) in enumerate(zip(names, specs, strict=True)):
        declared = operator.inputs[min(index, len(operator.inputs) - 1)]
        if spec is None or spec.quantization is None or declared.quantized:
            continue
        raise InvalidArgument(
            f"{operator.name}: {name}: expected a plain array, got a quantised one; its integers "
            f"are its .array, its real values .dequantize()"
        )


def decide(
    operator: Operator,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    steps: tuple[tuple[str, float, float], ...],
    setting: Interned,
) -> Decision:
    """Return the decision for a call."""
    names = input_names(operator, len(inputs))
    specs = tuple(spec_of(operator, n, x) for n, x in zip(names, inputs, strict=True))
    problem = make_problem(operator, specs, attributes, steps, setting)
    if setting.observe is not None:
        setting.observe(problem)
    return select(problem, setting.settings)


def _remember(
    key: Any,
    operator: Operator,
    setting: Interned,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    steps: tuple[tuple[str, float, float], ...],
) -> Entry:
    decision = decide(operator, inputs, attributes, steps, setting)
    if not is_cpu(setting.device):
        from dispatch.device_call import refuse_host_arrays

        refuse_host_arrays(operator, inputs, setting)
    run = _runner(operator, decision, _stored(inputs))
    quantization = decision.problem.outputs[0].quantization
    entry = Entry(run if quantization is None else _quantizing(run, quantization), decision)
    return remember(key, entry, inputs)


def find(key: Any) -> Entry | None:
    """Return what serves calls of a key.

    Raises
    ------
    TypeError
        If a part of the key isn't hashable: an attribute that needs `freeze`.
    """
    return _entries.get(key)


def remember(key: Any, entry: Entry, inputs: tuple[Any, ...]) -> Entry:
    """Keep what serves calls of a key, as long as the constants among `inputs` live."""
    with _lock:
        while len(_entries) >= CACHE_LIMIT:
            _entries.pop(next(iter(_entries)))
        _entries[key] = entry
        for x in inputs:
            if isinstance(x, Constant):
                if x.token not in _keys_of:
                    _keys_of[x.token] = []
                    weakref.finalize(x, _forget_constant, x.token)
                _keys_of[x.token].append(key)
    return entry


def _forget_constant(token: int) -> None:
    for key in _keys_of.pop(token, ()):
        _entries.pop(key, None)


def clear() -> None:
    """Forget every prepared call."""
    with _lock:
        _entries.clear()


def forget_tuned() -> None:
    """Forget the calls whose kernels were chosen by measured times: there are others now."""
    _forget(lambda setting: setting.settings.tuned)


def forget_observed() -> None:
    """Forget the calls that were made to see their problems: none comes again."""
    _forget(lambda setting: setting.observe is not None)


def _forget(made_under: Callable[[Interned], bool]) -> None:
    with _lock:
        for key in list(_entries):
            if made_under(key[1]):
                _entries.pop(key, None)


on_change(forget_tuned)


def _after_fork() -> None:
    """In a forked child the threads' pool is gone: start afresh."""
    global _lock
    _lock = threading.Lock()
    _entries.clear()
    if lib.core_forked_with_threads():
        use_one_thread_by_default()


os.register_at_fork(after_in_child=_after_fork)


def _runner(
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


def _quantizing(
    run: Callable[[tuple[Any, ...], Array | None], Any], quantization: Quantization
) -> Callable[[tuple[Any, ...], Array | None], Any]:
    """Return a runner that says what the result's integers stand for."""
    return lambda inputs, out: QuantizedArray(run(inputs, out), quantization)


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
