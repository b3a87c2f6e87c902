"""cuDNN's graphs as data: what a problem becomes, without cuDNN.

The pure part of the pack's graphs: shapes, strides and the frontend's operations by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dispatch.answer import No, NoCode
from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import NHWC, TensorSpec
from kernels.gpu.strided import dense_strides

__all__ = ["IMAGES", "Builder", "Graph", "Node", "Tensor", "image_strides", "notes_of"]

IMAGES = ("batch_norm", "conv2d", "conv_transpose2d")
"""Operators whose tensors of four axes are images."""

ALWAYS = ("NONDETERMINISTIC", "REDUCED_PRECISION_REDUCTION")
"""Engines with these numerical notes are never taken: other bits in each run, sums in halves."""
_NARROW = ("TENSOR_CORE", "DOWN_CONVERT_INPUTS")
_PRODUCTS: Mapping[str, tuple[str, ...]] = {
    "highest": (*_NARROW, "WINOGRAD", "FFT"),
    "high": (*_NARROW, "FFT"),
    "medium": ("FFT",),
}
"""For products in float32, which tensor cores would round to TF32, by the precision asked for."""
_HALVES = ("WINOGRAD", "FFT")
"""For products in halves, whose transforms would be rounded to halves."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a graph.

    Parameters
    ----------
    shape, strides
        In elements, as the frontend takes them.
    dtype
        A dtype's name.
    argument
        Index into the problem's inputs, then outputs; -1 for what has no memory.
    value
        A number that is no array.
    """

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str
    argument: int = -1
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """An operation of a graph.

    Parameters
    ----------
    operation
        The method of the frontend's ``pygraph``.
    operands
        Its tensors' parameters, and indices of `Graph.tensors`.
    result
        Index of what it gives.
    parameters
        Its other parameters.
    """

    operation: str
    operands: tuple[tuple[str, int], ...]
    result: int
    parameters: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Graph:
    """A problem in cuDNN's terms: frozen, hashable, and its ``repr`` says everything.

    Parameters
    ----------
    tensors, nodes
        In order; a node's operands come before it.
    notes
        Numerical notes of engines that may not be taken.
    """

    tensors: tuple[Tensor, ...]
    nodes: tuple[Node, ...]
    notes: tuple[str, ...]


def image_strides(spec: TensorSpec) -> tuple[int, ...]:
    """Return the strides of a tensor in its layout, in elements, for its logical axes."""
    if spec.layout != NHWC:
        return dense_strides(spec.shape)
    _, channels, height, width = spec.shape
    return (channels * height * width, 1, channels * width, channels)


def notes_of(problem: Problem) -> tuple[str, ...]:
    """Return the numerical notes that a product may not have."""
    found = _PRODUCTS[problem.precision] if problem.dtype == "float32" else _HALVES
    return (*found, *ALWAYS)


_ACTIVATIONS: Mapping[str, str] = {
    "relu": "relu",
    "clip": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "swish",
    "leaky_relu": "leaky_relu",
    "elu": "elu",
    "gelu": "gelu",
}
"""The frontend's operation for each activation that it has."""


@dataclass(slots=True)
class Builder:
    """Collects a graph's tensors and nodes.

    Parameters
    ----------
    problem
        Whose arguments they are.
    """

    problem: Problem
    tensors: list[Tensor] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)

    def argument(
        self, index: int, shape: Sequence[int], strides: Sequence[int] | None = None
    ) -> int:
        """Add an input or output of the problem in a shape of the graph's; default: dense."""
        spec = self.problem.tensors[index]
        assert spec is not None
        steps = dense_strides(shape) if strides is None else tuple(strides)
        return self._add(Tensor(tuple(shape), steps, spec.dtype, index))

    def number(self, value: float, rank: int) -> int:
        """Add a number in float32."""
        return self._add(Tensor((1,) * rank, (1,) * rank, "float32", value=value))

    def node(
        self, operation: str, like: Tensor, operands: Mapping[str, int], **parameters: Any
    ) -> int:
        """Add an operation, whose result of float32 lies as `like`; return the result."""
        result = self._add(Tensor(like.shape, like.strides, "float32"))
        given = tuple(sorted(operands.items())), result, tuple(sorted(parameters.items()))
        self.nodes.append(Node(operation, *given))
        return result

    def epilogue(self, steps: Sequence[EpilogueStep], value: int, like: Tensor) -> int | No:
        """Add steps of an epilogue on a value; `like` is how the output lies."""
        for step in steps:
            if step.input >= 0:
                other = self.argument(step.input, like.shape, self._steps(step.input, like))
                value = self.node(step.name, like, {"a": value, "b": other})
                continue
            if not _is_served(step):
                return No(NoCode.EPILOGUE, "epilogue", ", ".join(_ACTIVATIONS), step.name)
            operation = _ACTIVATIONS[step.name]
            if step.name == "gelu" and step.alpha == 1.0:
                operation = "gelu_approx_tanh"
            value = self.node(operation, like, {"input": value}, **_numbers(step))
        return value

    def _steps(self, index: int, like: Tensor) -> tuple[int, ...]:
        """Return an operand's strides: its own layout's for images, else the output's."""
        spec = self.problem.inputs[index]
        assert spec is not None
        return image_strides(spec) if spec.shape == like.shape else like.strides

    def finish(self, value: int, output: Tensor, notes: tuple[str, ...]) -> Graph:
        """Return the graph whose last value is the problem's output."""
        self.tensors[value] = output
        return Graph(tuple(self.tensors), tuple(self.nodes), notes)

    def _add(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1


def _is_served(step: EpilogueStep) -> bool:
    """Say whether the frontend has an activation; its elu has no number."""
    return step.name in _ACTIVATIONS and not (step.name == "elu" and step.alpha != 1.0)


def _numbers(step: EpilogueStep) -> dict[str, float]:
    if step.name == "clip":
        return {"lower_clip": step.alpha, "upper_clip": step.beta}
    if step.name == "leaky_relu":
        return {"negative_slope": step.alpha}
    return {"swish_beta": 1.0} if step.name == "silu" else {}
