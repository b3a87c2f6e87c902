"""Small packs driven from Python, for tests of the registry, the selection and the eager call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dispatch.answer import Answer, Yes
from dispatch.errors import PackUnavailable
from dispatch.operators import operators
from dispatch.problem import Problem


@dataclass
class FakePrepared:
    kernel: FakeKernel
    problem: Problem
    packed_bytes: tuple[int, ...]

    def pack(self, index: int, value: Any) -> Any:
        self.kernel.packed.append(index)
        return value

    def run(self, buffers: Sequence[Any], queue: Any = None) -> None:
        self.kernel.runs += 1
        count = len(self.problem.inputs)
        results = operators()[self.problem.operator].reference(
            buffers[: self.problem.num_operator_inputs], dict(self.problem.attributes)
        )
        for target, result in zip(buffers[count:], results, strict=True):
            np.copyto(target, result, casting="unsafe")


@dataclass
class FakeKernel:
    name: str
    answer: Callable[[Problem], Answer] = lambda problem: Yes(1.0)
    source: str = "fakes.py:1"
    deterministic: bool = True
    runs: int = 0
    packed: list[int] = field(default_factory=list)

    def query(self, problem: Problem) -> Answer:
        return self.answer(problem)

    def prepare(self, problem: Problem, constants: Sequence[Any]) -> FakePrepared:
        answer = self.answer(problem)
        assert isinstance(answer, Yes)
        return FakePrepared(self, problem, answer.packed_bytes or (0,) * len(problem.inputs))


@dataclass
class FakeOpenPack:
    kernels: tuple[FakeKernel, ...]
    version: str = "1.0"
    library_version: str = "fake 1.0"


@dataclass
class FakePack:
    name: str
    kernels: tuple[FakeKernel, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    fallback: bool = False
    missing: str = ""

    def open(self, options: Mapping[str, str] | None = None) -> FakeOpenPack:
        if self.missing:
            raise PackUnavailable(self.missing)
        return FakeOpenPack(self.kernels)
