"""A library's kernel, then a launch of ours: what cuDNN or cuBLAS doesn't fuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.contract import DevicePrepared
from dispatch.problem import Problem
from kernels.cudnn.enqueue import PreparedLaunches
from kernels.cudnn.frontend import Planned, plans_of
from kernels.cudnn.graph import Graph
from kernels.cudnn.graph_kernel import (
    DTYPES,
    PreparedGraph,
    chosen_layouts,
    refused,
    seconds_of,
)
from kernels.cudnn.library import traits_of
from kernels.cudnn.memory import ALIGNMENT, Buffer
from kernels.cudnn.operations import OPERATIONS
from kernels.cudnn.queue import CudaQueue
from kernels.cudnn.remainder import Parted, launch_of, partings
from kernels.gpu.plan import Launch

__all__ = ["GraphThenMapKernel", "InTwo", "PreparedInTwo", "answer_in_two"]

KEPT = 4096
LAUNCH, BYTES = 5e-6, 2e12
"""Seconds of a launch, and bytes a second: guesses, as those of the graphs."""


@dataclass(frozen=True, slots=True)
class InTwo:
    """A library's part of a problem, and the launch of the rest.

    Parameters
    ----------
    problem, parted
        The whole, in concrete layouts, and its parts.
    workspace
        Bytes that the library needs.
    launch
        None: nothing is left.
    """

    problem: Problem
    parted: Parted
    workspace: int
    launch: Launch | None

    @property
    def between(self) -> int:
        """Where in scratch the library's result lies, in bytes; -1: in the output itself."""
        if self.parted.first.outputs == self.problem.outputs:
            return -1
        return -(-self.workspace // ALIGNMENT) * ALIGNMENT

    @property
    def scratch_bytes(self) -> int:
        """What both need."""
        if self.between < 0:
            return self.workspace
        return self.between + self.parted.first.outputs[0].nbytes


def answer_in_two(two: InTwo, layouts: tuple[str, ...], share: float = 1.0) -> Yes:
    """Return the answer of who runs both parts.

    Parameters
    ----------
    layouts
        Those chosen, "" where a tensor's was given.
    share
        Of the time expected, as far as the library's part is another's than a graph's.
    """
    seconds = seconds_of(two.problem)
    if two.launch is not None:
        moved = two.parted.first.outputs[0].nbytes + two.problem.outputs[0].nbytes
        seconds += LAUNCH + moved / BYTES
    return Yes(
        share * seconds,
        scratch_bytes=two.scratch_bytes,
        layouts=layouts if any(layouts) else (),
    )


class PreparedInTwo:
    """Both parts, one behind the other: `dispatch.contract.DevicePrepared`.

    Parameters
    ----------
    two
        What is run.
    first
        The library's part.
    queue
        Any of the device's.
    """

    def __init__(self, two: InTwo, first: DevicePrepared, queue: CudaQueue) -> None:
        launches = () if two.launch is None else (two.launch,)
        self._two, self._first = two, first
        self._then = PreparedLaunches(launches, (), queue)
        self.packed_bytes = (0,) * len(two.problem.inputs)
        self.scratch_bytes = two.scratch_bytes

    def pack(self, index: int, value: Any, queue: Any = None) -> Any:
        """Nothing is packed."""
        return value

    def run(self, buffers: Sequence[Any], queue: Any = None, scratch: Any = None) -> None:
        """Enqueue the library's part, then the launch."""
        first, between = self._split(buffers, scratch)
        self._first.run(first, queue, scratch)
        self._then.run(buffers, queue, between)

    def bind(self, buffers: Sequence[Any], queue: Any, scratch: Any) -> Callable[[], None]:
        """Return a function that enqueues both on the addresses given."""
        first, between = self._split(buffers, scratch)
        steps = self._first.bind(first, queue, scratch), self._then.bind(buffers, queue, between)

        def run() -> None:
            for step in steps:
                step()

        return run

    def _split(self, buffers: Sequence[Any], scratch: Any) -> tuple[list[Any], Buffer | None]:
        """Return the library's buffers, and where its result lies if that is in scratch."""
        start = self._two.between
        if start < 0:
            return list(buffers), None
        between = Buffer(scratch.pointer + start, scratch.owner)
        return [*buffers[:-1], between], between


@lru_cache(KEPT)
def _graph_then_map(problem: Problem) -> tuple[InTwo, Graph, Planned] | No:
    """Return the graph with most of the epilogue that cuDNN has a plan for, and the rest."""
    wrong = refused(problem, DTYPES)
    if wrong is not None:
        return wrong
    why = No(NoCode.EPILOGUE, "bias and epilogue", "one that can be left", "none")
    for parted in partings(problem):
        launch = launch_of(problem, parted, traits_of(problem.device_id))
        if isinstance(launch, No):
            why = launch
            continue
        graph = OPERATIONS[problem.operator](parted.first)
        if isinstance(graph, No):
            why = graph
            continue
        plans = plans_of(graph, problem.device_id)
        if isinstance(plans, No):
            why = plans
            continue
        return InTwo(problem, parted, plans[0].workspace, launch), graph, plans[0]
    return why


@dataclass(frozen=True, slots=True)
class GraphThenMapKernel:
    """An operator in one dtype, by cuDNN's first plan without the end of the epilogue."""

    name: str
    source: str
    deterministic: bool = True

    def query(self, problem: Problem) -> Answer:
        """Have cuDNN plan the graphs, once for each."""
        layouts = chosen_layouts(problem)
        found = _graph_then_map(problem.with_layouts(layouts))
        return found if isinstance(found, No) else answer_in_two(found[0], layouts)

    def prepare(
        self, problem: Problem, constants: Sequence[Any | None], queue: Any = None
    ) -> PreparedInTwo:
        """Load the plan, and build the launch's program."""
        assert isinstance(queue, CudaQueue)
        found = _graph_then_map(problem)
        assert not isinstance(found, No)
        two, graph, planned = found
        first = PreparedGraph(graph, planned, queue, len(problem.inputs))
        return PreparedInTwo(two, first, queue)
