"""What may run each node: kernels with the layouts that they work on."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from dispatch.answer import Yes
from dispatch.context import Settings
from dispatch.contract import Kernel
from dispatch.problem import Precision, Problem
from dispatch.registry import registry
from dispatch.selection import (
    Decision,
    admitted,
    all_measured,
    candidates,
    select,
    unavailable,
)
from dispatch.tensor import ANY, LAYOUT_BLOCKS, NCHW, NHWC, TensorSpec
from dispatch.tuning.records import on_change

__all__ = [
    "Option",
    "contiguous",
    "decision",
    "forget",
    "least_cost",
    "options",
    "preferred",
    "questions",
    "reorder_cost",
    "reorder_option",
    "reorder_problem",
    "same_bytes",
    "transposed_views",
]


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
        Expected seconds: what was measured, where the settings ask for that and all alternatives
        were; else what the kernel says.
    """

    problem: Problem
    kernel: Kernel | None
    answer: Yes
    cost: float


@dataclass(frozen=True, slots=True)
class _Offer:
    """A kernel that says yes, in the layouts that it settles on.

    Parameters
    ----------
    problem, kernel, answer
        As in `Option`.
    fallback
        The kernel's pack is a fallback.
    seconds
        What was measured; None: nothing, or the settings don't ask for it.
    """

    problem: Problem
    kernel: Kernel
    answer: Yes
    fallback: bool
    seconds: float | None


def has_layout(tensor: TensorSpec | None) -> bool:
    """Say whether a tensor may be in another layout than nchw."""
    return tensor is not None and tensor.rank == 4 and not tensor.constant


@lru_cache(maxsize=16384)
def _offers(question: Problem, settings: Settings) -> tuple[_Offer, ...]:
    """Return every kernel that says yes, in the layouts that it settles on."""
    found = []
    for candidate in admitted(candidates(question, settings, registry())):
        answer = candidate.answer
        assert isinstance(answer, Yes)
        problem = question.with_layouts(answer.layouts) if answer.layouts else question
        if _concrete(problem):
            found.append(
                _Offer(problem, candidate.kernel, answer, candidate.fallback, candidate.seconds)
            )
    return tuple(found)


def _concrete(problem: Problem) -> bool:
    """Say whether all layouts are settled; constants stay as they are stored."""
    return all(
        t is None or (t.layout == NCHW if t.constant else t.layout != ANY) for t in problem.tensors
    )


def preferred(problem: Problem, settings: Settings) -> frozenset[str]:
    """Return the layouts that kernels choose for a problem's images, or that make it a view."""
    free = [has_layout(t) for t in problem.tensors]
    if not any(free):
        return frozenset()
    question = problem.with_layouts(tuple(ANY if f else "" for f in free))
    settled = [offer.problem for offer in _offers(question, settings)]
    settled += [view.problem for view in transposed_views(problem)]
    return frozenset(
        t.layout
        for each in settled
        for t, f in zip(each.tensors, free, strict=True)
        if t is not None and f
    )


@lru_cache(maxsize=8192)
def options(problem: Problem, layouts: frozenset[str], settings: Settings) -> tuple[Option, ...]:
    """Return what may run a problem given in nchw, the cheapest for each choice of layouts.

    Parameters
    ----------
    problem
        All of it in nchw.
    layouts
        The layouts to ask for beside nchw and the kernels' own choices.

    Raises
    ------
    NoKernel, FallbackRefused
        If nothing may.
    """
    found: dict[tuple[str, ...], Option] = {}
    offers = [o for question in questions(problem, layouts) for o in _offers(question, settings)]
    vendor = not all(offer.fallback for offer in offers)
    measured = all_measured([(offer.answer.cost, offer.seconds) for offer in offers])
    for offer in offers:
        cost = offer.seconds if measured else offer.answer.cost
        if cost is None:
            continue
        key = tuple("" if t is None else t.layout for t in offer.problem.tensors)
        known = found.get(key)
        if known is None or cost < known.cost:
            found[key] = Option(offer.problem, offer.kernel, offer.answer, cost)
    if not found or (settings.fallback != "allow" and not vendor):
        select(problem, settings)  # raises or warns as the settings say
    return tuple(found.values())


_TRANSPOSED_VIEWS: Mapping[tuple[int, ...], tuple[str, str]] = {
    (0, 2, 3, 1): (NHWC, NCHW),
    (0, 3, 1, 2): (NCHW, NHWC),
}
"""Permutations of images' axes that are layouts: of the input, and of the output then."""


def transposed_views(problem: Problem) -> Sequence[Option]:
    """Return the layouts in which a transpose's output is its input's bytes."""
    if problem.operator != "transpose" or problem.epilogue:
        return ()
    permutation: Any = problem.attribute("permutation")
    layouts = _TRANSPOSED_VIEWS.get(permutation)
    if layouts is None or not has_layout(problem.inputs[0]):
        return ()
    return (Option(problem.with_layouts(layouts), None, Yes(0.0), 0.0),)


