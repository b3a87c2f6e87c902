"""From the arguments of a call to its problem: arrays, numbers, attributes, epilogues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dispatch.arrays import to_numpy
from dispatch.constant import Constant
from dispatch.context import Interned
from dispatch.dtypes import dtype_name
from dispatch.errors import DispatchError, InvalidArgument, UnsupportedDtype
from dispatch.operator import REQUIRED, Array, Operator
from dispatch.problem import OPERANDS, AttributeValue, EpilogueStep, Problem
from dispatch.quantized import QuantizedArray
from dispatch.tensor import TensorSpec

__all__ = [
    "ACTIVATIONS",
    "NUMBERS",
    "Epilogue",
    "epilogue_of",
    "freeze",
    "input_names",
    "known_dtype",
    "make_problem",
    "numpy_inputs",
    "scalar",
    "spec_of",
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
_NUMBER_TYPES = frozenset(NUMBERS)

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


def numpy_inputs(operator: Operator, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the inputs as NumPy arrays over the same memory; constants and None stay.

    A Python number becomes a 0-d array of the first array's dtype. A quantised
    array stays one, of a NumPy array.
    """
    try:
        return _all_as_numpy([""] * len(inputs), inputs)
    except DispatchError:  # again, for an error that names the argument
        names = input_names(operator, len(inputs))
        return _all_as_numpy([f"{operator.name}: {name}" for name in names], inputs)


def _all_as_numpy(names: Sequence[str], inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    arrays = tuple(map(_as_numpy, inputs, names))
    if _NUMBER_TYPES.isdisjoint(map(type, arrays)):
        return arrays
    first = next((a.dtype for a in arrays if isinstance(a, (np.ndarray, Constant))), None)
    return tuple(
        scalar(name, x, first) if type(x) in NUMBERS else x
        for name, x in zip(names, arrays, strict=True)
    )


def _as_numpy(x: Any, name: str) -> Any:
    if x is None or type(x) is Constant or type(x) in NUMBERS:
        return x
    if type(x) is QuantizedArray:
        return x if x.values is x.array else QuantizedArray(x.array, x.quantization)
    array = to_numpy(x, name)
    return array if type(array) is np.ndarray else array.view(np.ndarray)


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
