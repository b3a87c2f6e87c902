"""All kernels of packs over all cases of operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dispatch.answer import Yes
from dispatch.conformance.checks import (
    Failure,
    KernelReport,
    _Expectations,
    check_case,
    check_hostile,
)
from dispatch.conformance.hostile import sample
from dispatch.conformance.problems import Question, ask
from dispatch.conformance.values import fits
from dispatch.contract import Kernel, KernelName
from dispatch.dtypes import SHORT_NAMES
from dispatch.errors import UnsupportedDtype
from dispatch.operator import Case, Operator
from dispatch.operators import operators

__all__ = ["Subject", "Summary", "check_kernels", "conformance_cases"]

SEED = 20261123
RANDOM = "random"
HOSTILE = 8
"""Problems that contradict themselves, for each case."""
LONG_NAMES = {short: name for name, short in SHORT_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Subject:
    """A pack to be checked.

    Parameters
    ----------
    name
        The pack's.
    kernels
        Those to check.
    device
        That the problems are for.
    fallback
        It must serve every case in float32, or in the operator's first dtype.
    operators
        Operators that a fallback must serve.
    level
        The instruction set that was forced, "" for none.
    cases
        The pack's own cases beside the operators', by operator.
    device_id, device_name
        Which of several devices of that name, and its own name.
    """

    name: str
    kernels: Sequence[Kernel]
    device: str = "cpu"
    fallback: bool = False
    operators: Sequence[str] = ()
    level: str = ""
    cases: Mapping[str, Sequence[Case]] = field(default_factory=dict)
    device_id: int = 0
    device_name: str = ""


@dataclass(slots=True)
class Summary:
    """What came of a pack.

    Parameters
    ----------
    pack, level, device_name
        What was checked.
    kernels
        A report for each kernel.
    holes
        Cases that no kernel of a fallback pack serves: (operator, dtype, case, problem).
    """

    pack: str
    level: str
    kernels: list[KernelReport] = field(default_factory=list)
    holes: list[Failure] = field(default_factory=list)
    device_name: str = ""

    @property
    def passed(self) -> bool:
        """Nothing was wrong."""
        return not self.holes and not any(report.failures for report in self.kernels)


def conformance_cases(
    operator: Operator, count: int, extra: Sequence[Case] = (), seed: int = SEED
) -> Iterator[Case]:
    """Give an operator's boundary cases, a pack's own, and `count` random ones."""
    yield from extra
    left = count
    for case in operator.cases(np.random.default_rng([seed, len(operator.name)])):
        if case.label == RANDOM:
            if left == 0:
                return
            left -= 1
        yield case


def check_kernels(
    subject: Subject,
    count: int = 20,
    progress: Callable[[str, int], None] = lambda name, done: None,
) -> Summary:
    """Check kernels over their operators' cases.

    Parameters
    ----------
    count
        Random cases for each kernel's dtype.
    progress
        Called with an operator and dtype, and how many kernels are done.
    """
    groups = kernels_by_dtype(subject.kernels)
    if subject.fallback:
        for name in subject.operators:
            groups.setdefault((name, SHORT_NAMES[must_serve(operators()[name])]), [])
    summary = Summary(subject.name, subject.level, device_name=subject.device_name)
    for done, ((name, short), kernels) in enumerate(sorted(groups.items())):
        progress(f"{name}.{short}", done)
        _check_group(subject, name, LONG_NAMES[short], kernels, count, summary)
    return summary


def kernels_by_dtype(kernels: Sequence[Kernel]) -> dict[tuple[str, str], list[Kernel]]:
    """Return kernels by their operator and the short name of their dtype."""
    groups: dict[tuple[str, str], list[Kernel]] = {}
    for kernel in kernels:
        parts = KernelName.parse(kernel.name)
        groups.setdefault((parts.operator, parts.dtype), []).append(kernel)
    return groups


def _check_group(
    subject: Subject,
    name: str,
    dtype: str,
    kernels: Sequence[Kernel],
    count: int,
    summary: Summary,
) -> None:
    reports = [KernelReport(kernel.name) for kernel in kernels]
    summary.kernels += reports
    operator = operators().get(name)
    if operator is None or dtype not in operator.dtypes:
        what = "an operator that doesn't exist" if operator is None else f"no {dtype}"
        for report in reports:
            report.failures.append(Failure("registration", "", f"{name} has {what}"))
        return
    served = must_serve(operator)
    cases = conformance_cases(operator, count, subject.cases.get(name, ()))
    for number, question in enumerate(
        questions(operator, dtype, subject.device, cases, subject.device_id)
    ):
        expectations = _Expectations(question)
        answers = [
            check_case(kernel, question, report, number, expectations)
            for kernel, report in zip(kernels, reports, strict=True)
        ]
        wrong = sample(operator, question.problem, HOSTILE, SEED + number)
        for kernel, report in zip(kernels, reports, strict=True):
            check_hostile(kernel, question, wrong, report)
        if (
            dtype == served
            and subject.fallback
            and not any(isinstance(answer, Yes) for answer in answers)
        ):
            summary.holes.append(
                Failure(
                    question.case.label,
                    question.problem.to_json(),
                    f"{name}.{SHORT_NAMES[dtype]}: no kernel serves {question.problem}",
                )
            )


def must_serve(operator: Operator) -> str:
    """Return the dtype in which a fallback pack serves every case."""
    return "float32" if "float32" in operator.dtypes else operator.dtypes[0]


def questions(
    operator: Operator, dtype: str, device: str, cases: Iterator[Case], device_id: int = 0
) -> Iterator[Question]:
    """Give the questions of the cases that make sense for a dtype."""
    for number, case in enumerate(cases):
        if not fits(case, dtype):
            continue
        try:
            question = ask(operator, case, dtype, device, SEED + number, device_id)
        except UnsupportedDtype:
            continue
        if question.problem.dtype == dtype:
            yield question
