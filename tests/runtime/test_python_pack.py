"""A pack driven from Python joins a replay as any other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import dispatch
import runtime
from dispatch import registry as registry_module
from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.errors import KernelFailed
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.registry import RegisteredPack, Registry


@dataclass
class Prepared:
    problem: Problem
    packed_bytes: tuple[int, ...]
    kernel: Kernel

    def pack(self, index: int, value: Any) -> Any:
        self.kernel.packed.append(value.copy())
        return {"packed": value}

    def run(self, buffers: Sequence[Any], queue: Any = None) -> None:
        if self.kernel.broken:
            raise ValueError("broken on purpose")
        self.kernel.problems.append(self.problem)
        taken = [b["packed"] if isinstance(b, dict) else b for b in buffers]
        count = self.problem.num_operator_inputs
        results = operators()[self.problem.operator].reference(
            taken[:count], dict(self.problem.attributes)
        )
        for target, result in zip(buffers[len(self.problem.inputs) :], results, strict=True):
            target[...] = result


@dataclass
class Kernel:
    name: str
    source: str = "test_python_pack.py:1"
    deterministic: bool = True
    broken: bool = False
    packed: list[Any] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def query(self, problem: Problem) -> Answer:
        if problem.epilogue:
            return No(NoCode.EPILOGUE, "epilogue", "none")
        if any(t is not None and t.layout not in ("nchw", "any") for t in problem.tensors):
            return No(NoCode.LAYOUT, "x.layout", "nchw")
        layouts = tuple("" if t is None else "nchw" for t in problem.tensors)
        packed = tuple(8 * (t is not None and t.constant) for t in problem.inputs)
        return Yes(1e-12, layouts=layouts, packed_bytes=packed)

    def prepare(self, problem: Problem, constants: Sequence[Any]) -> Prepared:
        answer = self.query(problem)
        assert isinstance(answer, Yes)
        return Prepared(problem, answer.packed_bytes, self)


@dataclass
class Opened:
    kernels: tuple[Kernel, ...]
    version: str = "1.0"
    library_version: str = "Python 1.0"


@dataclass
class Pack:
    kernels: tuple[Kernel, ...]
    name: str = "snake"
    devices: tuple[str, ...] = ("cpu",)
    fallback: bool = False

    def open(self, options: Mapping[str, str] | None = None) -> Opened:
        return Opened(self.kernels)


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Kernel]]:
    """Registers a pack of three kernels beside those that are installed."""
    from runtime.plan import options

    names = ("conv2d", "sum", "exp")
    made = {name: Kernel(f"snake.{name}.python.f32") for name in names}
    extended = Registry([(Pack(tuple(made.values())), "here")])
    extended._packs |= {p.name: p for p in registry_module.packs()}
    assert all(isinstance(p, RegisteredPack) for p in extended.packs)
    monkeypatch.setattr(registry_module, "_registry", extended)

    def clear() -> None:
        options.forget()

    clear()
    yield made
    clear()


X = np.random.default_rng(0).standard_normal((1, 4, 6, 6)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((8, 4, 3, 3)).astype(np.float32)


def function(x: Any) -> Any:
    return dispatch.sum(dispatch.exp(dispatch.tanh(dispatch.conv2d(x, W))), (2,))


def test_a_python_pack_in_a_replay(kernels: dict[str, Kernel]) -> None:
    expected = function(X)
    replay = runtime.trace(function, X).compile()
    used = [row.kernel for row in replay.explain().rows]
    assert [name for name in used if name.startswith("snake")] == [
        "snake.conv2d.python.f32",
        "snake.exp.python.f32",
        "snake.sum.python.f32",
    ]
    np.testing.assert_allclose(replay(X), expected, rtol=1e-5)
    np.testing.assert_array_equal(kernels["conv2d"].packed[-1], W)
    # The attribute of one number is a tuple, as in the eager call.
    assert kernels["sum"].problems[-1].attribute("axes") == (2,)
    eager, replayed = kernels["conv2d"].problems[0], kernels["conv2d"].problems[-1]
    assert eager.attributes == replayed.attributes
    assert eager.outputs == replayed.outputs


def test_a_python_kernel_that_fails(kernels: dict[str, Kernel]) -> None:
    replay = runtime.trace(function, X).compile()
    kernels["exp"].broken = True
    with pytest.raises(KernelFailed, match=r"snake\.exp\.python\.f32"):
        replay(X)
    kernels["exp"].broken = False
    assert replay(X).shape == (1, 8, 4)


def test_the_c_form_of_a_problem_reads_back() -> None:
    from dispatch.core import lib
    from dispatch.native import parse_problem
    from dispatch.problem import EpilogueStep
    from dispatch.tensor import Quantization, TensorSpec
    from runtime.python_packs import problem_from_c

    problem = Problem(
        "conv2d",
        (
            TensorSpec("float32", (1, 16, 5, 6), "nChw16c"),
            TensorSpec("int8", (8, 16, 3, 3), constant=True,
                       quantization=Quantization((0.5,) * 8, (1,) * 8, 0)),
            None,
            TensorSpec("bfloat16", (1, 8, 3, 4), "nhwc"),
        ),
        (TensorSpec("bfloat16", (1, 8, 3, 4), "nhwc"),),
        (("a", 1), ("b", (1, 2)), ("c", 0.5), ("d", "text"), ("e", (0.5, 1.5))),
        (EpilogueStep("add", 3), EpilogueStep("clip", -1, 0.0, 6.0)),
        3,
        "intel",
        "medium",
        True,
        2,
    )  # fmt: skip
    assert problem_from_c(lib.core_problem_get(parse_problem(problem))) == problem
