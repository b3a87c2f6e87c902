"""The eager call: from arrays to a prepared kernel, remembered for the next call like it.

`call` itself is C (`dispatch/src/python/eager.c`): it serves what was remembered and leaves the
others to `_call`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dispatch._eager import call, keep, setup
from dispatch.arguments import (
    NUMBERS,
    Epilogue,
    freeze,
    input_names,
    make_problem,
    numpy_inputs,
    spec_of,
)
from dispatch.arrays import TRACE_HOOK, from_numpy, to_numpy
from dispatch.constant import Constant
from dispatch.context import Interned, active, current, default
from dispatch.core import ffi, lib
from dispatch.device_call import call_on_device, device_place, refuse_host_arrays
from dispatch.device_names import is_cpu
from dispatch.operator import Operator
from dispatch.quantized import QuantizedArray
from dispatch.remembered import Entry, entries, remember
from dispatch.runner import Run, runner
from dispatch.selection import Decision, select
from dispatch.tensor import Quantization

__all__ = ["call", "decide"]


def _call(
    operator: Operator,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    out: Any = None,
    epilogue: Epilogue | None = None,
) -> Any:
    """Serve every call."""
    steps: tuple[tuple[str, float, float], ...] = ()
    if epilogue is not None:
        steps = epilogue.steps
        inputs += epilogue.operands
    setting = active()
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
        entry = entries.get(frozen)
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
    if entry.short is not None:
        keep(operator, setting, inputs, attributes, steps, *entry.short)
    return entry.run(_stored(inputs) if quantized else inputs, out)


def _stored(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the inputs with the stored values in place of quantised arrays."""
    return tuple(x.array if type(x) is QuantizedArray else x for x in inputs)


_PLAIN = frozenset({np.ndarray, Constant, type(None), *NUMBERS})


def _call_others(
    operator: Operator,
    inputs: tuple[Any, ...],
    attributes: tuple[Any, ...],
    out: Any,
    steps: tuple[tuple[str, float, float], ...],
) -> Any:
    """Serve what isn't plain NumPy: tracers, numbers, other libraries' arrays."""
    epilogue = Epilogue(steps, ()) if steps else None
    if out is None and _PLAIN.issuperset(map(type, inputs)):
        return call(operator, numpy_inputs(operator, inputs), attributes, None, epilogue)
    for x in inputs:
        hook = getattr(type(x), TRACE_HOOK, None)
        if hook is not None:
            return hook(operator, inputs, attributes, out, steps)
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
    result = call(operator, arrays, attributes, target, epilogue)
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
        refuse_host_arrays(operator, inputs, setting)
    run, short = runner(operator, decision, _stored(inputs))
    quantization = decision.problem.outputs[0].quantization
    if quantization is not None:
        run = _quantizing(run, quantization)
    return remember(key, Entry(run, decision, short), inputs)


def _quantizing(run: Run, quantization: Quantization) -> Run:
    """Return a runner that says what the result's integers stand for."""
    return lambda inputs, out: QuantizedArray(run(inputs, out), quantization)


setup(
    int(ffi.cast("uintptr_t", ffi.addressof(lib, "core_call_run_aligned"))),
    current.get,
    default,
    Constant,
    QuantizedArray,
    _call,
)
