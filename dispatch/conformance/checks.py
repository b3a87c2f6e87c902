"""Every check of one kernel on one case."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.conformance.bounds import Expected, differences, expect, inexact
from dispatch.conformance.execution import Outcome, Ready, Run, execute, prepare
from dispatch.conformance.hostile import Mutation
from dispatch.conformance.problems import Question, layouts_of
from dispatch.contract import Kernel
from dispatch.errors import DispatchError
from dispatch.operator import Array
from dispatch.problem import Precision, Problem
from dispatch.tensor import ANY, LAYOUT_BLOCKS, NCHW

__all__ = ["Failure", "KernelReport", "check_case", "check_hostile"]

PRECISIONS: tuple[Precision, ...] = ("highest", "high", "medium")
DEEP_EVERY = 7
"""Every so many cases a kernel is also run with more threads, and by two at once."""
COST_RATIO, COST_SLACK = 2.0, 1e-6
"""Layouts that a kernel chose may cost so much more than it said, and so many seconds."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a kernel did wrong.

    Parameters
    ----------
    case
        The case's label.
    problem
        The problem's JSON, which `Problem.from_json` reads.
    what
        What was expected and what came.
    """

    case: str
    problem: str
    what: str


@dataclass(slots=True)
class KernelReport:
    """What the kit saw of one kernel.

    Parameters
    ----------
    kernel
        Its name.
    served, refused
        Cases that it said yes or no to in the plain layout.
    runs
        Runs that were compared with the reference.
    quantized, inexact
        Elements of quantised results that were compared, and those of them that
        weren't exactly the reference's.
    hostile
        Problems asked that contradict themselves, none of which it may serve.
    codes
        Codes of refusals, of all good problems asked, by name.
    layouts
        Layouts that it ran in.
    failures
        What it did wrong.
    """

    kernel: str
    served: int = 0
    refused: int = 0
    runs: int = 0
    quantized: int = 0
    inexact: int = 0
    hostile: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    layouts: set[str] = field(default_factory=set)
    failures: list[Failure] = field(default_factory=list)


class _Expectations:
    """Expected results of one question, computed once for each precision."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._made: dict[Precision, list[Expected]] = {}

    def at(self, precision: Precision) -> list[Expected]:
        if precision not in self._made:
            self._made[precision] = expect(self._question, precision)
        return self._made[precision]


def check_case(
    kernel: Kernel,
    question: Question,
    report: KernelReport,
    number: int,
    expectations: _Expectations | None = None,
) -> Answer | None:
    """Run every check of a kernel on a case; what is wrong goes into `report`.

    Parameters
    ----------
    number
        The case's number: rarer checks are made on some of them.
    expectations
        Of the question, shared by kernels.

    Returns
    -------
    answer
        To the plain problem at the highest precision that the kernel serves,
        None if asking failed.
    """
    expectations = expectations or _Expectations(question)
    check = _Check(kernel, question, report, expectations)
    precision, answer = check.precision()
    if isinstance(answer, No):
        report.refused += 1
    elif isinstance(answer, Yes):
        report.served += 1
    problem = replace(question.problem, precision=precision)
    for index, variant in enumerate(_layout_variants(question, problem)):
        plain = index == 0
        check.variant(variant, misaligned=plain and number % 2 == 1)
    if isinstance(answer, Yes):
        check.in_place(problem, answer)
        check.determinism(problem, deep=number % DEEP_EVERY == 0)
        if number % DEEP_EVERY == 0:
            check.concurrency(problem)
    return answer


def check_hostile(
    kernel: Kernel, question: Question, wrong: Sequence[Mutation], report: KernelReport
) -> None:
    """Ask a kernel for problems that contradict themselves; none is run.

    Parameters
    ----------
    wrong
        `dispatch.conformance.hostile.sample` of the question's problem.
    """
    for what, problem in wrong:
        report.hostile += 1
        try:
            answer = kernel.query(problem)
        except DispatchError:
            continue  # no problem at all to who reads it
        except Exception as error:  # noqa: BLE001  whatever a pack raises is its failure
            said = f"raises {type(error).__name__} ({error}) at"
        else:
            if not isinstance(answer, Yes):
                continue
            said = "says yes to"
        said = f"CONSISTENCY: {said} {what}, which the operator's rule forbids"
        report.failures.append(Failure(question.case.label, problem.to_json(), said))


