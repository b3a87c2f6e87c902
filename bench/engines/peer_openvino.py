"""OpenVINO: a compiled model of one operator, or a whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.engines.base import FunctionRunner, Runner, require
from bench.errors import Refused
from bench.onnx_model import live_inputs, model_of
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["engine", "model_runner"]


class OpenVinoEngine:
    """OpenVINO on the CPU, in the precision of the problem.

    Parameters
    ----------
    threads
        Of its own pool.
    """

    def __init__(self, threads: int) -> None:
        self._openvino = require("openvino", "peers")
        self._threads = threads
        self.version = f"openvino {self._openvino.__version__}"

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Compile the model; its request is reused."""
        feeds = {f"x{i}": a for i in live_inputs(problem) if (a := arrays[i]) is not None}
        reduced = problem.precision == "medium" or problem.dtype == "bfloat16"
        return self.runner(model_of(problem, arrays), feeds, "bf16" if reduced else "f32")

    def runner(
        self, model: bytes | str, feeds: Mapping[str, Array], precision: str = "f32"
    ) -> Runner:
        """Return a runner of a compiled model."""
        core = self._openvino.Core()
        try:
            read = core.read_model(model)
            read.reshape({name: list(array.shape) for name, array in feeds.items()})
            compiled = core.compile_model(
                read,
                "CPU",
                {
                    "INFERENCE_NUM_THREADS": self._threads,
                    "NUM_STREAMS": 1,
                    "INFERENCE_PRECISION_HINT": precision,
                },
            )
        except RuntimeError as error:
            raise Refused(f"openvino: {error}") from error
        request = compiled.create_infer_request()
        for name, array in feeds.items():
            request.set_tensor(name, self._openvino.Tensor(array, shared_memory=True))
        return FunctionRunner(
            request.infer,
            lambda _: [
                np.array(request.get_output_tensor(i).data) for i in range(len(compiled.outputs))
            ],
            {"kernel": self.version, "version": self.version, "precision": precision},
            feeds,
        )


def engine(threads: int) -> OpenVinoEngine:
    """Return the engine."""
    return OpenVinoEngine(threads)


def model_runner(path: str, feeds: Mapping[str, Array], threads: int) -> Runner:
    """Return a runner of a whole model."""
    runner: Any = engine(threads).runner(path, feeds)
    return runner  # type: ignore[no-any-return]
