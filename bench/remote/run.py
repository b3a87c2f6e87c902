"""A plan carried out on another machine."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.case import SUFFIX
from bench.errors import BenchError, CaseError, RemoteFailed, WrongResult
from bench.models import MODELS
from bench.plan import Plan, Subject
from bench.remote.connection import Connection, Finished, Machine, probe
from bench.remote.source import folder_of, send_files, source_root, sync_source, tracked_files
from bench.results import parse
from dispatch.device_names import CPU, cpu_family, family_of, is_cpu

__all__ = ["arguments_of", "run_on_host"]

Progress = Callable[[str, int, int], None]

STEPS = 4
NEEDED = {"python": "Python >= 3.11 with venv", "gcc": "gcc", "make": "make", "tar": "tar"}


def run_on_host(
    plan: Plan, threads: Sequence[int], host: str, command: str | None, progress: Progress
) -> dict[str, Any]:
    """Carry out a plan on another machine, and return its report as `bench.results.document`.

    Parameters
    ----------
    plan, threads
        What to measure there.
    host
        Where, as ssh takes it.
    command
        A ``bench`` that is there; None: this source is copied there and built.
    progress
        Called with what is being done, and how many of how many steps are.

    Raises
    ------
    CaseError
        If the machine is another than the plan's device needs, or lacks what a
        build needs.
    WrongResult
        If a result is wrong there.
    RemoteFailed
        If the machine can't be reached, or something fails there.
    """
    connection = Connection(host)
    progress(f"connecting to {host}", 0, STEPS)
    machine = probe(connection)
    _check_device(plan.device, host, machine)
    files = _files_of(plan)
    if command is None:
        root = source_root()
        _check_programs(host, machine)
        folder = folder_of(machine.cache, root)
        progress(f"copying the source to {host}", 1, STEPS)
        sync_source(connection, folder, tracked_files(root))
        _build(connection, folder, machine, lambda line: progress(line, 2, STEPS))
        command = f"{shlex.quote(folder)}/.venv/bin/bench"
    else:
        folder = folder_of(machine.cache, Path(__file__).resolve())
    if files:
        send_files(connection, f"{folder}/inputs", dict(files.values()))
    there = {text: f"{folder}/inputs/{name}" for text, (name, _) in files.items()}
    words = shlex.join(arguments_of(plan, threads, there))
    progress(f"running on {host}", 3, STEPS)
    finished = connection.run(f"{command} run {words} --json -", show=_follow(progress))
    return _document(host, finished)


def _follow(progress: Progress) -> Callable[[str], None]:
    """Return what shows the progress of the bench there by its lines."""

    def show(line: str) -> None:
        found = re.fullmatch(r"(\d+)/(\d+) (.*)", line)
        if found is not None:
            progress(found[3], int(found[1]), int(found[2]))

    return show


def _check_device(device: str, host: str, machine: Machine) -> None:
    family = family_of(machine.name)
    if device != CPU and is_cpu(device) and cpu_family(device) != family:
        raise CaseError(
            f"host {host}: device {device!r} was asked for, but its CPU is {machine.name} "
            f"({family})"
        )


def _check_programs(host: str, machine: Machine) -> None:
    missing = [text for name, text in NEEDED.items() if name not in machine.programs]
    if missing:
        raise CaseError(
            f"host {host}: {', '.join(missing)} not found there, which building bench needs: "
            f"install it, or name a bench that is there (--host-command)"
        )


def _build(
    connection: Connection, folder: str, machine: Machine, show: Callable[[str], None]
) -> None:
    show("building")
    make = f"make PYTHON={shlex.quote(machine.programs['python'])} .venv/.stamps/bench"
    connection.require("building bench", f"cd {shlex.quote(folder)} && {make} 1>&2", show=show)


# ---- The command there --------------------------------------------------------------------------


def _files_of(plan: Plan) -> dict[str, tuple[str, Path]]:
    """Return the local files that the plan names: as it names them, a name there, the path."""
    texts = [text for text in plan.models if text not in MODELS]
    texts += [plan.shapes] if plan.shapes.endswith(SUFFIX) else []
    found = [text for text in dict.fromkeys(texts) if Path(text).is_file()]
    return {text: (f"{i}-{Path(text).name}", Path(text)) for i, text in enumerate(found)}


def arguments_of(plan: Plan, threads: Sequence[int], files: dict[str, str]) -> list[str]:
    """Return the words after ``bench run`` that make a plan; `files` are elsewhere there."""
    words = [
        "--device", plan.device, "--threads", ",".join(map(str, threads)),
        "--precision", plan.precision, "--mode", plan.mode,
        "--seconds", str(plan.schedule.seconds), "--rounds", str(plan.schedule.least),
        "--clock", plan.schedule.clock,
    ]  # fmt: skip
    if plan.problem is not None:
        words += ["--problem", plan.problem]
    elif plan.subject is Subject.OPERATORS:
        shapes = files.get(plan.shapes, plan.shapes)
        words += ["--op", plan.op, "--shapes", shapes, "--dtype", plan.dtype]
    for model in plan.models:
        words += ["--model", files.get(model, model)]
    for name, extents in plan.model_shapes.items():
        words += ["--shape", f"{name}={','.join(map(str, extents))}"]
    for name, value in plan.environment.items():
        words += ["--env", f"{name}={value}"]
    for option, names in (("--packs", plan.packs), ("--peers", plan.peers)):
        words += [option, ",".join(names)] if names else []
    for option, text in (("--level", plan.level), ("--base", plan.base)):
        words += [option, text] if text is not None else []
    words += ["--memory"] if plan.memory else []
    words += ["--direct"] if plan.direct else []
    words += ["--tuned"] if plan.tuned else []
    words += ["--overhead"] if plan.subject is Subject.OVERHEAD else []
    return words


def _document(host: str, finished: Finished) -> dict[str, Any]:
    """Return the report that came back, with the host's name in it."""
    if finished.status:
        raise _failure(host, finished)
    try:
        document: dict[str, Any] = json.loads(finished.output)
    except ValueError as error:
        text = finished.output[-200:].decode("utf-8", "replace")
        raise RemoteFailed(f"host {host}: expected a report of bench run, got {text!r}") from error
    report = parse(document, f"host {host}")
    document["bench"]["settings"]["host"] = host
    document["bench"]["title"] = f"{report.title}; on {host}"
    return document


def _failure(host: str, finished: Finished) -> BenchError:
    """Return what ended the bench there: its own message where it gave one."""
    text = "\n".join(finished.complaints)
    for words, kind in (("wrong result: ", WrongResult), ("error: ", RemoteFailed)):
        _, found, message = ("\n" + text).rpartition("\n" + words)
        if found:
            return kind(f"host {host}: {message}")
    lines = text.replace("\n", "\n  ")
    return RemoteFailed(f"host {host}: bench run failed with status {finished.status}:\n  {lines}")
