"""Runs a model's nodes on traced arrays, so that the operators that they call are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispatch.errors import DispatchError
from runtime.errors import ModelError
from runtime.onnx.call import Call, Scope, Value
from runtime.onnx.concrete import Concrete
from runtime.onnx.control import CONTROL, Run
from runtime.onnx.functions import (
    body_by_types,
    body_of,
    default_attributes,
    has_body_by_types,
)
from runtime.onnx.handlers import HANDLERS, TAKE_QUANTIZED, TAKE_SEQUENCES, qualified
from runtime.onnx.handlers.casts import element_number
from runtime.onnx.library import onnx_library
from runtime.onnx.meaning import stored
from runtime.onnx.sequence import TensorSequence
from runtime.onnx.tensors import tensor_array
from runtime.onnx.unserved import (
    DEEPEST,
    Functions,
    check_served,
    live_nodes,
    node_label,
    opsets_of_body,
)

__all__ = ["DAMAGE", "Interpreter"]

Values = dict[str, "Value | TensorSequence | None"]

DAMAGE = (ArithmeticError, LookupError, MemoryError, RecursionError, TypeError, ValueError)
"""What a damaged node's attributes and inputs may cause; `DispatchError` where they are checked."""


class Interpreter:
    """Runs graphs and functions.

    Parameters
    ----------
    opsets
        Versions of the operator sets.
    functions
        The model's own functions.
    """

    def __init__(self, opsets: Mapping[str, int], functions: Functions, depth: int = 0) -> None:
        self.opsets = opsets
        self.functions = functions
        self.depth = depth
        if depth > DEEPEST:
            raise ModelError(f"functions within functions: expected at most {DEEPEST}, got more")

    def graph(
        self, graph: Any, values: Values, scope: Scope, attributes: Mapping[str, Any] | None = None
    ) -> list[tuple[str, Any]]:
        """Run a graph; return its outputs by name.

        Parameters
        ----------
        graph
            ONNX's GraphProto.
        values
            The inputs, the initializers, and what the graph around it has.
        scope
            What the nodes share.
        attributes
            Of the function that the graph is part of.
        """
        names = [o.name for o in graph.output]
        self._nodes(live_nodes(graph.node, names), values, scope, attributes or {})
        return [(name, _found(values, name, "the graph's outputs")) for name in names]

    def _nodes(
        self, nodes: Sequence[Any], values: Values, scope: Scope, attributes: Mapping[str, Any]
    ) -> None:
        """Run nodes in order; what they make goes into `values`."""
        made: set[str] = set()
        for node in nodes:
            label = node_label(node)
            try:
                results = self._node(node, label, values, scope, attributes)
            except ModelError as error:
                raise ModelError(f"{label}: {error}") from error
            except (DispatchError, *DAMAGE) as error:
                text = str(error) or type(error).__name__
                text = text.removeprefix(f"{label}: ").removesuffix(f" (at {label})")
                raise ModelError(f"{label}: {text}") from error
            for name, value in zip(node.output, results, strict=False):
                if name in made:
                    raise ModelError(f"{label}: the value {name!r} is made twice")
                if name:
                    made.add(name)
                    values[name] = value

    def _node(
        self,
        node: Any,
        label: str,
        values: Values,
        scope: Scope,
        attributes: Mapping[str, Any],
    ) -> Sequence[Any]:
        """Run a node; return its outputs."""
        inputs = [_found(values, name, label) if name else None for name in node.input]
        given = _attributes(node, attributes)
        operator = qualified(node.domain, node.op_type)
        known = operator in CONTROL or operator in HANDLERS
        if not known or (node.domain, node.op_type) in self.functions:
            return self._function(node, inputs, given, scope)
        scope.recorder.label = lambda: label
        inputs = [_taken(operator, value) for value in inputs]
        plain = {name: _plain(value) for name, value in given.items()}
        call = Call(node.op_type, label, self.opsets[""], inputs, plain, list(node.output), scope)
        if operator in CONTROL:
            return CONTROL[operator](call, self._within(values, scope, attributes))
        result = HANDLERS[operator](call)
        results = result if isinstance(result, tuple) else (result,)
        missing = [n for i, n in enumerate(node.output) if n and i >= len(results)]
        if missing:
            raise ModelError(f"the outputs {', '.join(map(repr, missing))} aren't served")
        return results

    def _function(
        self, node: Any, inputs: Sequence[Value | None], given: Mapping[str, Any], scope: Scope
    ) -> Sequence[Value | None]:
        """Run a function's nodes in the place of the node that calls it."""
        body = body_of(node, self.opsets, self.functions)
        if body is None and has_body_by_types(node, self.opsets):
            types = [_type_of(value, scope) for value in inputs]
            body = body_by_types(_resolved(node, given), self.opsets, types)
        if body is None:
            raise ModelError("no such operator or function")
        if len(inputs) > len(body.input):
            raise ModelError(f"expected at most {len(body.input)} inputs, got {len(inputs)}")
        padded = [*inputs, *[None] * (len(body.input) - len(inputs))]
        values: Values = dict(zip(body.input, padded, strict=True))
        bound = {**default_attributes(node, self.opsets, body), **given}
        inner = Interpreter(opsets_of_body(body, self.opsets), self.functions, self.depth + 1)
        # A body may leave out what nobody asks for.
        wanted = [name if own else "" for name, own in zip(body.output, node.output, strict=False)]
        inner._nodes(live_nodes(body.node, list(filter(None, wanted))), values, scope, bound)
        return [_found(values, name, "the function's outputs") if name else None for name in wanted]

    def _within(self, values: Values, scope: Scope, attributes: Mapping[str, Any]) -> Run:
        """Return what runs a graph that is an attribute, which sees the values around it."""
        nested = Interpreter(self.opsets, self.functions, self.depth + 1)
        checked: set[int] = set()

        def run(graph: Any, given: Sequence[Any]) -> list[Any]:
            if id(graph) not in checked:
                check_served(graph, self.opsets, self.functions)
                checked.add(id(graph))
            inner: Values = dict(values)
            for tensor in graph.initializer:
                inner[tensor.name] = Concrete(tensor_array(tensor), scope.recorder)
            names = [i.name for i in graph.input]
            if len(names) != len(given):
                raise ModelError(f"expected a body of {len(given)} inputs, got {len(names)}")
            inner.update(zip(names, given, strict=True))
            return [value for _, value in nested.graph(graph, inner, scope, attributes)]

        return run


