"""Arrays that record what is done to them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from dispatch.arguments import freeze, make_problem
from dispatch.arrays import to_numpy
from dispatch.constant import Constant
from dispatch.context import active
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.errors import InvalidArgument
from dispatch.memory import place_of, to_host
from dispatch.operator import Array, Operator
from dispatch.problem import Problem
from dispatch.quantized import QuantizedArray
from dispatch.tensor import Quantization, TensorSpec
from runtime.errors import TraceError
from runtime.evaluate import known_outputs
from runtime.graph import SHAPE, Extent, Graph, GraphInput, Node, Reference, Step

__all__ = ["Recorder", "Tracer", "caller", "shape_of"]


class Recorder:
    """Collects the nodes of one trace.

    Attributes
    ----------
    label : callable
        Gives the label of the node that is being recorded; default: the
        caller's source line.
    """

    def __init__(self) -> None:
        self.inputs: list[GraphInput] = []
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.quantizations: dict[str, Quantization] = {}
        self.fixed: dict[str, str] = {}
        self.label: Callable[[], str] = caller
        self._names: dict[int, tuple[str, Any]] = {}
        self._count = 0
        self._taken: set[str] = set()

    def fresh(self, stem: str) -> str:
        """Return a name for a new value."""
        while True:
            self._count += 1
            name = f"{stem}_{self._count}"
            if name not in self._taken:
                self._taken.add(name)
                return name

    def input(
        self,
        name: str,
        dtype: str,
        shape: tuple[Extent, ...],
        example: tuple[int, ...],
        quantization: Quantization | None = None,
    ) -> Tracer:
        """Declare an input; `example` is the shape that inference works with."""
        if name in self._taken:
            raise TraceError(f"inputs: expected different names, got {name!r} twice")
        self._taken.add(name)
        self.inputs.append(GraphInput(name, dtype, shape, example, quantization=quantization))
        spec = TensorSpec(dtype, example, quantization=quantization)
        return Tracer(self, name, spec, frozenset({name}))

    def constant(self, value: Any, name: str = "constant") -> str:
        """Return the name of a constant: a copy of the values, one for the same object.

        A `Constant`, whose values can't change, isn't copied.
        """
        known = self._names.get(id(value))
        if known is not None and isinstance(value, Constant):
            return known[0]
        held = value.array if isinstance(value, (Constant, QuantizedArray)) else value
        place = place_of(held)
        if place is not None:
            array = to_host(held, place.memory)
        else:
            array = held if isinstance(value, Constant) else np.array(held, order="C")
        if known is not None and _same_values(self.constants[known[0]], array):
            return known[0]
        fresh = self.fresh(name)
        if isinstance(value, (Constant, QuantizedArray)) and value.quantization is not None:
            self.quantizations[fresh] = value.quantization
        array.flags.writeable = False
        self.constants[fresh] = array
        self._names[id(value)] = (fresh, value)
        return fresh

    def graph(self, outputs: list[tuple[str, Any]]) -> Graph:
        """Return the graph of what was recorded; `outputs` are tracers or arrays, by name."""
        named = [
            (name, v.value if isinstance(v, Tracer) else self.constant(v)) for name, v in outputs
        ]
        inputs = tuple(
            replace(i, shape=i.example, fixed=self.fixed[i.name]) if i.name in self.fixed else i
            for i in self.inputs
        )
        return Graph(
            inputs,
            tuple(named),
            tuple(self.nodes),
            dict(self.constants),
            dict(self.quantizations),
        )

    def record(
        self,
        operator: Operator,
        inputs: tuple[Any, ...],
        attributes: Mapping[str, Any],
        steps: tuple[Step, ...],
    ) -> Any:
        """Add a node and return tracers of its outputs."""
        label = self.label()
        first = next((x.dtype for x in inputs if hasattr(x, "dtype")), None)
        values = [self._value(operator, x, first, label) for x in inputs]
        concrete: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        for name, value in attributes.items():
            concrete[name], kept[name] = self._attribute(operator, name, value, label)
        try:
            problem = make_problem(
                operator,
                tuple(None if v is None else v.spec for v in values),
                concrete,
                steps,
                active(),
            )
        except InvalidArgument as error:
            raise type(error)(f"{error} (at {label})") from error
        names = tuple(None if v is None else v.value for v in values)
        outputs = tuple(self.fresh(operator.name) for _ in problem.outputs)
        self.nodes.append(Node(operator.name, names, outputs, kept, steps, label))
        known = self._known(operator, inputs, values, problem)
        given = [v for v in values if v is not None]
        # The elements of a traced attribute decide the outputs' extents, as the inputs' do.
        chosen = [v.origins for v in attributes.values() if isinstance(v, Tracer)]
        sources: frozenset[str] = frozenset().union(*chosen, *(v.sources for v in given))
        origins: frozenset[str] = sources.union(*(v.origins for v in given))
        made = tuple(
            Tracer(self, name, spec, sources, value, origins)
            for name, spec, value in zip(outputs, problem.outputs, known, strict=True)
        )
        return made[0] if len(made) == 1 else made

    def _value(
        self, operator: Operator, x: Any, dtype: np.dtype[Any] | None, label: str
    ) -> Tracer | None:
        """Return the tracer of an argument; a constant's has no sources."""
        if x is None:
            return None
        if isinstance(x, Tracer):
            if x.recorder is not self:
                raise TraceError(
                    f"{label}: {operator.name}: an array of another trace, which has ended or "
                    f"hasn't begun here"
                )
            return x
        quantization = x.quantization if isinstance(x, (Constant, QuantizedArray)) else None
        if isinstance(x, (bool, int, float)):
            if dtype is not None and isinstance(x, float) and np.dtype(dtype).kind in "iub":
                raise TraceError(
                    f"{label}: {operator.name}: expected an integer as the dtype is {dtype}, "
                    f"got {x}"
                )
            x = np.asarray(x, dtype)
        elif not isinstance(x, (Constant, QuantizedArray)) and place_of(x) is None:
            array = to_numpy(x, operator.name)
            x = x if isinstance(x, np.ndarray) else array
        name = self.constant(x)
        array = self.constants[name]
        known = dtype_name(array.dtype)
        if known is None:
            raise TraceError(f"{label}: {operator.name}: dtype {array.dtype!r} isn't served")
        spec = TensorSpec(known, array.shape, constant=True, quantization=quantization)
        return Tracer(self, name, spec, frozenset())

    def _known(
        self,
        operator: Operator,
        inputs: tuple[Any, ...],
        values: Iterable[Tracer | None],
        problem: Problem,
    ) -> list[Array | None]:
        """Return the outputs' elements where they follow from shapes alone."""
        arrays: list[Array | None] = []
        for x, value in zip(inputs, values, strict=True):
            if value is None:
                arrays.append(None)
            elif isinstance(x, Tracer):
                if x.known is None:
                    return [None] * len(problem.outputs)
                arrays.append(x.known)
            else:
                arrays.append(self.constants[value.value])
        return known_outputs(operator, arrays, problem)

    def _attribute(self, operator: Operator, name: str, value: Any, label: str) -> tuple[Any, Any]:
        """Return an attribute's value for inference, and the one for the node."""
        if isinstance(value, Tracer):
            if value.known is None:
                raise TraceError(
                    f"{label}: {operator.name}: {name}: expected a value that follows from the "
                    f"inputs' shapes, got one that follows from their elements"
                )
            scalar = value.known.ndim == 0
            known = value.known.item() if scalar else tuple(value.known.tolist())
            return known, Reference(value.value, scalar)
        frozen = freeze(value)
        return frozen, frozen


