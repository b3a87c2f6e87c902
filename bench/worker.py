"""An engine's process: it waits for messages, prepares problems and runs rounds.

Started as ``python -m bench.worker``. Between its rounds it sleeps in a read.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from bench.engines.base import ColdRunner, Engine, Runner
from bench.engines.named import make_engine
from bench.errors import BenchError, CaseError, Refused
from bench.protocol import receive, send
from dispatch.errors import DispatchError, NoKernel
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.tuning.quiet import waited_seconds

__all__ = ["main", "serve"]

Reply = tuple[dict[str, Any], Sequence[Array]]


class _State:
    """What the process holds: its engine, and the one problem that is ready."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.runner: Runner | None = None


def _open(state: _State, message: Mapping[str, Any]) -> Reply:
    state.engine = make_engine(message["engine"], message["threads"])
    return {"version": state.engine.version}, ()


def _prepare(state: _State, message: Mapping[str, Any]) -> Reply:
    from dispatch.tuning.values import arrays_of

    if state.engine is None:
        raise CaseError("prepare: expected an engine first")
    state.runner = None
    problem = Problem.from_dict(message["problem"])
    state.runner = state.engine.prepare(problem, arrays_of(problem, message["seed"]))
    if message.get("cold"):
        if not isinstance(state.runner, ColdRunner):
            raise Refused("no runs with cold caches")
        state.runner = state.runner.cold()
    return {"information": dict(state.runner.information)}, state.runner.outputs()


def _model(state: _State, message: Mapping[str, Any]) -> Reply:
    from bench.engines.model import prepare_model
    from bench.models import ModelRequest

    state.runner = None
    request = ModelRequest.from_dict(message["model"])
    try:
        state.runner = prepare_model(message["engine"], request, message["threads"])
    except NoKernel as error:
        raise Refused(str(error)) from error
    return {
        "version": state.runner.information.get("version", ""),
        "information": dict(state.runner.information),
    }, state.runner.outputs()


def _run(state: _State, message: Mapping[str, Any]) -> Reply:
    if state.runner is None:
        raise CaseError("run: expected a prepared problem first")
    if message.get("warm"):
        state.runner.run(message["warm"])
    waited, before = waited_seconds(), time.process_time()
    seconds = state.runner.run(message["iterations"])
    cpu_seconds, after = time.process_time() - before, waited_seconds()
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "waited_seconds": None if waited is None or after is None else after - waited,
    }, ()


def _memory(state: _State, message: Mapping[str, Any]) -> Reply:
    return {"peak_bytes": peak_bytes()}, ()


def peak_bytes() -> int:
    """Return the most memory that this process has held at once.

    Where the kernel tells it by program (Linux), that: what `getrusage` says
    there counts the process that started this one too.
    """
    try:
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


_ACTIONS: Mapping[str, Callable[[_State, Mapping[str, Any]], Reply]] = {
    "open": _open,
    "prepare": _prepare,
    "model": _model,
    "run": _run,
    "memory": _memory,
}


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer messages until the stream ends."""
    state = _State()
    while True:
        try:
            message, _ = receive(source)
        except EOFError:
            return
        try:
            reply, arrays = _ACTIONS[message["do"]](state, message)
        except (DispatchError, MemoryError) as error:
            known = isinstance(error, BenchError)
            kind = type(error).__name__ if known else "WorkerFailed"
            send(target, {"error": kind, "message": str(error) or type(error).__name__})
        else:
            send(target, reply, arrays)


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, target)


if __name__ == "__main__":
    main()
