"""All operators, found in `dispatch.ops`."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any

import dispatch.ops
from dispatch.operator import Operator

__all__ = ["functions", "operators"]


@cache
def operators() -> Mapping[str, Operator]:
    """Return every operator by its name.

    Returns
    -------
    mapping
        Name → `dispatch.operator.Operator`, sorted by name, read-only.
    """
    return MappingProxyType({name: module.OPERATOR for name, module in _modules().items()})


@cache
def functions() -> Mapping[str, Callable[..., Any]]:
    """Return the public functions by their names; an operator of the planner's own has none."""
    return MappingProxyType(
        {
            name: getattr(module, name)
            for name, module in _modules().items()
            if hasattr(module, name)
        }
    )


@cache
def _modules() -> Mapping[str, Any]:
    names = sorted(info.name for info in pkgutil.iter_modules(dispatch.ops.__path__))
    return {name: importlib.import_module(f"dispatch.ops.{name}") for name in names}
