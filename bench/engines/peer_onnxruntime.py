"""ONNX Runtime: a session of one operator, or of a whole model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.engines.base import FunctionRunner, Runner, require
from bench.errors import Refused
from bench.onnx_model import live_inputs, model_of
from dispatch.operator import Array
from dispatch.problem import Problem

__all__ = ["engine", "model_runner"]


class OnnxRuntimeEngine:
    """ONNX Runtime on the CPU.

    Parameters
    ----------
    threads
        Of its own pool.
    """

    def __init__(self, threads: int) -> None:
        self._runtime = require("onnxruntime", "peers")
        self._threads = threads
        self.version = f"onnxruntime {self._runtime.__version__}"

    def prepare(self, problem: Problem, arrays: Sequence[Array | None]) -> Runner:
        """Make a session; inputs and outputs are bound once."""
        feeds = {f"x{i}": a for i in live_inputs(problem) if (a := arrays[i]) is not None}
        return bound(self.session(model_of(problem, arrays)), feeds, {"kernel": self.version})

    def session(self, model: bytes | str) -> Any:
        """Return a session with all optimisations.

        Raises
        ------
        Refused
            If ONNX Runtime can't make one.
        """
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            return self._runtime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class of their own
            raise Refused(f"onnxruntime: {error}") from error


def bound(session: Any, feeds: Mapping[str, Array], information: Mapping[str, Any]) -> Runner:
    """Return a runner of a session whose inputs and outputs lie in memory of its own.

    A model that gives other ranks than it declares can't have its outputs bound.
    """
    names = [output.name for output in session.get_outputs()]
    results = session.run(names, dict(feeds))
    if any(
        o.shape and len(o.shape) != r.ndim
        for o, r in zip(session.get_outputs(), results, strict=True)
    ):
        return FunctionRunner(lambda: session.run(names, dict(feeds)), list, information, feeds)
    binding = session.io_binding()
    for name, array in feeds.items():
        binding.bind_cpu_input(name, array)
    for output in session.get_outputs():
        binding.bind_output(output.name)
    return FunctionRunner(
        lambda: session.run_with_iobinding(binding),
        lambda _: list(binding.copy_outputs_to_cpu()),
        information,
        feeds,
    )


def engine(threads: int) -> OnnxRuntimeEngine:
    """Return the engine."""
    return OnnxRuntimeEngine(threads)


def model_runner(path: str, feeds: Mapping[str, Array], threads: int) -> Runner:
    """Return a runner of a whole model."""
    made = engine(threads)
    return bound(made.session(path), feeds, {"kernel": made.version, "version": made.version})
