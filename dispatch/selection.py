"""Which kernel serves a problem: every candidate is asked, the cheapest that says yes is taken.

What is cheap a kernel expects itself; where a caller asks for it (`Settings.tuned`), what was
measured takes the place of that.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dispatch.answer import Answer, No, Yes
from dispatch.context import Settings
from dispatch.contract import Kernel
from dispatch.device_names import is_preferred, is_served
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import FallbackRefused, NoKernel
from dispatch.problem import Problem
from dispatch.registry import RegisteredPack, Registry, registry
from dispatch.tuning.records import records

__all__ = [
    "Candidate",
    "Decision",
    "FallbackWarning",
    "admitted",
    "all_measured",
    "candidates",
    "hopeless",
    "select",
    "unavailable",
]


HOPELESS = 100.0
"""So many times the least cost isn't worth measuring: costs are wrong by factors, not by this."""


class FallbackWarning(UserWarning):
    """A fallback kernel serves because every vendor's kernel for the device refused."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kernel and what it answered.

    Parameters
    ----------
    kernel, answer
        Who was asked, and the answer.
    fallback
        Its pack serves where no vendor's does.
    seconds
        What was measured of it on this machine, if the settings ask for that; infinite: it failed.
    preferred
        Its pack comes first on the device, whatever the costs.
    """

    kernel: Kernel
    answer: Answer
    fallback: bool
    seconds: float | None = None
    preferred: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The kernel that was chosen, and every other candidate with its answer.

    Parameters
    ----------
    problem
        What was asked.
    kernel, answer
        The choice and its answer.
    candidates
        All that were asked, in the order of preference: by measured time, or a preferred pack's
        first and by cost; refusals last.
    fallback
        A fallback kernel was taken because no vendor's kernel said yes.
    unavailable
        Packs for the device that can't be used: (name, reason).
    """

    problem: Problem
    kernel: Kernel
    answer: Yes
    candidates: tuple[Candidate, ...]
    fallback: bool
    unavailable: tuple[tuple[str, str], ...]


def serving(device: str, allowed: Sequence[str] | None, known: Registry) -> list[RegisteredPack]:
    """Return the packs for a device, of those allowed by name."""
    return [
        pack
        for pack in known.packs
        if is_served(device, pack.devices) and (allowed is None or pack.name in allowed)
    ]


def candidates(problem: Problem, settings: Settings, known: Registry) -> list[Candidate]:
    """Ask every kernel for the problem's operator and dtype; the one to take comes first.

    That is the one that was measured to be the fastest, where all that may serve were measured
    and the settings ask for it; else the one of least cost, of the packs that the device prefers
    if they serve.
    """
    key = (problem.operator, SHORT_NAMES[problem.dtype])
    asked = [
        _candidate(problem, pack, kernel, settings.tuned)
        for pack in serving(problem.device, settings.packs, known)
        if pack.may_serve(problem)
        for kernel in pack.kernels.get(key, ())
        if settings.kernel is None or kernel.name == settings.kernel
    ]
    return sorted(asked, key=_by_time if all_measured(_figures(asked)) else _by_cost)


def _candidate(problem: Problem, pack: RegisteredPack, kernel: Kernel, tuned: bool) -> Candidate:
    answer = kernel.query(problem)
    seconds = None
    if tuned and isinstance(answer, Yes):
        settled = problem.with_layouts(answer.layouts) if answer.layouts else problem
        found = records().find(pack.version, pack.library_version, kernel.name, settled)
        seconds = None if found is None else found.seconds
    preferred = is_preferred(problem.device, pack.devices)
    return Candidate(kernel, answer, pack.fallback, seconds, preferred)


def _figures(asked: Sequence[Candidate]) -> list[tuple[float, float | None]]:
    return [(c.answer.cost, c.seconds) for c in asked if isinstance(c.answer, Yes)]


def all_measured(figures: Sequence[tuple[float, float | None]]) -> bool:
    """Say whether alternatives go by their times: all were measured, and one at least ran.

    Measured times are compared with each other alone: beside what somebody
    expects of himself they would mean nothing. Who expects to be hopeless isn't
    measured, and isn't waited for.

    Parameters
    ----------
    figures
        The expected and the measured seconds of each that says yes.
    """
    bound = hopeless(cost for cost, _ in figures)
    known = [seconds for cost, seconds in figures if cost <= bound or seconds is not None]
    return None not in known and any(s is not None and math.isfinite(s) for s in known)


def hopeless(costs: Iterable[float]) -> float:
    """Return the cost beyond which an alternative isn't worth measuring.

    That is code which libraries keep to be read, not to be used.
    """
    return HOPELESS * min(costs, default=0.0)


def admitted(asked: Sequence[Candidate]) -> list[Candidate]:
    """Return those that said yes; where costs decide and preferred ones did, them alone."""
    served = [c for c in asked if isinstance(c.answer, Yes)]
    if all_measured(_figures(asked)):
        return served
    return [c for c in served if c.preferred] or served


def _by_cost(candidate: Candidate) -> tuple[bool, bool, float, bool]:
    answer = candidate.answer
    if not isinstance(answer, Yes):
        return (True, not candidate.preferred, 0.0, candidate.fallback)
    return (False, not candidate.preferred, answer.cost, candidate.fallback)


def _by_time(candidate: Candidate) -> tuple[bool, float, bool]:
    served = isinstance(candidate.answer, Yes)
    seconds = math.inf if candidate.seconds is None else candidate.seconds
    return (not served, seconds, candidate.fallback)


def select(problem: Problem, settings: Settings, known: Registry | None = None) -> Decision:
    """Choose the kernel for a problem.

    Parameters
    ----------
    problem
        What is asked; layouts may be ``"any"``.
    settings
        Packs, pinned kernel and fallback that are allowed.
    known
        The registry; default: the process's.

    Raises
    ------
    NoKernel
        If nobody serves it; the message has every reason.
    FallbackRefused
        If only a fallback kernel does, and the settings refuse that.
    """
    known = known or registry()
    asked = candidates(problem, settings, known)
    packs = serving(problem.device, settings.packs, known)
    missing = unavailable(problem, settings, known)
    chosen = asked[0] if asked else None
    if chosen is None or not isinstance(chosen.answer, Yes):
        if settings.kernel is not None and not asked:
            _check_pinned(problem, settings.kernel, known)
        raise NoKernel(_refusal(problem, asked, missing))
    vendors = [pack for pack in packs if not pack.fallback]
    fallback = bool(
        chosen.fallback
        and vendors
        and not any(isinstance(c.answer, Yes) and not c.fallback for c in asked)
    )
    if fallback and settings.fallback != "allow":
        text = f"{chosen.kernel.name} serves as a fallback. " + _refusal(
            problem, [c for c in asked if not c.fallback], missing
        )
        if settings.fallback == "error":
            raise FallbackRefused(text)
        warnings.warn(text, FallbackWarning, stacklevel=2)
    return Decision(problem, chosen.kernel, chosen.answer, tuple(asked), fallback, missing)


def unavailable(
    problem: Problem, settings: Settings, known: Registry
) -> tuple[tuple[str, str], ...]:
    """Return the packs that could serve a problem if they could be used, each with why not."""
    packs = serving(problem.device, settings.packs, known)
    return tuple((p.name, p.reason) for p in packs if p.may_serve(problem) and not p.available)


def _check_pinned(problem: Problem, name: str, known: Registry) -> None:
    kernel = known.find(name)
    raise NoKernel(
        f"{kernel.name} is for another operator, dtype, device or pack than asked: {problem}"
    )


def _refusal(
    problem: Problem, asked: Sequence[Candidate], unavailable: Sequence[tuple[str, str]]
) -> str:
    lines = [f"no kernel serves {problem} on {problem.device}"]
    lines += [
        f"  {c.kernel.name}: {c.answer.code.name} {c.answer}"
        for c in asked
        if isinstance(c.answer, No)
    ]
    lines += [f"  {name}: unavailable: {reason}" for name, reason in unavailable]
    if len(lines) == 1:
        lines.append("  no pack that was allowed has a kernel for this operator and dtype")
    return "\n".join(lines)
