"""What an engine is: it makes a runner of a problem, and the runner runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from bench.errors import MissingExtra
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["PEERS", "ColdRunner", "Engine", "FunctionRunner", "Runner", "require"]

PEERS: Mapping[str, str] = {
    "onnxruntime": "bench.engines.peer_onnxruntime",
    "openvino": "bench.engines.peer_openvino",
    "torch": "bench.engines.peer_torch",
}
"""Other frameworks, and the modules that run them."""

EAGER, DIRECT, CHAIN, TUNED, ANY_PACK = "eager", "direct", "chain", "tuned", "dispatch"


KERNEL_DOTS = 3
"""In a kernel's full name: ``pack.operator.algorithm.dtype``."""


class Runner(Protocol):
    """A problem made ready to run."""

    @property
    def information(self) -> Mapping[str, Any]:
        """What will run: the kernel's or the implementation's name, layouts."""

    def outputs(self) -> list[Array]:
        """Run once; the outputs in the logical layouts."""

    def run(self, iterations: int) -> float:
        """Run `iterations` times; the seconds that this took."""


@runtime_checkable
class ColdRunner(Runner, Protocol):
    """A runner that can see to it that none of its data is in the caches."""

    def cold(self) -> Runner:
        """Return the same with other data in the caches before each run."""


class Engine(Protocol):
    """Something that can run problems in this process."""

    @property
    def version(self) -> str:
        """The library's version."""

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Make a problem ready.

        Raises
        ------
        Refused
            If the engine doesn't serve it.
        """


@dataclass(frozen=True)
class FunctionRunner:
    """Runs a Python function of no arguments.

    Parameters
    ----------
    function
        What is timed.
    fetch
        Makes the outputs of what `function` returns.
    information
        What runs.
    inputs
        Arrays whose memory `function` reads.
    """

    function: Callable[[], Any]
    fetch: Callable[[Any], list[Array]]
    information: Mapping[str, Any] = field(default_factory=dict)
    inputs: Any = None

    def outputs(self) -> list[Array]:
        """Run once; the outputs."""
        return self.fetch(self.function())

    def run(self, iterations: int) -> float:
        """Run `iterations` times; the seconds that this took."""
        function = self.function
        start = perf_counter()
        for _ in range(iterations):
            function()
        return perf_counter() - start


def require(name: str, extra: str) -> ModuleType:
    """Import a package of an extra.

    Raises
    ------
    MissingExtra
        If it isn't installed; says how to get it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"{name.partition('.')[0]} is needed and can't be imported ({error}): "
            f"pip install 'kernel-dispatch[{extra}]'"
        ) from error
