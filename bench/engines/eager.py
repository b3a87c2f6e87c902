"""The public functions, as a user calls them: NumPy arrays in, a fresh array out."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.engines.base import FunctionRunner, Runner
from bench.engines.pack import find_pack, settings_of
from bench.errors import CaseError, Refused
from dispatch.constant import constant
from dispatch.errors import NoKernel
from dispatch.operator import Array
from dispatch.operators import functions, operators
from dispatch.problem import Problem
from dispatch.quantized import QuantizedArray, reference_arguments
from dispatch.registry import registry

__all__ = ["EagerEngine", "bound_call"]


def bound_call(problem: Problem, arrays: Sequence[Array | None]) -> partial[Any]:
    """Return the public function's call that stands for a problem, constants marked as such.

    Raises
    ------
    CaseError
        If the operator has no public function that takes the problem's form.
    """
    function = functions().get(problem.operator)
    if function is None:
        raise CaseError(f"{problem.operator} has no public function")
    own, keywords = reference_arguments(problem, arrays)
    values: list[Any] = [
        constant(a) if a is not None and s is not None and s.constant else a
        for a, s in zip(own, problem.inputs, strict=True)
    ]
    own = values[: problem.num_operator_inputs]
    schema = operators()[problem.operator]
    if schema.inputs and schema.inputs[-1].variadic:
        fixed = len(schema.inputs) - 1
        own = [*own[:fixed], own[fixed:]]
    steps = list(problem.epilogue)
    if steps and steps[0].name == "add":
        keywords["residual"] = values[steps.pop(0).input]
    if steps and steps[0].input < 0:
        step = steps.pop(0)
        keywords["activation"] = (step.name, step.alpha, step.beta)
    if steps:
        raise CaseError(f"{problem.operator}: its public function has no such epilogue")
    return partial(function, *own, **keywords)


def _outputs(result: Any) -> list[Array]:
    results = result if isinstance(result, tuple) else (result,)
    return [y.array if isinstance(y, QuantizedArray) else y for y in results]


class EagerEngine:
    """Eager calls.

    Parameters
    ----------
    pack
        The one pack that may serve; None: any.
    """

    def __init__(self, pack: str | None) -> None:
        self._pack = pack
        self.version = (
            "; ".join(p.library_version for p in registry().packs if p.available)
            if pack is None
            else find_pack(pack).library_version
        )
        # Entered once, for the life of the process: a call's cost must not include it.
        self._in_force: Any = None

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Make the first call, which prepares the kernel."""
        call = bound_call(problem, arrays)
        self._enter(problem)
        try:
            call()
        except NoKernel as error:
            raise Refused(str(error)) from error
        return FunctionRunner(call, _outputs, {})

    def _enter(self, problem: Problem) -> None:
        if self._in_force is not None:
            self._in_force.__exit__(None, None, None)
        self._in_force = settings_of(problem, self._pack)
        self._in_force.__enter__()
