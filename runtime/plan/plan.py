"""A plan: what libreplay runs, as plain data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dispatch.context import Settings, active
from dispatch.memory import memory_of_device
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.tensor import TensorSpec
from runtime.graph import Graph
from runtime.plan.arena import Interval, place
from runtime.plan.layouts import choose
from runtime.plan.options import Option
from runtime.plan.program import Program, Step, Tensor, build
from runtime.plan.sharing import join_concats, last_uses, split_in_place, work_in_place
from runtime.specialise import Specs

__all__ = ["PLAN_VERSION", "Plan", "emit", "make_plan", "make_program"]

PLAN_VERSION = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps with their kernels, buffers with their places, and why.

    Parameters
    ----------
    data
        The plan in the form that libreplay reads as JSON.
    options
        What runs each step, in order.
    labels
        What a person knows each step by.
    constants
        The values that steps read, by name.
    inputs, outputs
        (name, what is known of it) in order.
    """

    data: Mapping[str, Any]
    options: tuple[Option, ...]
    labels: tuple[str, ...]
    constants: Mapping[str, Array]
    inputs: tuple[tuple[str, TensorSpec], ...]
    outputs: tuple[tuple[str, TensorSpec], ...]

    def to_json(self) -> str:
        """Return the plan as libreplay reads it."""
        return json.dumps(self.data, separators=(",", ":"))


def make_plan(graph: Graph, specs: Specs, settings: Settings) -> Plan:
    """Plan a specialised graph under the settings in force.

    Raises
    ------
    NoKernel, FallbackRefused
        If nothing serves a node; names it.
    PlanError
        If a node's shapes don't fit.
    """
    return emit(make_program(graph, specs, settings), graph)


def make_program(graph: Graph, specs: Specs, settings: Settings) -> Program:
    """Return the steps for a specialised graph, and what memory their tensors share."""
    setting = active()
    like = Problem(
        operator="reorder",
        inputs=(),
        outputs=(),
        device=setting.device,
        device_id=setting.device_id or 0,
        precision=settings.precision,
        deterministic=settings.deterministic,
        threads=setting.threads,
    )
    choices = choose(graph, specs, settings)
    program = build(graph, specs, choices, settings, like, _alignment(like))
    join_concats(program)
    split_in_place(program)
    work_in_place(program)
    return program


HOST_ALIGNMENT = 64
"""Of tensors in the arena; their parts may begin anywhere."""


def _alignment(like: Problem) -> int:
    """Return at what multiples kernels' buffers may begin within others."""
    memory = memory_of_device(like.device)
    return 1 if memory is None else memory.alignment(memory.open_queue(like.device_id))


def lifetimes(program: Program) -> dict[int, tuple[Tensor, Interval]]:
    """Return, by the id of each root in the arena, the root and when it must be there."""
    last = last_uses(program)
    outputs = {id(t.root()[0]) for _, t in program.outputs}
    found: dict[int, tuple[Tensor, Interval]] = {}
    for index, step in enumerate(program.steps):
        for tensor in step.outputs:
            root, _ = tensor.root()
            if id(root) not in found and id(root) not in outputs:
                found[id(root)] = root, Interval(root.spec.nbytes, index, last[id(root)])
    return found


def emit(program: Program, graph: Graph) -> Plan:
    """Place a program's tensors in memory and write it down as plain data."""
    like = program.like
    alive = lifetimes(program)
    alignment = max(HOST_ALIGNMENT, program.alignment)
    offsets, total = place([interval for _, interval in alive.values()], alignment)
    where = dict(zip(alive, offsets, strict=True))
    emitter = _Emitter(program, where)
    steps = [emitter.step(step) for step in program.steps]
    used = {k.partition(".")[0] for k in (s["kernel"] for s in steps)}
    data = {
        "version": PLAN_VERSION,
        "device": like.device,
        "threads": like.threads,
        "problems": [problem.to_dict() for problem in emitter.problems],
        "buffers": emitter.buffers,
        "arena_bytes": total,
        "steps": steps,
        "inputs": [_tensor(name, t.spec) for name, t in program.inputs],
        "outputs": [_tensor(name, t.spec) for name, t in program.outputs],
        "packs": {
            p.name: p.library_version or p.version for p in registry().packs if p.name in used
        },
    }
    return Plan(
        data,
        tuple(step.option for step in program.steps),
        tuple(step.label for step in program.steps),
        {name: graph.constants[name] for name in emitter.constants},
        tuple((name, t.spec) for name, t in program.inputs),
        tuple((name, t.spec) for name, t in program.outputs),
    )


def _tensor(name: str, spec: TensorSpec) -> dict[str, Any]:
    return {"name": name, "dtype": spec.dtype, "shape": list(spec.shape)}


class _Emitter:
    """Numbers problems and buffers as steps name them."""

    def __init__(self, program: Program, where: Mapping[int, int]) -> None:
        self.problems: dict[Problem, int] = {}
        self.buffers: list[dict[str, Any]] = []
        self.constants: list[str] = []
        self._where = where
        self._numbers: dict[int, int] = {}
        self._inputs = {id(t): index for index, (_, t) in enumerate(program.inputs)}
        self._outputs = {id(t.root()[0]): i for i, (_, t) in enumerate(program.outputs)}

    def step(self, step: Step) -> dict[str, Any]:
        kernel = step.option.kernel
        assert kernel is not None
        return {
            "kernel": kernel.name,
            "problem": self.problems.setdefault(step.option.problem, len(self.problems)),
            "inputs": [-1 if t is None else self.buffer(t) for t in step.inputs],
            "outputs": [self.buffer(t) for t in step.outputs],
            "node": step.label,
        }

    def buffer(self, tensor: Tensor) -> int:
        number = self._numbers.get(id(tensor))
        if number is None:
            number = self._numbers[id(tensor)] = len(self.buffers)
            self.buffers.append(self._place(tensor))
        return number

    def _place(self, tensor: Tensor) -> dict[str, Any]:
        root, offset = tensor.root()
        size = tensor.spec.nbytes
        if root.kind == "input":
            return {"kind": "input", "index": self._inputs[id(root)], "bytes": size}
        if root.kind == "constant":
            if root.value not in self.constants:
                self.constants.append(root.value)
            return {"kind": "constant", "name": root.value, "bytes": size}
        if id(root) in self._outputs:
            return {"kind": "output", "index": self._outputs[id(root)], "bytes": size}
        return {"kind": "arena", "offset": self._where[id(root)] + offset, "bytes": size}
