"""An engine's process of the demonstration: ``python -m bench.demo.worker``.

It is told what to load, then how often to run; in between it sleeps in a read.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from typing import IO, Any

import numpy as np

import runtime
from bench.demo.eager import eager_function
from bench.engines.base import FunctionRunner, Runner
from bench.engines.peer_onnxruntime import model_runner
from bench.protocol import receive, send
from dispatch.context import using
from dispatch.errors import DispatchError

__all__ = ["EAGER", "PEER", "main", "serve"]

EAGER, PEER = "eager", "onnxruntime"


def load(message: Mapping[str, Any]) -> Runner:
    """Make an engine ready: the model's file, its input and the number of threads are given."""
    x = np.load(message["input"])
    if message["engine"] == PEER:
        return model_runner(message["model"], {message["name"]: x}, message["threads"])
    graph = runtime.load(message["trace"]).graph
    with using(threads=message["threads"]):
        run = eager_function(graph, {graph.inputs[0].name: x})
        run()
    return FunctionRunner(run, list, {"calls": len(graph.nodes)})


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Answer messages until the stream ends."""
    runner: Runner | None = None
    while True:
        try:
            message, _ = receive(source)
        except EOFError:
            return
        try:
            if message["do"] == "load":
                runner = load(message)
                with using(threads=message["threads"]):
                    send(target, {"information": dict(runner.information)}, runner.outputs())
                continue
            assert runner is not None
            with using(threads=message["threads"]):
                runner.run(message["warm"])
                before = time.process_time()
                seconds = runner.run(message["iterations"])
            send(target, {"seconds": seconds, "cpu_seconds": time.process_time() - before})
        except DispatchError as error:
            send(target, {"error": "WorkerFailed", "message": str(error)})


def main() -> None:
    """Serve on standard input and output; what libraries print goes to standard error."""
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, target)


if __name__ == "__main__":
    main()
