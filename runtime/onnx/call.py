"""One node of a model while it is imported: its inputs' values and its attributes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import numpy as np

from runtime.errors import ModelError
from runtime.onnx.concrete import Concrete
from runtime.tracer import Recorder, Tracer

__all__ = ["Call", "Handler", "Scope", "Value", "as_integers"]

Value: TypeAlias = Tracer | Concrete
"""What a name of the model stands for."""

T = TypeVar("T")
_REQUIRED: Any = object()


@dataclass(frozen=True, slots=True)
class Scope:
    """What all nodes of one import share.

    Parameters
    ----------
    recorder
        Takes the calls.
    dynamic
        The graph's inputs that have dynamic extents.
    rounds
        Counts those of all loops.
    """

    recorder: Recorder
    dynamic: frozenset[str]
    rounds: Iterator[int] = field(default_factory=itertools.count)

    def concrete(self, value: Any, dtype: Any = None) -> Concrete:
        """Return numbers as a value."""
        return Concrete(np.asarray(value, dtype), self.recorder)

    def static(self, value: Value) -> bool:
        """Say whether a value's extents are the same whatever the inputs' are."""
        return isinstance(value, Concrete) or not value.sources & self.dynamic


@dataclass(frozen=True, slots=True)
class Call:
    """One node.

    Parameters
    ----------
    operator
        ONNX's name of the operator.
    label
        The operator and the node's name, for messages.
    version
        The version of the operator set that the node is of.
    inputs
        Values, None for an absent one.
    attributes
        As the model gives them.
    outputs
        The wanted outputs: an absent one's name is "".
    scope
        What all nodes share.
    """

    operator: str
    label: str
    version: int
    inputs: Sequence[Value | None]
    attributes: Mapping[str, Any]
    outputs: Sequence[str]
    scope: Scope

    def __getitem__(self, index: int) -> Value:
        """Return an input that must be there."""
        value = self.optional(index)
        if value is None:
            raise ModelError(f"expected at least {index + 1} inputs, got {len(self.inputs)}")
        return value

    def optional(self, index: int) -> Value | None:
        """Return an input, None if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def every(self) -> list[Value]:
        """Return all inputs; none may be absent."""
        return [self[i] for i in range(max(1, len(self.inputs)))]

    def get(self, name: str, default: T = _REQUIRED) -> T:
        """Return an attribute."""
        value = self.attributes.get(name, default)
        if value is _REQUIRED:
            raise ModelError(f"{name}: expected the attribute, got none")
        kind = type(default)
        if default is _REQUIRED or default is None or isinstance(value, kind):
            return value  # type: ignore[no-any-return]
        raise ModelError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")

    def integers(self, name: str, default: Sequence[int] | None = None) -> tuple[int, ...] | None:
        """Return an attribute that is a list of integers."""
        value = self.attributes.get(name, default)
        if value is None:
            return None
        if not isinstance(value, (list, tuple)) or not all(isinstance(v, int) for v in value):
            raise ModelError(f"{name}: expected integers, got {value!r}")
        return tuple(value)

    def array(self, index: int, name: str) -> np.ndarray[Any, Any] | None:
        """Return the elements of an input that must be known; None if it is absent."""
        value = self.optional(index)
        if value is None or isinstance(value, Concrete):
            return None if value is None else value.array
        raise ModelError(
            f"{name}: expected a constant, got a value that follows from the model's inputs"
        )

    def setting(self, index: int, name: str) -> Any:
        """Return a list of integers that is an input or, in older versions, an attribute.

        What follows from the inputs' shapes is returned as a traced value,
        which the project's operators take as an attribute.
        """
        value = self.optional(index)
        if value is None:
            return self.integers(name)
        return as_integers(value)

    def wants(self, index: int) -> bool:
        """Say whether an output is used."""
        return index < len(self.outputs) and self.outputs[index] != ""

    def only_first_output(self) -> None:
        """Raise if a further output is used."""
        extra = [name for name in self.outputs[1:] if name]
        if extra:
            raise ModelError(f"only the first output is served, and {', '.join(extra)} is used")


Handler: TypeAlias = Callable[[Call], "Value | tuple[Value, ...]"]
"""Records a node; returns its outputs."""


def as_integers(value: Value) -> Any:
    """Return a tuple of integers for known elements, else the traced value."""
    if isinstance(value, Tracer):
        return value
    return tuple(int(v) for v in value.array.ravel().tolist())
