"""A vendor's library called without the contract, for what the contract costs.

A pack may offer this: a module ``direct`` in the package that its entry point
names, with ``prepare(problem, buffers) -> Direct``, the buffers being the
inputs, then the outputs, in the problem's layouts, constants as they are.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any, Protocol

from bench._machine import ffi, lib
from bench.engines.base import Runner
from bench.engines.kernel import preferred
from bench.engines.pack import find_pack
from bench.errors import CaseError, Refused, WorkerFailed
from dispatch.errors import DispatchError
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.registry import GROUP
from dispatch.tuning.buffers import empty_outputs, logical_outputs, stored_inputs

__all__ = ["Direct", "DirectEngine", "direct_module"]


class Direct(Protocol):
    """A library's own call, ready to run."""

    @property
    def implementation(self) -> str:
        """The library's name for what runs."""

    @property
    def function(self) -> int:
        """Address of ``int (const void *handle, void *const *buffers, void *queue)``."""

    @property
    def handle(self) -> int:
        """The first argument."""


def direct_module(pack: str) -> ModuleType | None:
    """Return a pack's module ``direct``, None where it offers none."""
    for point in metadata.entry_points(group=GROUP):
        name = f"{point.module}.direct"
        if point.name == pack and importlib.util.find_spec(name) is not None:
            return importlib.import_module(name)
    return None


class DirectEngine:
    """A pack's library, called directly.

    Parameters
    ----------
    pack
        The pack's name.
    """

    def __init__(self, pack: str) -> None:
        module = direct_module(pack)
        if module is None:
            raise CaseError(f"engine: pack {pack!r} offers no direct calls of its library")
        self._module = module
        self._pack = pack
        self.version = find_pack(pack).library_version

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Let the pack set its library up for the problem, in the layouts its kernel takes."""
        wanted, _ = preferred(problem, self._pack)
        buffers = [*stored_inputs(wanted, arrays), *empty_outputs(wanted)]
        try:
            direct = self._module.prepare(wanted, buffers)
        except DispatchError as error:
            raise Refused(str(error)) from error
        return DirectRunner(wanted, direct, buffers)


class DirectRunner:
    """Calls the library in C."""

    def __init__(self, problem: Problem, direct: Direct, buffers: Sequence[Array | None]) -> None:
        self._problem, self._direct, self._buffers = problem, direct, buffers
        self._function = ffi.cast("bench_function", direct.function)
        self._handle = ffi.cast("void *", direct.handle)
        self.information: Mapping[str, Any] = {
            "kernel": direct.implementation,
            "layouts": [None if t is None else t.layout for t in problem.tensors],
        }

    def outputs(self) -> list[Array]:
        """Run once; the outputs in the logical layouts."""
        self.run(1)
        results = [b for b in self._buffers[len(self._problem.inputs) :] if b is not None]
        return logical_outputs(self._problem, results)

    def run(self, iterations: int) -> float:
        """Run `iterations` times; the seconds that this took."""
        seconds: float = lib.bench_time_calls(
            self._function, self._handle, ffi.NULL, ffi.NULL, iterations
        )
        if seconds < 0:
            raise WorkerFailed(f"{self.information['kernel']}: a run failed")
        return seconds
