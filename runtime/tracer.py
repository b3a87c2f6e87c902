"""Arrays that record what is done to them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

import dispatch
from dispatch.call import freeze, input_names, make_problem
from dispatch.constant import Constant
from dispatch.context import active
from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.operator import Array, Operator
from dispatch.tensor import TensorSpec
from runtime.errors import TraceError
from runtime.graph import SHAPE, Extent, Graph, GraphInput, Node, Reference, Step

__all__ = ["Recorder", "Tracer", "shape_of"]


class Recorder:
    """Collects the nodes of one trace."""

    def __init__(self) -> None:
        self.inputs: list[GraphInput] = []
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.fixed: set[str] = set()
        self.label: Callable[[], str] = caller
        self._names: dict[int, tuple[str, Any]] = {}
        self._count = 0

    def fresh(self, stem: str) -> str:
        """Return a name for a new value."""
        self._count += 1
        return f"{stem}_{self._count}"

    def input(self, name: str, dtype: str, shape: tuple[Extent, ...], example: tuple[int, ...]) -> Tracer:
        """Declare an input; `example` is the shape that inference works with."""
        self.inputs.append(GraphInput(name, dtype, shape))
        return Tracer(self, name, TensorSpec(dtype, example), frozenset({name}))

    def constant(self, value: Any, name: str = "constant") -> str:
        """Return the name of a constant, the same for the same object."""
        known = self._names.get(id(value))
        if known is not None:
            return known[0]
        array = value.array if isinstance(value, Constant) else np.array(value, order="C")
        fresh = self.fresh(name)
        self.constants[fresh] = array
        self._names[id(value)] = (fresh, value)
        return fresh

    def graph(self, outputs: list[tuple[str, Any]]) -> Graph:
        """Return the graph of what was recorded; `outputs` are tracers or arrays, by name."""
        named = [
            (name, v.value if isinstance(v, Tracer) else self.constant(v)) for name, v in outputs
        ]
        return Graph(tuple(self.inputs), tuple(named), tuple(self.nodes), dict(self.constants))

    def record(
        self,
        operator: Operator,
        inputs: tuple[Any, ...],
        attributes: Mapping[str, Any],
        steps: tuple[Step, ...],
    ) -> Any:
        """Add a node and return tracers of its outputs."""
        label = self.label()
        sources: frozenset[str] = frozenset()
        names: list[str | None] = []
        specs: list[TensorSpec | None] = []
        first = next((x.dtype for x in inputs if isinstance(x, (Tracer, np.ndarray, Constant))), None)
        for x in inputs:
            if x is None:
                names.append(None)
                specs.append(None)
                continue
            if isinstance(x, Tracer):
                if x.recorder is not self:
                    raise TraceError(f"{label}: {operator.name}: an array of another trace")
                names.append(x.value)
                specs.append(x.spec)
                sources |= x.sources
                continue
            array = np.asarray(x, first) if isinstance(x, (bool, int, float)) else x
            names.append(self.constant(array))
            shape, dtype = array.shape, dtype_name(array.dtype)
            if dtype is None:
                raise TraceError(f"{label}: {operator.name}: dtype {array.dtype!r} isn't served")
            specs.append(TensorSpec(dtype, shape, constant=True))
        concrete: dict[str, Any] = {}
        kept: dict[str, Any] = {}
        for name, value in attributes.items():
            concrete[name], kept[name] = self._attribute(operator, name, value, label)
        problem = make_problem(operator, tuple(specs), concrete, steps, active())
        outputs = tuple(self.fresh(operator.name) for _ in problem.outputs)
        self.nodes.append(Node(operator.name, tuple(names), outputs, kept, steps, label))
        made = tuple(
            Tracer(self, name, spec, sources)
            for name, spec in zip(outputs, problem.outputs, strict=True)
        )
        return made[0] if len(made) == 1 else made

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


def caller() -> str:
    """Return ``file:line`` of the innermost frame outside the project's own packages."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in (
        "dispatch",
        "runtime",
    ):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


class Tracer:
    """Stands for an array while a function is traced.

    Attributes
    ----------
    value : str
        The graph's name for it.
    spec : TensorSpec
        Its dtype, and its shape for the example's inputs.
    sources : frozenset of str
        The graph's inputs that it comes from.
    known : numpy.ndarray or None
        Its elements for the example's shapes, where they follow from shapes alone.
    """

    __slots__ = ("known", "recorder", "sources", "spec", "value")

    def __init__(
        self,
        recorder: Recorder,
        value: str,
        spec: TensorSpec,
        sources: frozenset[str],
        known: Array | None = None,
    ) -> None:
        self.recorder = recorder
        self.value = value
        self.spec = spec
        self.sources = sources
        self.known = known
