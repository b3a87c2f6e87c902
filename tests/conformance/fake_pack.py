"""A pack in Python whose kernels are right, or wrong in one way each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dispatch.answer import No, NoCode, Yes
from dispatch.conformance.layouts import from_layout, to_layout
from dispatch.consistency import is_consistent
from dispatch.dtypes import numpy_dtype
from dispatch.operators import operators
from dispatch.quantized import reference_arguments


def plain(problem):
    """Refuse what the kernels here don't do."""
    if any(t is not None and t.layout != "nchw" for t in problem.tensors):
        return No(NoCode.LAYOUT, "x.layout", "nchw")
    if problem.epilogue:
        return No(NoCode.EPILOGUE, "epilogue", "none")
    if not is_consistent(operators()[problem.operator], problem):
        return No(NoCode.SHAPE, "shapes", "those that go together")
    return None


def _leave(prepared, inputs, outputs):
    """Spoil nothing."""


@dataclass
class FakePrepared:
    kernel: FakeKernel
    problem: Any
    constants: Any
    packed_bytes: tuple[int, ...] = ()
    runs: int = 0

    def pack(self, index, value):
        return value

    def run(self, buffers, queue=None):
        problem = self.problem
        count = len(problem.inputs)
        arrays = [
            None if b is None else np.array(from_layout(b, spec))
            for b, spec in zip(buffers[:count], problem.inputs, strict=True)
        ]
        wide = [a if a is None or a.dtype.kind in "iub" else a.astype(np.float64) for a in arrays]
        with np.errstate(all="ignore"):
            given, attributes = reference_arguments(problem, wide)
            results = operators()[problem.operator].reference(given, attributes)
            results = [
                r.astype(numpy_dtype(s.dtype))
                for r, s in zip(results, problem.outputs, strict=True)
            ]
        self.runs += 1
        for result, out, spec in zip(results, buffers[count:], problem.outputs, strict=True):
            out[...] = to_layout(result, spec.layout)
        self.kernel.spoil(self, buffers[:count], buffers[count:])


@dataclass
class FakeKernel:
    """Right unless `spoil` or `answer` is replaced."""

    name: str = "fake.relu.plain.f32"
    source: str = "fake_pack.py:1"
    deterministic: bool = True
    yes: Yes = field(default_factory=lambda: Yes(cost=1e-6))
    spoil: Any = _leave
    answer: Any = None

    def query(self, problem):
        if self.answer is not None:
            return self.answer(problem)
        return plain(problem) or self.yes

    def prepare(self, problem, constants):
        return FakePrepared(self, problem, constants, (0,) * len(problem.inputs))
