"""The operator's schema: all that the project knows of an operator, in one value.

Each file of `dispatch/ops` makes one `Operator` and its public function. From
them follow argument checks, shape inference, problems, the reference, FLOP and
byte counts, conformance cases, the importer's mapping and the docs' table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import Quantization, TensorSpec

__all__ = [
    "REQUIRED",
    "Case",
    "Inferred",
    "Input",
    "Operator",
    "Sample",
    "input_bytes",
    "own_magnitude",
    "with_specials",
]

Array: TypeAlias = NDArray[Any]
Specs: TypeAlias = Sequence[TensorSpec | None]
Arrays: TypeAlias = Sequence[Array | None]
Attributes: TypeAlias = Mapping[str, Any]


class _Required:
    """The default of an attribute that has none."""

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()


@dataclass(frozen=True, slots=True)
class Input:
    """One input of an operator.

    Parameters
    ----------
    name
        The Python function's parameter.
    optional
        It may be absent.
    variadic
        It stands for one or more tensors; only the last input may.
    quantized
        It must be quantised; any other must not be.
    """

    name: str
    optional: bool = False
    variadic: bool = False
    quantized: bool = False


@dataclass(frozen=True, slots=True)
class Inferred:
    """What shape inference gives: canonical attributes and the outputs."""

    attributes: Mapping[str, Any]
    outputs: tuple[TensorSpec, ...]


@dataclass(frozen=True, slots=True)
class Sample:
    """An input of a conformance case: values are drawn from `low` to `high`.

    Parameters
    ----------
    shape
        Extents.
    low, high
        Bounds of the uniform distribution; integers are rounded.
    dtype
        A fixed dtype; None: the dtype under test.
    constant
        Given to the kernel as a constant.
    values
        Exact values instead (flattened), for indices and edge values.
    quantization
        What the values stand for.
    """

    shape: tuple[int, ...]
    low: float = -1.0
    high: float = 1.0
    dtype: str | None = None
    constant: bool = False
    values: tuple[float, ...] | None = None
    quantization: Quantization | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A conformance case of an operator.

    Parameters
    ----------
    label
        What the case is about, in a few words.
    inputs
        One sample for each input, None for an absent one, then one for each
        epilogue step with an input.
    attributes
        As the public function takes them; the rest are defaults.
    epilogue
        Steps that follow.
    precision
        The lowest precision at which the case is asked.
    """

    label: str
    inputs: tuple[Sample | None, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    epilogue: tuple[EpilogueStep, ...] = ()


def with_specials(count: int) -> tuple[float, ...]:
    """Values for a `Sample`, among them NaN and both infinities, far apart."""
    values = [(index * 37 % 19 - 9) / 10 for index in range(count)]
    for part, special in ((1, math.nan), (3, math.inf), (5, -math.inf)):
        values[count * part // 6] = special
    return tuple(values)


def own_magnitude(inputs: Arrays, attributes: Attributes, outputs: Arrays) -> list[Array]:
    """The result's own absolute value: right for operators without cancellation."""
    return [np.abs(output.astype(np.float64)) for output in outputs if output is not None]


def input_bytes(problem: Problem) -> int:
    """Bytes that must move at least: every input read and every output written once."""
    return sum(tensor.nbytes for tensor in problem.tensors if tensor is not None)


def _output_elements(problem: Problem) -> float:
    return float(sum(tensor.size for tensor in problem.outputs))


@dataclass(frozen=True, eq=False, slots=True)
class Operator:
    """An operator on tensors.

    Parameters
    ----------
    name
        The public function's name.
    inputs
        In order.
    attributes
        Name → default (`REQUIRED` where there is none), in the order of the
        public function's keywords.
    dtypes
        What the first present input may be (it keys the kernels). Other inputs'
        dtypes are `infer`'s to check.
    infer
        ``infer(specs, attributes) -> Inferred``: checks everything that the
        shapes, dtypes and attributes can break, raising `InvalidArgument` or
        `UnsupportedDtype` with the argument's name; fills in defaults; makes
        attributes canonical (``"same"`` padding becomes numbers, an axis
        non-negative). Inputs and outputs are in the logical order.
    reference
        ``reference(arrays, attributes) -> [outputs]`` with canonical
        attributes. Floating inputs come as float64; the result is cast by the
        caller. Plain NumPy, written for certainty, never calling a kernel. A
        quantised input comes as a `dispatch.quantized.QuantizedArray`, and a
        quantised output's parameters as attributes
        (`dispatch.quantization.given_attributes`).
    cases
        ``cases(rng) -> iterator of Case``: the boundary cases first (each path
        a kernel could take wrongly: sizes around 8, 16, 32; extents 1 and 0;
        every attribute), then random ones without end.
    magnitude
        ``magnitude(arrays, attributes, outputs) -> [arrays]``: what the
        rounding error is measured against; for sums of products, the same sum
        of absolute values.
    error
        Bound on the error in units of the dtype's epsilon times the magnitude
        at precision ``highest`` and ``high``, for kernels that sum directly.
    flops
        Floating-point operations of a problem.
    bytes_moved
        Least bytes that a problem moves.
    onnx
        The ONNX operators that map to it one to one, for the docs' table.
    elementwise
        Works element by element on same-shaped inputs, so that any layout
        that all of them share will do.
    epilogue
        The steps that may follow, of `dispatch.problem.STEPS`.
    view
        The output is the first input's bytes under another shape.
    quantized_output
        The result is quantised, as attributes `scale`, `zero_point` and `dtype` say.
    """

    name: str
    inputs: tuple[Input, ...]
    attributes: Mapping[str, Any]
    dtypes: tuple[str, ...]
    infer: Callable[[Specs, Attributes], Inferred]
    reference: Callable[[Arrays, Attributes], list[Array]]
    cases: Callable[[np.random.Generator], Iterator[Case]]
    magnitude: Callable[[Arrays, Attributes, Arrays], list[Array]] = own_magnitude
    error: float = 4.0
    flops: Callable[[Problem], float] = _output_elements
    bytes_moved: Callable[[Problem], int] = input_bytes
    onnx: tuple[str, ...] = ()
    elementwise: bool = False
    epilogue: tuple[str, ...] = ()
    view: bool = False
    quantized_output: bool = False

    @property
    def quantized(self) -> bool:
        """Quantised tensors go in or come out."""
        return self.quantized_output or any(i.quantized for i in self.inputs)

    def __repr__(self) -> str:
        return f"<operator {self.name}>"
