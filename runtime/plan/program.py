"""The steps of a plan in order, on tensors that each have one layout."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from dispatch.context import Settings
from dispatch.problem import Problem
from dispatch.tensor import NCHW, TensorSpec
from runtime.errors import PlanError
from runtime.graph import Graph
from runtime.plan.layouts import Choice
from runtime.plan.options import Option, reorder_option, reorder_problem, same_bytes
from runtime.specialise import Specs

__all__ = ["Program", "Step", "Tensor", "build"]

Kind: TypeAlias = Literal["input", "constant", "made"]


@dataclass(eq=False, slots=True)
class Tensor:
    """A value in one layout, or a part or another shape of one.

    Parameters
    ----------
    value
        The graph's name for it.
    spec
        With the layout.
    kind
        Where it comes from.
    base
        The tensor whose memory it shares, `offset` bytes in; None: its own.
    parts
        The tensors that it consists of, where no step of its own makes it.
    """

    value: str
    spec: TensorSpec
    kind: Kind
    base: Tensor | None = None
    offset: int = 0
    parts: tuple[Tensor, ...] = ()

    def root(self) -> tuple[Tensor, int]:
        """Return the tensor whose memory this one's is, and how many bytes in."""
        tensor, offset = self, 0
        while tensor.base is not None:
            offset += tensor.offset
            tensor = tensor.base
        return tensor, offset


@dataclass(eq=False, slots=True)
class Step:
    """One run of one kernel."""

    option: Option
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    label: str


@dataclass(slots=True)
class Program:
    """Steps, and what goes in and out of them.

    Parameters
    ----------
    like
        Carries the device, precision and threads.
    steps
        In order.
    inputs
        (name, tensor) in order.
    outputs
        (name, tensor) in order; each tensor is dense nchw, and made by a step
        or by what shares its memory.
    alignment
        What the start of a tensor's part must be a multiple of, in bytes.
    """

    like: Problem
    alignment: int = 1
    steps: list[Step] = field(default_factory=list)
    inputs: list[tuple[str, Tensor]] = field(default_factory=list)
    outputs: list[tuple[str, Tensor]] = field(default_factory=list)


class _Builder:
    def __init__(self, specs: Specs, settings: Settings, like: Problem, alignment: int) -> None:
        self.program = Program(like, alignment)
        self.specs = specs
        self.settings = settings
        self.like = like
        self.tensors: dict[tuple[str, str], Tensor] = {}
        self.made: dict[str, Tensor] = {}

    def source(self, value: str, kind: Kind) -> Tensor:
        tensor = Tensor(value, self.specs[value], kind)
        self.tensors[value, tensor.spec.layout] = tensor
        self.made[value] = tensor
        return tensor

    def given(self, value: str, layout: str) -> Tensor:
        """Return a value in a layout, reordered at most once."""
        found = self.tensors.get((value, layout))
        if found is None:
            found = self.reordered(self.made[value], layout)
            self.tensors[value, layout] = found
        return found

    def reordered(self, tensor: Tensor, layout: str) -> Tensor:
        spec = tensor.spec.with_layout(layout)
        if same_bytes(tensor.spec, layout):
            return Tensor(tensor.value, spec, tensor.kind, tensor)
        return self.copied(tensor, spec)

    def copied(self, tensor: Tensor, spec: TensorSpec) -> Tensor:
        """Add the step that writes a tensor again in the layout of `spec`."""
        problem = reorder_problem(tensor.spec, spec.layout, self.like)
        option = reorder_option(problem, self.settings)
        if option is None:
            raise PlanError(f"{tensor.value}: no kernel reorders {tensor.spec} to {spec}")
        result = Tensor(tensor.value, spec, "made")
        self.program.steps.append(Step(option, (tensor,), (result,), f"{tensor.value} reordered"))
        return result

    def add(self, choice: Choice) -> None:
        node, option = choice.node, choice.option
        problem = option.problem
        if option.kernel is None:
            self.add_view(choice)
            return
        inputs = tuple(
            None if name is None or spec is None else self.given(name, spec.layout)
            for name, spec in zip(node.inputs, problem.inputs, strict=True)
        )
        outputs = tuple(
            self.define(name, Tensor(name, spec, "made"))
            for name, spec in zip(node.outputs, problem.outputs, strict=True)
        )
        self.program.steps.append(Step(option, inputs, outputs, node.label or node.outputs[0]))

    def add_view(self, choice: Choice) -> None:
        name, made = str(choice.node.inputs[0]), choice.node.outputs[0]
        problem = choice.option.problem
        assert problem.inputs[0] is not None
        base = self.given(name, problem.inputs[0].layout)
        self.define(made, Tensor(made, problem.outputs[0], base.kind, base))

    def define(self, name: str, tensor: Tensor) -> Tensor:
        self.tensors[name, tensor.spec.layout] = tensor
        self.made[name] = tensor
        return tensor


def build(
    graph: Graph,
    specs: Specs,
    choices: list[Choice],
    settings: Settings,
    like: Problem,
    alignment: int = 1,
) -> Program:
    """Return the steps for a graph whose kernels and layouts are chosen.

    Parameters
    ----------
    like
        Carries the device, precision and threads for reorders.
    alignment
        As in `Program`.
    """
    builder = _Builder(specs, settings, like, alignment)
    program = builder.program
    for i in graph.inputs:
        program.inputs.append((i.name, builder.source(i.name, "input")))
    for name in graph.constants:
        builder.source(name, "constant")
    for choice in choices:
        builder.add(choice)
    taken: set[int] = set()
    for name, value in graph.outputs:
        tensor = builder.given(value, NCHW)
        root, _ = tensor.root()
        # What isn't made by a step, or already is another output, is copied.
        if root.kind != "made" or id(root) in taken or root.spec.nbytes != tensor.spec.nbytes:
            tensor = builder.copied(tensor, tensor.spec)
            root = tensor
        taken.add(id(root))
        program.outputs.append((name, tensor))
    return program