def _same_values(a: Array, b: Array) -> bool:
    """Say whether a constant is still what it was when it was copied."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def caller() -> str:
    """Return ``file:line`` of the innermost frame outside the project's own packages."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        "dispatch",
        "runtime",
        "numpy",
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Tracer:
    """Stands for an array while a function is traced.

    It has NumPy's methods and operators, and NumPy's functions take it. What
    would read its elements raises `TraceError`. Reading `shape` fixes the
    shapes of the inputs that it comes from; `runtime.shape_of` doesn't.

    Attributes
    ----------
    value : str
        The graph's name for it.
    spec : TensorSpec
        Its dtype, and its shape for the example's inputs.
    sources : frozenset of str
        The graph's inputs whose extents its own follow from.
    known : numpy.ndarray or None
        Its elements for the example's shapes, where they follow from shapes alone.
    origins : frozenset of str
        The graph's inputs whose extents those elements follow from.
    """

    __slots__ = ("known", "origins", "recorder", "sources", "spec", "value")
    __hash__ = None  # type: ignore[assignment]

    def __init__(
        self,
        recorder: Recorder,
        value: str,
        spec: TensorSpec,
        sources: frozenset[str],
        known: Array | None = None,
        origins: frozenset[str] = frozenset(),
    ) -> None:
        self.recorder = recorder
        self.value = value
        self.spec = spec
        self.sources = sources
        self.known = known
        self.origins = origins

    def __repr__(self) -> str:
        return f"<traced {self.value}: {self.spec}>"

    @classmethod
    def __dispatch_operator__(
        cls,
        operator: Operator,
        inputs: tuple[Any, ...],
        attributes: tuple[Any, ...],
        out: Any,
        steps: tuple[Step, ...],
    ) -> Any:
        recorder = next(x.recorder for x in inputs if isinstance(x, Tracer))
        if out is not None:
            raise TraceError(
                f"{recorder.label()}: {operator.name}: out= can't be recorded: the result is a "
                f"new array"
            )
        named = dict(zip(operator.attributes, attributes, strict=True))
        return recorder.record(operator, inputs, named, steps)

    # What is known without the elements

    @property
    def dtype(self) -> np.dtype[Any]:
        """NumPy's dtype."""
        return numpy_dtype(self.spec.dtype)

    @property
    def quantization(self) -> Quantization | None:
        """What the integers stand for; None: themselves."""
        return self.spec.quantization

    @property
    def values(self) -> Tracer:
        """The stored integers of a quantised array, as a plain one."""
        from dispatch.ops.as_stored import OPERATOR

        made: Tracer = self.recorder.record(OPERATOR, (self,), {}, ())
        return made

    def dequantize(self) -> Tracer:
        """Return the real values as float32: `dispatch.dequantize_linear`."""
        from dispatch.ops.dequantize_linear import dequantize_linear

        made: Tracer = dequantize_linear(self)
        return made

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self.spec.rank

    @property
    def shape(self) -> tuple[int, ...]:
        """The example's extents; from here on they are fixed."""
        for source in self.sources:
            self.recorder.fixed.setdefault(source, self.recorder.label())
        return self.spec.shape

    @property
    def size(self) -> int:
        """Number of elements; fixes the extents."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """Bytes of the elements; fixes the extents."""
        return self.size * self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.dtype.itemsize

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d array")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # NumPy's protocols

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        from runtime.ufuncs import call_ufunc

        return call_ufunc(self, ufunc, method, inputs, kwargs)

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        from runtime.functions import call_function

        return call_function(self, function, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        from runtime.functions import method

        return method(self, name)

    def __getitem__(self, index: Any) -> Any:
        from runtime.indexing import getitem

        return getitem(self, index)

    # What would read or change the elements

    def _refuse(self, what: str, instead: str = "") -> NoReturn:
        raise TraceError(
            f"{self.recorder.label()}: {what} of a traced array: its elements aren't known while "
            f"a function is traced{instead and ': ' + instead}"
        )

    def __bool__(self) -> bool:
        self._refuse("the truth value", "choose element by element by numpy.where")

    def __int__(self) -> int:
        self._refuse("int()")

    def __float__(self) -> float:
        self._refuse("float()")

    def __complex__(self) -> complex:
        self._refuse("complex()")

    def __index__(self) -> int:
        self._refuse("use as an index or a count")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        self._refuse("a NumPy array of the elements")

    def __dlpack__(self, **_: Any) -> Any:
        self._refuse("the memory")

    def __contains__(self, item: Any) -> bool:
        self._refuse("a search for an element")

    def __setitem__(self, index: Any, value: Any) -> None:
        self._refuse("a change", "make a new array, by numpy.where or numpy.concatenate")

    def __copy__(self) -> Tracer:
        return self

    def __deepcopy__(self, memo: Any) -> Tracer:
        return self

    def __reduce__(self) -> Any:
        self._refuse("a pickle")

    # Operators

    def __add__(self, other: Any) -> Any:
        return np.add(self, other)

    def __radd__(self, other: Any) -> Any:
        return np.add(other, self)

    def __sub__(self, other: Any) -> Any:
        return np.subtract(self, other)

    def __rsub__(self, other: Any) -> Any:
        return np.subtract(other, self)

    def __mul__(self, other: Any) -> Any:
        return np.multiply(self, other)

    def __rmul__(self, other: Any) -> Any:
        return np.multiply(other, self)

    def __truediv__(self, other: Any) -> Any:
        return np.true_divide(self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return np.true_divide(other, self)

    def __floordiv__(self, other: Any) -> Any:
        return np.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return np.floor_divide(other, self)

    def __mod__(self, other: Any) -> Any:
        return np.remainder(self, other)

    def __rmod__(self, other: Any) -> Any:
        return np.remainder(other, self)

    def __pow__(self, other: Any) -> Any:
        return np.power(self, other)

    def __rpow__(self, other: Any) -> Any:
        return np.power(other, self)

    def __matmul__(self, other: Any) -> Any:
        return np.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return np.matmul(other, self)

    def __and__(self, other: Any) -> Any:
        return np.bitwise_and(self, other)

    def __rand__(self, other: Any) -> Any:
        return np.bitwise_and(other, self)

    def __or__(self, other: Any) -> Any:
        return np.bitwise_or(self, other)

    def __ror__(self, other: Any) -> Any:
        return np.bitwise_or(other, self)

    def __xor__(self, other: Any) -> Any:
        return np.bitwise_xor(self, other)

    def __rxor__(self, other: Any) -> Any:
        return np.bitwise_xor(other, self)

    def __lt__(self, other: Any) -> Any:
        return np.less(self, other)

    def __le__(self, other: Any) -> Any:
        return np.less_equal(self, other)

    def __gt__(self, other: Any) -> Any:
        return np.greater(self, other)

    def __ge__(self, other: Any) -> Any:
        return np.greater_equal(self, other)

    def __eq__(self, other: object) -> Any:
        return np.equal(self, other)  # type: ignore[call-overload]

    def __ne__(self, other: object) -> Any:
        return np.not_equal(self, other)  # type: ignore[call-overload]

    def __neg__(self) -> Any:
        return np.negative(self)

    def __pos__(self) -> Any:
        return np.positive(self)

    def __abs__(self) -> Any:
        return np.absolute(self)

    def __invert__(self) -> Any:
        return np.invert(self)

    def _refuse_in_place(self, other: Any) -> Any:
        self._refuse("a change in place", "write x = x + y instead of x += y")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ifloordiv__ = _refuse_in_place
    __imod__ = __ipow__ = __imatmul__ = __iand__ = __ior__ = __ixor__ = _refuse_in_place


def shape_of(x: Any) -> Any:
    """Return the extents of an array as a value that may differ from replay to replay.

    Parameters
    ----------
    x : array
        In a traced function, the traced array; otherwise any array.

    Returns
    -------
    array of int64, shape (x.ndim,)
        What follows from it by the operators may be used as an attribute, as in
        ``dispatch.reshape(y, runtime.shape_of(x))``, where ``x.shape`` would
        fix the example's extents.
    """
    if not isinstance(x, Tracer):
        return np.array(to_numpy(x, "x").shape, np.int64)
    recorder = x.recorder
    value = recorder.fresh(SHAPE)
    recorder.nodes.append(Node(SHAPE, (x.value,), (value,), {}, (), recorder.label()))
    known = np.array(x.spec.shape, np.int64)
    return Tracer(recorder, value, TensorSpec("int64", known.shape), frozenset(), known, x.sources)