def _taken(operator: str, value: Any) -> Any:
    """Return an input as an operator takes it."""
    if isinstance(value, TensorSequence):
        if operator not in TAKE_SEQUENCES and operator not in CONTROL:
            raise ModelError("expected a tensor, got a sequence")
        return value
    return value if value is None or operator in TAKE_QUANTIZED else stored(value)


def _type_of(value: Value | TensorSequence | None, scope: Scope) -> Any:
    """Return ONNX's TypeProto of a value, its dynamic extents unnamed; an empty one for None."""
    onnx = onnx_library()
    if isinstance(value, TensorSequence):
        element = _type_of(value.values[0], scope) if value.values else onnx.TypeProto()
        return onnx.helper.make_sequence_type_proto(element)
    if value is None:
        return onnx.TypeProto()
    shape = value.spec.shape if scope.static(value) else [None] * value.ndim
    element = element_number(value.spec.dtype)
    return onnx.helper.make_tensor_type_proto(element, shape)


def _found(values: Values, name: str, where: str) -> Any:
    """Return a value by name."""
    if name not in values:
        raise ModelError(
            f"{where}: the value {name!r} isn't there: no input, no initializer and no node "
            f"before makes it (nodes out of order, a cycle, or a missing initializer)"
        )
    return values[name]


def _attributes(node: Any, bound: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node's AttributeProtos, those of the function around it put in."""
    given = {}
    for attribute in node.attribute:
        if not attribute.ref_attr_name:
            given[attribute.name] = attribute
        elif attribute.ref_attr_name in bound:
            given[attribute.name] = bound[attribute.ref_attr_name]
    return given


def _resolved(node: Any, given: Mapping[str, Any]) -> Any:
    """Return a node whose attributes are values, none of them its function's."""
    resolved = onnx_library().NodeProto()
    resolved.CopyFrom(node)
    del resolved.attribute[:]
    for name, attribute in given.items():
        resolved.attribute.add().CopyFrom(attribute)
        resolved.attribute[-1].name = name
    return resolved


def _plain(attribute: Any) -> Any:
    """Return an attribute's value: strings as text, lists as lists."""
    value = onnx_library().helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (str, int, float)) or not isinstance(value, Sequence):
        return value
    return [v.decode() if isinstance(v, bytes) else v for v in value]
