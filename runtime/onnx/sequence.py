"""A sequence of a model's values, known as far as its length."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.onnx.call import Value

__all__ = ["TensorSequence"]


@dataclass(frozen=True, slots=True)
class TensorSequence:
    """What stands for an ONNX sequence while a model is imported; a trace holds its elements.

    Parameters
    ----------
    values
        The elements.
    """

    values: tuple[Value, ...]