def _layout_variants(question: Question, problem: Problem) -> Iterator[Problem]:
    """Give the plain problem, one that leaves layouts open, one in each other layout."""
    yield problem
    for layout in (ANY, *LAYOUT_BLOCKS):
        chosen = layouts_of(question.operator, problem, layout)
        if layout != NCHW and any(chosen):
            yield problem.with_layouts(chosen)


@dataclass(slots=True)
class _Check:
    kernel: Kernel
    question: Question
    report: KernelReport
    expectations: _Expectations

    def fail(self, problem: Problem, what: str) -> None:
        self.report.failures.append(Failure(self.question.case.label, problem.to_json(), what))

    def query(self, problem: Problem) -> Answer | None:
        """Ask, and hold the answer to the contract."""
        try:
            answer = self.kernel.query(problem)
        except DispatchError as error:
            self.fail(problem, f"query: {error}")
            return None
        if isinstance(answer, No):
            self._refusal(problem, answer)
        else:
            self._acceptance(problem, answer)
        return answer

    def _refusal(self, problem: Problem, answer: No) -> None:
        code: object = answer.code
        if not isinstance(code, NoCode):
            self.fail(problem, f"refuses with {answer.code!r}, which the catalogue doesn't have")
            return
        self.report.codes[answer.code.name] += 1
        if not answer.subject:
            self.fail(problem, f"refuses ({answer.code.name}) without saying what")

    def _acceptance(self, problem: Problem, answer: Yes) -> None:
        if not answer.cost >= 0.0 or answer.cost == float("inf"):
            self.fail(problem, f"expected a cost in seconds, got {answer.cost}")
        tensors = len(problem.tensors)
        if answer.layouts and len(answer.layouts) != tensors:
            self.fail(problem, f"expected {tensors} layouts, got {answer.layouts}")
        for layout, tensor in zip(answer.layouts, problem.tensors, strict=False):
            if layout and layout not in LAYOUT_BLOCKS:
                self.fail(problem, f"expected a concrete layout, got {layout!r}")
            if not layout and tensor is not None and tensor.layout == ANY:
                self.fail(problem, 'leaves a layout open that was asked as "any"')

    def precision(self) -> tuple[Precision, Answer | None]:
        """Find the highest precision that the kernel serves the plain problem at."""
        answer: Answer | None = None
        for precision in PRECISIONS:
            answer = self.query(replace(self.question.problem, precision=precision))
            if not (isinstance(answer, No) and answer.code is NoCode.PRECISION):
                return precision, answer
        return "highest", answer

    def variant(self, problem: Problem, misaligned: bool) -> None:
        """Ask in some layouts; where the kernel says yes, run and compare."""
        answer = self.query(problem)
        if not isinstance(answer, Yes):
            return
        if len(answer.layouts) == len(problem.tensors):
            layouts = tuple(
                layout if tensor is not None else ""
                for layout, tensor in zip(answer.layouts, problem.tensors, strict=True)
            )
            concrete = problem.with_layouts(layouts)
            if concrete != problem:
                promised = answer.cost
                problem, answer = concrete, self.query(concrete)
                if not isinstance(answer, Yes):
                    self.fail(problem, f"chose these layouts, then refused them: {answer}")
                    return
                if answer.cost > COST_RATIO * promised + COST_SLACK:
                    self.fail(
                        problem,
                        f"chose these layouts at a cost of {promised:.3g} s, "
                        f"then costs {answer.cost:.3g} s in them",
                    )
        self.run(problem, answer, Run(misaligned=misaligned))
        if answer.scratch_bytes:
            self.run(problem, answer, Run(guarded_scratch=True))

    def run(self, problem: Problem, answer: Yes, run: Run) -> Outcome | None:
        """Prepare, run, compare."""
        try:
            ready = prepare(self.kernel, problem, answer, self.question.arrays)
            outcome = execute(ready, run)
        except Exception as error:  # noqa: BLE001  whatever a pack raises is its failure
            self.fail(problem, f"said yes, then: {type(error).__name__}: {error}")
            return None
        self.report.runs += 1
        self.report.layouts |= {t.layout for t in problem.tensors if t is not None and t.rank == 4}
        self.judge(problem, outcome, run)
        return outcome

    def judge(self, problem: Problem, outcome: Outcome, run: Run) -> None:
        """Compare a run's outcome with the reference."""
        note = f" ({run})" if str(run) else ""
        for fault in outcome.faults:
            self.fail(problem, fault + note)
        expected = self.expectations.at(problem.precision)
        for index, (got, wanted) in enumerate(zip(outcome.outputs, expected, strict=True)):
            if problem.outputs[index].quantization is not None:
                self.report.quantized += got.size
                self.report.inexact += inexact(got, wanted)
            text = differences(got, wanted)
            if text:
                self.fail(problem, f"output {index}{note}: {text}")

    def in_place(self, problem: Problem, answer: Yes) -> None:
        """Let the first output take each input's memory that the kernel names."""
        y = problem.outputs[0]
        for index in sorted(answer.may_overwrite):
            x = problem.inputs[index] if index < len(problem.inputs) else None
            if x is None:
                self.fail(problem, f"may_overwrite names input {index}, which is absent")
            elif x.nbytes == y.nbytes and x.dtype == y.dtype and not x.constant:
                self.run(problem, answer, Run(overwritten=index))

    def determinism(self, problem: Problem, deep: bool) -> None:
        """Who says yes to a deterministic problem gives the same bits on any number of threads."""
        asked = replace(problem, deterministic=True)
        answer = self.query(asked)
        if self.kernel.deterministic and not isinstance(answer, Yes):
            self.fail(asked, f"says that it is deterministic and refuses to be: {answer}")
        if not (deep and isinstance(answer, Yes)):
            return
        outcomes = []
        for threads in (1, 2, 2):
            many = replace(asked, threads=threads)
            again = self.query(many)
            if not isinstance(again, Yes):
                self.fail(many, f"serves one thread and refuses {threads}: {again}")
                return
            outcome = self.run(many, again, Run())
            if outcome is None:
                return
            outcomes.append(outcome.outputs)
        for other in outcomes[1:]:
            if not _same_bits(outcomes[0], other):
                self.fail(asked, "is deterministic and gives other bits with two threads")
                return

    def concurrency(self, problem: Problem) -> None:
        """Run one prepared kernel from two Python threads at once."""
        answer = self.query(problem)
        if not isinstance(answer, Yes):
            return
        try:
            ready = prepare(self.kernel, problem, answer, self.question.arrays)
            outcomes = _run_at_once(ready)
        except Exception as error:  # noqa: BLE001  whatever a pack raises is its failure
            self.fail(problem, f"two threads at once: {type(error).__name__}: {error}")
            return
        for outcome in outcomes:
            before = len(self.report.failures)
            self.judge(problem, outcome, Run())
            if len(self.report.failures) > before:
                self.fail(problem, "the last failure came when two threads ran it at once")
                return


def _run_at_once(ready: Ready, threads: int = 2, times: int = 3) -> list[Outcome]:
    outcomes: list[Outcome] = []
    errors: list[BaseException] = []
    barrier = threading.Barrier(threads)

    def work() -> None:
        try:
            barrier.wait()
            outcomes.extend(execute(ready, Run()) for _ in range(times))
        except BaseException as error:  # noqa: BLE001  the caller's
            errors.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    return outcomes


def _same_bits(a: Sequence[Array], b: Sequence[Array]) -> bool:
    return all(
        np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes()
        for x, y in zip(a, b, strict=True)
    )
