"""Runs a model's nodes on traced arrays, so that the operators that they call are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dispatch.errors import DispatchError
from runtime.errors import ModelError
from runtime.onnx.call import Call, Scope, Value
from runtime.onnx.concrete import Concrete
from runtime.onnx.functions import (
    body_by_types,
    body_of,
    default_attributes,
    has_body_by_types,
)
from runtime.onnx.handlers import HANDLERS, TAKE_QUANTIZED, qualified
from runtime.onnx.handlers.casts import element_number
from runtime.onnx.library import onnx_library
from runtime.onnx.load import DEFAULT_DOMAINS
from runtime.onnx.meaning import stored
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

Values = dict[str, "Value | None"]

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

    def graph(self, graph: Any, values: Values, scope: Scope) -> list[tuple[str, Value]]:
        """Run a graph; return its outputs by name.

        Parameters
        ----------
        graph
            ONNX's GraphProto.
        values
            The inputs, the initializers, and what the graph around it has.
        scope
            What the nodes share.
        """
        names = [o.name for o in graph.output]
        self._nodes(live_nodes(graph.node, names), values, scope, {})
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
    ) -> Sequence[Value | None]:
        """Run a node; return its outputs."""
        inputs = [_found(values, name, label) if name else None for name in node.input]
        given = _attributes(node, attributes)
        default = node.domain in DEFAULT_DOMAINS
        if default and node.op_type == "If" and ("", "If") not in self.functions:
            return self._branch(inputs, given, values, scope)
        operator = qualified(node.domain, node.op_type)
        handler = HANDLERS.get(operator)
        if handler is None or (node.domain, node.op_type) in self.functions:
            return self._function(node, inputs, given, scope)
        scope.recorder.label = lambda: label
        if operator not in TAKE_QUANTIZED:
            inputs = [None if value is None else stored(value) for value in inputs]
        plain = {name: _plain(value) for name, value in given.items()}
        call = Call(node.op_type, label, self.opsets[""], inputs, plain, list(node.output), scope)
        result = handler(call)
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
            body = body_by_types(node, self.opsets, types)
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

    def _branch(
        self,
        inputs: Sequence[Value | None],
        given: Mapping[str, Any],
        values: Values,
        scope: Scope,
    ) -> Sequence[Value | None]:
        """Run the branch of an If that is taken, which must be known."""
        condition = inputs[0] if inputs else None
        if not isinstance(condition, Concrete) or condition.array.size != 1:
            raise ModelError(
                "cond: expected a constant, got a value that follows from the model's inputs"
            )
        name = "then_branch" if bool(condition.array.item()) else "else_branch"
        graph = given[name].g
        check_served(graph, self.opsets, self.functions)
        inner: Values = dict(values)
        for tensor in graph.initializer:
            inner[tensor.name] = Concrete(tensor_array(tensor), scope.recorder)
        nested = Interpreter(self.opsets, self.functions, self.depth + 1)
        return [value for _, value in nested.graph(graph, inner, scope)]


def _type_of(value: Value | None, scope: Scope) -> Any:
    """Return ONNX's TypeProto of a value, its dynamic extents unnamed; an empty one for None."""
    onnx = onnx_library()
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


def _plain(attribute: Any) -> Any:
    """Return an attribute's value: strings as text, lists as lists."""
    value = onnx_library().helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (str, int, float)) or not isinstance(value, Sequence):
        return value
    return [v.decode() if isinstance(v, bytes) else v for v in value]
