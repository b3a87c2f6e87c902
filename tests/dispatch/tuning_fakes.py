"""Records planted in the place of measured ones, and kernels whose times are known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dispatch
from dispatch.device_names import host_family
from dispatch.errors import KernelFailed
from dispatch.machine import this_machine
from dispatch.problem import Problem
from dispatch.tuning.record import Record
from dispatch.tuning.records import Records
from tests.dispatch.fakes import FakeKernel, FakePrepared

SPEC = dispatch.TensorSpec("float32", (4,))
PROBLEM = dispatch.Problem("relu", (SPEC,), (SPEC,), device=host_family(), threads=1)
CHEAP, DEAR = "vendor.relu.cheap.f32", "vendor.relu.dear.f32"


def plant(file: Records, **seconds: float) -> None:
    """Record times of the kernels of the fixture ``packs``, by their short names."""
    names = {"cheap": CHEAP, "dear": DEAR, "plain": "spare.relu.plain.f32"}
    file.add([record(names[name], PROBLEM, s) for name, s in seconds.items()])


def record(kernel: str, problem: Problem | str, seconds: float, **other: Any) -> Record:
    """What would be measured here of a kernel of the fake packs."""
    text = problem if isinstance(problem, str) else problem.to_json()
    made = Record(this_machine().id, "1.0", "fake 1.0", kernel, text, seconds, 0.01, 9, time.time())
    return replace(made, **other)


class SlowPrepared(FakePrepared):
    def run(self, buffers: Sequence[Any], queue: Any = None) -> None:
        assert isinstance(self.kernel, SlowKernel)
        if self.kernel.broken:
            raise KernelFailed("broken on purpose")
        time.sleep(self.kernel.seconds)
        super().run(buffers, queue)


@dataclass
class SlowKernel(FakeKernel):
    """Takes so long."""

    seconds: float = 0.0
    broken: bool = False

    def prepare(self, problem: Problem, constants: Sequence[Any]) -> SlowPrepared:
        made = super().prepare(problem, constants)
        return SlowPrepared(self, problem, made.packed_bytes)
