"""Values that are numbers already while a model is imported."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from dispatch.arguments import make_problem
from dispatch.constant import Constant
from dispatch.context import active
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.operator import Array, Operator
from dispatch.tensor import Quantization, TensorSpec
from runtime.graph import Step
from runtime.tracer import Recorder, Tracer

__all__ = ["Concrete"]

LARGEST = 2**31
"""Bytes of a result: what a model may make of its constants while it is imported."""

COSTLY = 1e8
"""Floating-point operations: what costs more is recorded, and left to constant folding."""

MOVEMENT = frozenset({
    "cast", "concat", "expand", "gather", "gather_elements", "gather_nd", "pad", "reshape", "slice",
    "split", "transpose", "where",
})  # fmt: skip
"""Operators that copy elements: their references are right in any dtype, and exact."""


class Concrete(Constant):
    """An array of known elements; operators on such arrays alone are worked out on the spot.

    Parameters
    ----------
    array
        The elements; not copied where it is dense and aligned.
    recorder
        Where operators go that also take traced arrays, and those on quantised
        ones: passes see them.
    quantization
        What the elements stand for.
    """

    __slots__ = ("recorder",)

    def __init__(
        self, array: Array, recorder: Recorder, quantization: Quantization | None = None
    ) -> None:
        if not (array.flags.c_contiguous and array.flags.aligned):
            array = np.array(array, order="C")
        if array.flags.writeable:
            array = array.view()
            array.flags.writeable = False
        super().__init__(array, quantization)
        self.recorder = recorder

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.array.ndim

    @property
    def spec(self) -> TensorSpec:
        """Dtype and shape.

        Raises
        ------
        UnsupportedDtype
            If the dtype isn't one of the project's.
        """
        name = dtype_name(self.array.dtype)
        if name is None:
            raise UnsupportedDtype(f"constant: dtype {self.array.dtype} isn't served")
        return TensorSpec(name, self.array.shape, constant=True, quantization=self.quantization)

    @classmethod
    def __dispatch_operator__(
        cls,
        operator: Operator,
        inputs: tuple[Any, ...],
        attributes: tuple[Any, ...],
        out: Any,
        steps: tuple[Step, ...],
    ) -> Any:
        """Work an operator out, or record it if it takes anything traced."""
        assert out is None
        named = dict(zip(operator.attributes, attributes, strict=True))
        first = next(x for x in inputs if isinstance(x, Concrete))
        if operator.quantized or any(isinstance(x, Tracer) for x in (*inputs, *attributes)):
            return first.recorder.record(operator, inputs, named, steps)
        dtype = first.dtype
        known = tuple(
            x if x is None or isinstance(x, Concrete) else first.like(np.asarray(x, dtype))
            for x in inputs
        )
        problem = make_problem(
            operator, tuple(None if x is None else x.spec for x in known), named, steps, active()
        )
        if sum(t.nbytes for t in problem.outputs) > LARGEST:
            raise InvalidArgument(
                f"{operator.name}: expected a constant of at most {LARGEST} bytes, "
                f"got shape {problem.outputs[0].shape}"
            )
        if steps or operator.flops(problem) > COSTLY:
            return first.recorder.record(operator, inputs, named, steps)
        arrays = [None if x is None else _operand(operator, x.array) for x in known]
        with np.errstate(all="ignore"):
            made = tuple(
                first.like(np.asarray(o).astype(numpy_dtype(s.dtype), copy=False).reshape(s.shape))
                for o, s in zip(
                    operator.reference(arrays, dict(problem.attributes)),
                    problem.outputs,
                    strict=True,
                )
            )
        return made[0] if len(made) == 1 else made

    def like(self, array: Array) -> Self:
        """Return another array of the same import."""
        return type(self)(array, self.recorder)


def _operand(operator: Operator, array: Array) -> Array:
    """Return an array as the operator's reference takes it."""
    floating = "float" in str(array.dtype) and operator.name not in MOVEMENT
    return array.astype(np.float64) if floating else array
