"""What ``python -m dispatch check`` does: progress, a table or JSON, an exit code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from dispatch.conformance.checks import Failure, KernelReport
from dispatch.conformance.packs import (
    Skipped,
    Target,
    open_subject,
    remote_subject,
    targets,
)
from dispatch.conformance.remote import RemotePack
from dispatch.conformance.runner import Subject, Summary, check_kernels
from dispatch.contract import KernelName
from dispatch.errors import InvalidArgument
from dispatch.text import print_table

__all__ = ["Remote", "check", "to_dict"]


@dataclass(frozen=True, slots=True)
class Remote:
    """A pack in another process, and how to get there.

    Parameters
    ----------
    command
        What starts ``serve_pack`` there.
    library
        The pack's shared library, as that side names it.
    device
        The device there, as problems name it.
    options
        The pack's options.
    """

    command: tuple[str, ...]
    library: str
    device: str
    options: Mapping[str, str] = field(default_factory=dict)

    def open(self, level: str | None) -> RemotePack:
        """Start the process; `level` is the pack's option of that name."""
        given = {**self.options, **({"level": level} if level else {})}
        return RemotePack(self.command, self.library, given)


SHOWN = 5
"""Failures that are printed of each kernel; JSON has all."""


def check(
    pack: str | None = None,
    *,
    operator: str | None = None,
    kernel: str | None = None,
    cases: int = 20,
    as_json: bool = False,
    level: str | None = None,
    remote: Remote | None = None,
) -> int:
    """Check packs and print what came of it.

    Parameters
    ----------
    pack, operator, kernel, level
        Only these; None: all that are installed.
    cases
        Random cases for each operator and dtype, beside the boundary cases.
    as_json
        Print JSON in place of tables and progress.
    remote
        Check a pack in another process in place of those installed here.

    Returns
    -------
    int
        The exit code: 0 if nothing was wrong, 1 if something was, 2 if
        nothing could be checked.

    Raises
    ------
    InvalidArgument
        If there is no such pack, operator, kernel or level.
    PackUnavailable
        If the pack in the other process can't be opened.
    """
    if kernel is not None:
        pack = pack or KernelName.parse(kernel).pack
    results: list[Summary | Skipped] = []
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with ExitStack() as stack:
        bar = stack.enter_context(
            Progress(*columns, console=console, disable=as_json, transient=True)
        )
        subjects: Iterable[tuple[Target, Subject | Skipped]]
        if remote is None:
            subjects = ((t, open_subject(t, operator, kernel)) for t in targets(pack, level))
        else:
            opened = stack.enter_context(remote.open(level))
            there = remote_subject(opened, remote.device, level or "", operator, kernel)
            subjects = [(Target(opened.name, level or ""), there)]
        for target, subject in subjects:
            if isinstance(subject, Skipped):
                results.append(subject)
                continue
            groups = {KernelName.parse(each.name)[1::2] for each in subject.kernels}
            task = bar.add_task(str(target), total=len(groups))

            def progress(name: str, done: int, task: Any = task, title: str = str(target)) -> None:
                bar.update(task, description=f"{title}: {name}", completed=done)

            results.append(check_kernels(subject, cases, progress))
            bar.update(task, completed=len(groups))
    _require_kernels(results, operator, kernel)
    if as_json:
        print(json.dumps([to_dict(result) for result in results], indent=1))  # noqa: T201
    else:
        for result in results:
            _print(result)
    return exit_code(results)


def exit_code(results: list[Summary | Skipped]) -> int:
    """Return 0, 1 or 2 as `check` does."""
    summaries = [result for result in results if isinstance(result, Summary)]
    if not summaries:
        return 2
    return 0 if all(summary.passed for summary in summaries) else 1


def _require_kernels(
    results: list[Summary | Skipped], operator: str | None, kernel: str | None
) -> None:
    summaries = [result for result in results if isinstance(result, Summary)]
    if summaries and not any(summary.kernels for summary in summaries):
        what = f"kernel {kernel}" if kernel else f"kernel of {operator}" if operator else "kernel"
        packs = ", ".join(sorted({summary.pack for summary in summaries}))
        raise InvalidArgument(f"check: no {what} in {packs}")


def to_dict(result: Summary | Skipped) -> dict[str, Any]:
    """Return a result as plain data for JSON."""
    if isinstance(result, Skipped):
        return {
            "pack": result.target.pack,
            "level": result.target.level,
            "skipped": result.reason,
        }
    return {
        "pack": result.pack,
        "level": result.level,
        "device": result.device_name,
        "passed": result.passed,
        "holes": [_failure(hole) for hole in result.holes],
        "kernels": [_kernel(report) for report in result.kernels],
    }


def _kernel(report: KernelReport) -> dict[str, Any]:
    return {
        "kernel": report.kernel,
        "served": report.served,
        "refused": report.refused,
        "runs": report.runs,
        "quantized": report.quantized,
        "inexact": report.inexact,
        "hostile": report.hostile,
        "codes": dict(sorted(report.codes.items())),
        "layouts": sorted(report.layouts),
        "failures": [_failure(failure) for failure in report.failures],
    }


def _failure(failure: Failure) -> dict[str, Any]:
    problem = json.loads(failure.problem) if failure.problem else None
    return {"case": failure.case, "problem": problem, "what": failure.what}


def _print(result: Summary | Skipped) -> None:
    console = Console()
    if isinstance(result, Skipped):
        console.print(f"{result.target}: skipped: {result.reason}", markup=False)
        return
    level = f"level {result.level}" if result.level else ""
    title = ", ".join(filter(None, (result.pack, level, result.device_name)))
    console.print(title, style="bold", markup=False)
    rows = [
        (
            report.kernel,
            str(report.served),
            str(report.refused),
            str(report.runs),
            str(report.hostile),
            " ".join(f"{name}:{count}" for name, count in sorted(report.codes.items())),
            " ".join(sorted(report.layouts)),
            _result(report),
        )
        for report in result.kernels
    ]
    print_table(("kernel", "yes", "no", "runs", "hostile", "refusals", "layouts", "result"), rows)
    for report in result.kernels:
        _print_failures(console, report.kernel, report.failures)
    _print_failures(console, "cases that nobody serves", result.holes)
    failed = sum(bool(report.failures) for report in result.kernels)
    console.print(
        f"{len(result.kernels) - failed} of {len(result.kernels)} kernels passed, "
        f"{len(result.holes)} holes",
        markup=False,
    )


def _result(report: KernelReport) -> str:
    if report.failures:
        return f"{len(report.failures)} FAILED"
    if report.inexact:
        return f"passed, {report.inexact} of {report.quantized} values off by one"
    return "passed, exact" if report.quantized else "passed"


def _print_failures(console: Console, title: str, failures: list[Failure]) -> None:
    if not failures:
        return
    console.print(f"\n{title}: {len(failures)} failures", style="bold red", markup=False)
    for failure in failures[:SHOWN]:
        console.print(f"  {failure.case}: {failure.what}", markup=False, soft_wrap=True)
        console.print(f"    {failure.problem}", style="dim", markup=False, soft_wrap=True)
    if len(failures) > SHOWN:
        console.print(f"  and {len(failures) - SHOWN} more (--json has all)", markup=False)
