"""What ``python -m dispatch tuned list | verify | prune`` do."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console

from dispatch.errors import InvalidArgument
from dispatch.machine import this_machine
from dispatch.problem import Problem
from dispatch.tuning.progress import bar
from dispatch.tuning.record import Record
from dispatch.tuning.records import records
from dispatch.tuning.turn import turn
from dispatch.tuning.upkeep import Finding, contests_of, verify, why_stale

__all__ = ["app"]

OFF = 1
"""Exit code of a verification that found times to be off."""
_UNITS = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}

app = typer.Typer(help="The measured times that calls under tuned=True go by.",
                  no_args_is_help=True)  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Operator = Annotated[str | None, typer.Option(help="Only this operator's.")]
Kernel = Annotated[str | None, typer.Option(help="Only this kernel's, by its full name.")]


def _selected(operator: str | None, kernel: str | None) -> list[Record]:
    found = records().database.read()
    return [
        r
        for r in found
        if (operator is None or r.kernel.split(".")[1] == operator)
        and (kernel is None or r.kernel == kernel)
    ]


@app.command(name="list", epilog="Example: python -m dispatch tuned list --operator conv2d --json")
def list_records(operator: Operator = None, kernel: Kernel = None, as_json: Json = False) -> None:
    """List the records: problem, kernel, time, and why one isn't used any more."""
    found = sorted(_selected(operator, kernel), key=lambda r: (r.problem, r.seconds))
    if as_json:
        _print_json([{**r.to_dict(), "stale": why_stale(r)} for r in found])
        return
    machines = records().database.machines()
    now = time.time()
    _print_blocks(
        ("µs", "±", "rounds", "age", "kernel", "machine", "not used, as"),
        [
            (
                _heading(r),
                _microseconds(r.seconds),
                f"{r.spread:.0%}",
                str(r.rounds),
                f"{max(0.0, now - r.measured_at) / 86400:.1f} d",
                r.kernel,
                "here" if r.machine == this_machine().id else machines.get(r.machine, r.machine),
                why_stale(r),
            )
            for r in found
        ],
    )
    _say(f"{len(found)} records in {records().database.path}")


VERIFY_EXAMPLES = """
[bold]Examples[/bold]

python -m dispatch tuned verify --operator conv2d

python -m dispatch tuned verify --renew --seconds 60
"""


@app.command(name="verify", epilog=VERIFY_EXAMPLES)
def verify_records(
    operator: Operator = None,
    kernel: Kernel = None,
    seconds: Annotated[float, typer.Option(help="Bound on the time for all.", min=0.0)] = 300.0,
    renew: Annotated[bool, typer.Option("--renew", help="Keep the new times.")] = False,
    as_json: Json = False,
) -> None:
    """Time the kernels again; exits with 1 if a record is off beyond noise.

    Records that aren't about this machine and the packs installed are left out.
    """
    contests = contests_of(r for r in _selected(operator, kernel) if not why_stale(r))
    found: list[Finding] = []
    end = time.monotonic() + seconds
    done = 0
    with bar(False if as_json else None) as show, turn(records().database.turn_path):
        for findings in verify(contests):
            found += findings
            done += 1
            show(str(contests[done - 1][0].problem), done, len(contests))
            if time.monotonic() >= end:
                break
    if renew:
        records().add([f.now for f in found])
    off = [f for f in found if f.off]
    left = sum(len(members) for _, members in contests[done:])
    if as_json:
        _print_json(
            {
                "findings": [
                    {
                        "kernel": f.before.kernel,
                        "problem": json.loads(f.before.problem),
                        "before": f.before.to_dict()["seconds"],
                        "now": f.now.to_dict()["seconds"],
                        "noise": f.noise,
                        "off": f.off,
                    }
                    for f in found
                ],
                "not_verified": left,
                "renewed": renew,
            }
        )
    else:
        _print_blocks(
            ("recorded µs", "now µs", "ratio", "noise", "kernel", ""),
            [_row(f) for f in found],
        )
        _say(
            f"{len(off)} of {len(found)} records are off beyond noise"
            + (f", {left} were not verified in {seconds:g} seconds" if left else "")
            + ("; the new times are kept" if renew else "")
        )
    if off:
        raise typer.Exit(OFF)


def _row(finding: Finding) -> tuple[str, ...]:
    return (
        _heading(finding.before),
        _microseconds(finding.before.seconds),
        _microseconds(finding.now.seconds),
        f"{finding.ratio:.2f}",
        f"{finding.noise:.0%}",
        finding.before.kernel,
        "off" if finding.off else "",
    )


PRUNE_EXAMPLES = """
[bold]Examples[/bold]

python -m dispatch tuned prune --dry-run

python -m dispatch tuned prune --older-than 30d
"""


@app.command(epilog=PRUNE_EXAMPLES)
def prune(
    older_than: Annotated[
        str | None, typer.Option(help="Also those measured longer ago: 12h, 30d, 8w.")
    ] = None,
    all_machines: Annotated[
        bool,
        typer.Option("--all-machines", help="Also other machines' (of a shared home folder)."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which.")] = False,
    as_json: Json = False,
) -> None:
    """Drop the records that nothing installed here can use any more."""
    limit = math.inf if older_than is None else parse_age(older_than)
    dropped = reasons(records().database.read(), limit, all_machines)
    if dropped and not dry_run:
        records().database.delete(record for record, _ in dropped)
    if as_json:
        _print_json(
            {
                "dropped": [{**r.to_dict(), "reason": why} for r, why in dropped],
                "dry_run": dry_run,
            }
        )
        return
    _print_blocks(
        ("kernel", "dropped, as"),
        [(_heading(r), r.kernel, why) for r, why in dropped],
    )
    _say(f"{len(dropped)} records {'would be ' if dry_run else ''}dropped")


def reasons(found: Sequence[Record], limit: float, all_machines: bool) -> list[tuple[Record, str]]:
    """Return the records to drop, each with the reason.

    Parameters
    ----------
    found
        All there are.
    limit
        Seconds after which a record is too old.
    all_machines
        Drop those of other machines too.
    """
    now = time.time()
    dropped = []
    for record in found:
        foreign = record.machine != this_machine().id
        why = why_stale(record)
        if now - record.measured_at > limit:
            dropped.append((record, f"measured {(now - record.measured_at) / 86400:.1f} d ago"))
        elif why and (all_machines or not foreign):
            dropped.append((record, why))
    return dropped


def parse_age(text: str) -> float:
    """Return the seconds that a text such as 30d stands for.

    Raises
    ------
    InvalidArgument
        If it is something else.
    """
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([hdw])", text)
    if match is None:
        raise InvalidArgument(
            f"older-than: expected a number and h, d or w as in 30d, got {text!r}"
        )
    return float(match[1]) * _UNITS[match[2]]


def _heading(record: Record) -> str:
    try:
        problem = Problem.from_json(record.problem)
    except InvalidArgument:  # somebody else's text
        return record.problem
    return f"{problem} ({problem.threads} thread{'s' if problem.threads > 1 else ''})"


def _print_blocks(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows below their headings, which come first in each: problems are long."""
    cells = [columns, *(row[1:] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    heading = ""
    for line, above in zip(cells, ["", *(row[0] for row in rows)], strict=True):
        if above != heading:
            heading = above
            _say(heading)
        padded = "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True))
        _say(f"  {padded}".rstrip())


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.1f}" if math.isfinite(seconds) else "failed"


def _say(text: str) -> None:
    Console().print(text, markup=False, highlight=False, soft_wrap=True)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))  # noqa: T201
