"""A pack's kernels for the kit's problems, for who checks its native side elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

from dispatch.answer import Yes
from dispatch.conformance.checks import PRECISIONS
from dispatch.conformance.packs import Skipped, Target, open_subject
from dispatch.conformance.problems import layouts_of
from dispatch.conformance.runner import (
    LONG_NAMES,
    Subject,
    conformance_cases,
    kernels_by_dtype,
    questions,
)
from dispatch.contract import ExportingPack, Kernel
from dispatch.errors import InvalidArgument, PackUnavailable
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.registry import registry
from dispatch.tensor import NHWC

__all__ = ["export"]


def export(pack: str, path: Path, *, operator: str | None = None, cases: int = 20) -> int:
    """Write kernels for the problems that the kit asks them about to a file.

    Parameters
    ----------
    pack
        One with a native side (`dispatch.contract.ExportingPack`).
    path
        The file; replaced if it is there.
    operator
        Only this one's kernels.
    cases
        As for the check that is to come.

    Returns
    -------
    int
        How many kernels for problems are in it.

    Raises
    ------
    InvalidArgument
        If the pack has no native side, or one of the kernels needs Python.
    PackUnavailable
        If it can't be opened here.
    """
    subject = open_subject(Target(pack), operator)
    if isinstance(subject, Skipped):
        raise PackUnavailable(subject.reason)
    opened = next(p.opened for p in registry().packs if p.name == pack)
    if not isinstance(opened, ExportingPack):
        raise InvalidArgument(f"pack {pack}: expected one with a native side, got one without")
    pairs = list(_asked(subject, cases))
    path.write_bytes(opened.export(pairs))
    return len(pairs)


def _asked(subject: Subject, cases: int) -> Iterator[tuple[Kernel, Problem]]:
    """Yield kernels and problems that they say yes to, in all precisions and two layouts."""
    for (name, short), kernels in kernels_by_dtype(subject.kernels).items():
        schema = operators()[name]
        given = conformance_cases(schema, cases, subject.cases.get(name, ()))
        for question in questions(schema, LONG_NAMES[short], subject.device, given):
            for kernel, problem in _variants(kernels, question.problem):
                if isinstance(kernel.query(problem), Yes):
                    yield kernel, problem


def _variants(kernels: Sequence[Kernel], problem: Problem) -> Iterator[tuple[Kernel, Problem]]:
    schema = operators()[problem.operator]
    placed = [problem.with_layouts(layouts_of(schema, problem, a)) for a in ("", NHWC)]
    for asked, precision, deterministic in product(placed, PRECISIONS, (False, True)):
        variant = replace(asked, precision=precision, deterministic=deterministic)
        for kernel in kernels:
            yield kernel, variant
