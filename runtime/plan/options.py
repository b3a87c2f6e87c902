"""What may run each node: kernels with the layouts that they work on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from dispatch.answer import Yes
from dispatch.context import Settings
from dispatch.contract import Kernel
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.selection import Candidate, Decision, candidates, select
from dispatch.tensor import ANY, LAYOUT_BLOCKS, NCHW, TensorSpec

__all__ = ["LAYOUTS", "Option", "options", "reorder_cost", "reorder_option", "same_bytes"]

LAYOUTS: tuple[str, ...] = (NCHW, "nChw16c", "nhwc", "nChw8c")
"""The layouts that plans carry images in."""


@dataclass(frozen=True, slots=True)
class Option:
    """A kernel for a node, in certain layouts.

    Parameters
    ----------
    problem
        With the layouts that the kernel works on.
    kernel, answer
        The kernel and its answer; None: the node is a view, nothing runs.
    cost
        Expected seconds.
    """

    problem: Problem
    kernel: Kernel | None
    answer: Yes
    cost: float


def has_layout(tensor: TensorSpec | None) -> bool:
    """Say whether a tensor may be in another layout than nchw."""
    return tensor is not None and tensor.rank == 4 and not tensor.constant


@lru_cache(maxsize=8192)
def options(problem: Problem, settings: Settings) -> tuple[Option, ...]:
    """Return what may run a problem given in nchw, the cheapest for each choice of layouts.

    Raises
    ------
    NoKernel, FallbackRefused
        If nothing may.
    """
    found: dict[tuple[str, ...], Option] = {}
    vendor = False
    asked: list[Candidate] = []
    for question in _questions(problem):
        for candidate in candidates(question, settings, registry()):
            answer = candidate.answer
            if not isinstance(answer, Yes):
                continue
            concrete = question.with_layouts(answer.layouts) if answer.layouts else question
            layouts = tuple("" if t is None else t.layout for t in concrete.tensors)
            if ANY in layouts:
                continue
            asked.append(candidate)
            vendor |= not candidate.fallback
            known = found.get(layouts)
            if known is None or answer.cost < known.cost:
                found[layouts] = Option(concrete, candidate.kernel, answer, answer.cost)
    if not found or (settings.fallback != "allow" and not vendor):
        select(problem, settings)  # raises or warns as the settings say
    return tuple(found.values())


def _questions(problem: Problem) -> Iterator[Problem]:
    """Yield the problem with the layouts worth asking for; nchw first."""
    yield problem
    free = [has_layout(t) for t in problem.tensors]
    if not any(free):
        return
    inputs = len(problem.inputs)
    yield problem.with_layouts(tuple(ANY if f else "" for f in free))
    for layout in LAYOUTS:
        if layout != NCHW:
            yield problem.with_layouts(tuple(layout if f else "" for f in free))
        if any(free[:inputs]) and any(free[inputs:]):
            yield problem.with_layouts(
                tuple("" if not f else layout if i < inputs else ANY for i, f in enumerate(free))
            )


@lru_cache(maxsize=8192)
def decision(option: Option, settings: Settings) -> Decision:
    """Return the decision for an option that was taken, with every candidate's answer."""
    assert option.kernel is not None
    asked = tuple(candidates(option.problem, settings, registry()))
    fallbacks = {id(c.kernel) for c in asked if c.fallback}
    vendor = any(isinstance(c.answer, Yes) and not c.fallback for c in asked)
    serving = [p for p in registry().packs if not p.available]
    return Decision(
        option.problem,
        option.kernel,
        option.answer,
        asked,
        id(option.kernel) in fallbacks and not vendor,
        tuple((p.name, p.reason) for p in serving),
    )


def same_bytes(tensor: TensorSpec, other: str) -> bool:
    """Say whether a tensor's memory is the same in its layout and in `other`."""
    if tensor.layout == other:
        return True
    if tensor.rank != 4:
        return False
    channels, pixels = tensor.shape[1], tensor.shape[2] * tensor.shape[3]
    blocks = {LAYOUT_BLOCKS[tensor.layout], LAYOUT_BLOCKS[other]}
    if blocks == {1}:
        return channels == 1 or pixels == 1
    if pixels != 1 or any(channels % block for block in blocks):
        return False
    return True


def reorder_problem(tensor: TensorSpec, layout: str, like: Problem) -> Problem:
    """Return the problem of bringing a tensor into a layout, for the device of `like`."""
    return Problem(
        operator="reorder",
        inputs=(tensor,),
        outputs=(tensor.with_layout(layout),),
        device=like.device,
        precision=like.precision,
        deterministic=like.deterministic,
        threads=like.threads,
    )


@lru_cache(maxsize=8192)
def reorder_option(problem: Problem, settings: Settings) -> Option | None:
    """Return the cheapest kernel for a reorder, None where there is none."""
    for candidate in candidates(problem, settings, registry()):
        if isinstance(candidate.answer, Yes):
            return Option(problem, candidate.kernel, candidate.answer, candidate.answer.cost)
    return None


def reorder_cost(tensor: TensorSpec, layout: str, like: Problem, settings: Settings) -> float:
    """Return the expected seconds of a reorder: 0 where there is nothing to do."""
    if same_bytes(tensor, layout):
        return 0.0
    option = reorder_option(reorder_problem(tensor, layout, like), settings)
    return np.inf if option is None else option.cost
