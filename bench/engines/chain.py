"""A replay of one operator many times over: what libreplay adds to its kernel's time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.engines.base import FunctionRunner, Runner
from bench.engines.eager import bound_call
from bench.engines.pack import find_pack
from bench.errors import CaseError, Refused
from dispatch.errors import NoKernel
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["ChainEngine"]


class ChainEngine:
    """Replays of chains: the output is the next one's first input.

    Parameters
    ----------
    pack
        The pack that may serve.
    length
        How many operators in a row.
    """

    def __init__(self, pack: str, length: str) -> None:
        if not length.isdigit() or not int(length):
            raise CaseError(f"engine: expected {pack}:chain and a length, got {length!r}")
        self._pack, self._length = pack, int(length)
        self.version = find_pack(pack).library_version

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Trace and plan the chain."""
        import runtime

        call = bound_call(problem, arrays)
        if problem.outputs[0].shape != getattr(call.args[0], "shape", None):
            raise CaseError(f"{problem}: expected an output of the first input's shape")

        def chain(x: Any) -> Any:
            for _ in range(self._length):
                x = call.func(x, *call.args[1:], **call.keywords)
            return x

        try:
            replay = runtime.trace(chain, call.args[0]).compile(
                problem.device,
                threads=problem.threads,
                precision=problem.precision,
                packs=self._pack,
            )
        except NoKernel as error:
            raise Refused(str(error)) from error
        kernels = [step["kernel"] for step in replay.plan().data["steps"]]
        return FunctionRunner(
            lambda: replay(call.args[0]), lambda y: [y], {"kernels": sorted(set(kernels))}
        )
