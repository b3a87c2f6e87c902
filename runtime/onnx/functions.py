"""Operators that are functions of others: the model's own, and those that ONNX defines so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from runtime.onnx.library import onnx_library
from runtime.onnx.load import DEFAULT_DOMAINS

__all__ = ["body_by_types", "body_of", "default_attributes", "has_body_by_types"]


def body_of(
    node: Any, opsets: Mapping[str, int], functions: Mapping[tuple[str, str], Any]
) -> Any | None:
    """Return the FunctionProto that a node calls, None if it calls none.

    Those that depend on the inputs' types are `body_by_types`'.

    Parameters
    ----------
    node
        ONNX's NodeProto.
    opsets
        Versions of the operator sets that are in force where the node is.
    functions
        The model's own functions by domain and name.
    """
    own = functions.get((node.domain, node.op_type))
    if own is not None:
        return own
    if node.domain not in DEFAULT_DOMAINS:
        return None
    schema = _schema(node.op_type, opsets[""])
    return schema.function_body if schema is not None and schema.has_function else None


def has_body_by_types(node: Any, opsets: Mapping[str, int]) -> bool:
    """Say whether ONNX defines an operator by nodes that depend on its inputs' types."""
    if node.domain not in DEFAULT_DOMAINS:
        return False
    schema = _schema(node.op_type, opsets[""])
    return schema is not None and schema.has_context_dependent_function


def body_by_types(node: Any, opsets: Mapping[str, int], types: Sequence[Any]) -> Any:
    """Return the FunctionProto of an operator for inputs of some types.

    Parameters
    ----------
    types
        ONNX's TypeProto of each input, an empty one for what is absent.
    """
    onnx = onnx_library()
    schema = _schema(node.op_type, opsets[""])
    assert schema is not None
    versions = schema.context_dependent_function_opset_versions
    version = max(v for v in versions if v <= opsets[""])
    body = onnx.FunctionProto()
    body.ParseFromString(
        schema.get_context_dependent_function_with_opset_version(
            version, node.SerializeToString(), [t.SerializeToString() for t in types]
        )
    )
    return body


def default_attributes(node: Any, opsets: Mapping[str, int], body: Any) -> dict[str, Any]:
    """Return the attributes that a function has where its caller gives none."""
    defaults = {a.name: a for a in body.attribute_proto}
    if node.domain in DEFAULT_DOMAINS:
        schema = _schema(node.op_type, opsets[""])
        for name, attribute in ({} if schema is None else schema.attributes).items():
            if attribute.default_value.name:
                defaults.setdefault(name, attribute.default_value)
    return defaults


def _schema(operator: str, version: int) -> Any | None:
    defs = onnx_library().defs
    try:
        return defs.get_schema(operator, version, "")
    except defs.SchemaError:
        return None
