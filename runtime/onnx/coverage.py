"""Which operators of ONNX a model may hold to be imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runtime.onnx.control import CONTROL
from runtime.onnx.functions import body_by_types, has_body_by_types
from runtime.onnx.handlers import HANDLERS
from runtime.onnx.library import onnx_library
from runtime.onnx.load import DEFAULT_DOMAINS
from runtime.onnx.unserved import opsets_of_body, unserved

__all__ = ["Coverage", "coverage"]


@dataclass(frozen=True, slots=True)
class Coverage:
    """An operator, and what becomes of it.

    Parameters
    ----------
    operator
        Its name.
    domain
        Of its operator set; the default one's is empty.
    since
        The newest version of its operator set that changed it; None where the package onnx doesn't
        know the operator.
    imported
        Whether models that hold it are imported.
    how
        How it is, or what is missing.
    """

    operator: str
    domain: str
    since: int | None
    imported: bool
    how: str


def coverage() -> list[Coverage]:
    """Return all operators of ONNX's default operator set, and the others that are imported.

    What an operator's attributes or inputs say may still be refused, with the reason.

    Raises
    ------
    ModelError
        If the package onnx isn't installed.
    """
    onnx = onnx_library()
    newest = onnx.defs.onnx_opset_version()
    schemas = {
        s.name: s
        for s in onnx.defs.get_all_schemas()
        if s.domain in DEFAULT_DOMAINS and not s.deprecated
    }
    listed = [_of_default(onnx, schemas.get(n), n, newest) for n in {*schemas, *_default_names()}]
    for name in HANDLERS:
        domain, apart, operator = name.rpartition("::")
        if apart:
            listed.append(Coverage(operator, domain, None, True, "by operators of ours"))
    return sorted(listed, key=lambda entry: (entry.domain, entry.operator))


def _default_names() -> list[str]:
    return [name for name in HANDLERS if "::" not in name]


def _of_default(onnx: Any, schema: Any, name: str, newest: int) -> Coverage:
    since = None if schema is None else schema.since_version
    if name in HANDLERS:
        return Coverage(name, "", since, True, "by operators of ours")
    if name in CONTROL:
        return Coverage(name, "", since, True, "followed, where its condition or length is known")
    missing = _missing(onnx, schema, newest)
    if not missing:
        return Coverage(name, "", since, True, "by ONNX's definition of it")
    return Coverage(name, "", since, False, ", ".join(sorted(missing - {name})))


def _missing(onnx: Any, schema: Any, newest: int) -> set[str]:
    """Return the operators that one without a handler would need: itself, or parts."""
    names = [f"input {i}" for i in range(schema.min_input)]
    node = onnx.helper.make_node(schema.name, names, [schema.name])
    opsets = {"": newest}
    if not has_body_by_types(node, opsets):
        return set(unserved([node], opsets))
    kind = onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)
    try:
        body = body_by_types(node, opsets, [kind] * len(names))
    except ValueError:  # what it is made of is an attribute, which only a model has
        return set()
    return set(unserved(body.node, opsets_of_body(body, opsets)))