def questions(problem: Problem, layouts: frozenset[str]) -> Iterator[Problem]:
    """Yield the problem with the layouts worth asking for; nchw first."""
    yield problem
    free = [has_layout(t) for t in problem.tensors]
    if not any(free):
        return
    inputs = len(problem.inputs)
    yield problem.with_layouts(tuple(ANY if f else "" for f in free))
    for layout in sorted(layouts - {NCHW}):
        yield problem.with_layouts(tuple(layout if f else "" for f in free))
    if any(free[:inputs]) and any(free[inputs:]):
        yield problem.with_layouts(
            tuple(ANY if f and i >= inputs else "" for i, f in enumerate(free))
        )


def least_cost(problem: Problem, settings: Settings) -> float:
    """Return the expected seconds of the best kernel in nchw or in a layout of its own choice.

    Raises
    ------
    NoKernel, FallbackRefused
        If nothing may run the problem.
    """
    return min(option.cost for option in options(problem, frozenset(), settings))


def decision(option: Option, settings: Settings) -> Decision:
    """Return the decision for an option that was taken, with every candidate's answer."""
    assert option.kernel is not None
    asked = tuple(candidates(option.problem, settings, registry()))
    fallbacks = {id(c.kernel) for c in asked if c.fallback}
    vendor = any(isinstance(c.answer, Yes) and not c.fallback for c in asked)
    return Decision(
        option.problem,
        option.kernel,
        option.answer,
        asked,
        id(option.kernel) in fallbacks and not vendor,
        unavailable(option.problem, settings, registry()),
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
    return pixels == 1 and not any(channels % block for block in blocks)


def contiguous(whole: TensorSpec, parts: Sequence[TensorSpec], axis: int) -> bool:
    """Say whether `parts` lie one after the other in `whole`."""
    if any(p.layout != whole.layout for p in parts) or math.prod(whole.shape[:axis]) != 1:
        return False
    if whole.layout == NCHW:
        return True
    block = LAYOUT_BLOCKS[whole.layout]
    return axis == 1 and block > 1 and all(p.shape[1] % block == 0 for p in parts[:-1])


def reorder_problem(tensor: TensorSpec, layout: str, like: Problem) -> Problem:
    """Return the problem of bringing a tensor into a layout, for the device of `like`."""
    return _reorder_problem(tensor, layout, _common(like))


_Common: TypeAlias = tuple[str, int, Precision, bool, int]
"""A problem's device, which of several, precision, determinism and threads."""


def _common(problem: Problem) -> _Common:
    return (
        problem.device,
        problem.device_id,
        problem.precision,
        problem.deterministic,
        problem.threads,
    )


def _reorder_problem(tensor: TensorSpec, layout: str, common: _Common) -> Problem:
    """Stored values move as the integers that they are."""
    device, device_id, precision, deterministic, threads = common
    return Problem(
        operator="reorder",
        inputs=(replace(tensor, quantization=None),),
        outputs=(TensorSpec(tensor.dtype, tensor.shape, layout),),
        device=device,
        device_id=device_id,
        precision=precision,
        deterministic=deterministic,
        threads=threads,
    )


@lru_cache(maxsize=8192)
def reorder_option(problem: Problem, settings: Settings) -> Option | None:
    """Return the cheapest kernel for a reorder, None where there is none."""
    asked = candidates(problem, settings, registry())
    if not asked or not isinstance(asked[0].answer, Yes):
        return None
    best, answer = asked[0], asked[0].answer
    figures = [(c.answer.cost, c.seconds) for c in asked if isinstance(c.answer, Yes)]
    seconds = best.seconds if all_measured(figures) else None
    return Option(problem, best.kernel, answer, answer.cost if seconds is None else seconds)


def reorder_cost(tensor: TensorSpec, layout: str, like: Problem, settings: Settings) -> float:
    """Return the expected seconds of a reorder: 0 where there is nothing to do."""
    if tensor.layout == layout:
        return 0.0
    return _reorder_cost(tensor, layout, _common(like), settings)


@lru_cache(maxsize=16384)
def _reorder_cost(tensor: TensorSpec, layout: str, common: _Common, settings: Settings) -> float:
    if same_bytes(tensor, layout):
        return 0.0
    option = reorder_option(_reorder_problem(tensor, layout, common), settings)
    return np.inf if option is None else option.cost


def forget() -> None:
    """Ask again from now on: what was measured has changed."""
    for remembered in (_offers, options, reorder_option, _reorder_cost):
        remembered.cache_clear()


on_change(forget)
