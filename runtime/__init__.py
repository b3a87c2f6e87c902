"""Record operator calls once, plan them for a device, replay them without Python.

>>> import runtime
>>> t = runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), x)
>>> replay = t.compile()
>>> y = replay(x)
>>> print(replay.explain())
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from runtime.errors import ArtifactError, ModelError, PlanError, TraceError
from runtime.passes.pipeline import prepare
from runtime.replay import CacheInfo, Replay
from runtime.trace import Trace, trace
from runtime.tracer import shape_of

__all__ = [
    "ArtifactError",
    "CacheInfo",
    "ModelError",
    "PlanError",
    "Replay",
    "Trace",
    "TraceError",
    "from_onnx",
    "load",
    "shape_of",
    "trace",
]


def load(path: str | os.PathLike[str]) -> Trace:
    """Read a trace that `Trace.save` wrote.

    Parameters
    ----------
    path
        The file. It is mapped, so it must not be changed while the trace is in use.

    Raises
    ------
    ArtifactError
        If the file is damaged, of another format, or of another version.
    FileNotFoundError
        If it isn't there.
    """
    from runtime.artifact import load as load_file

    return load_file(path)


def from_onnx(
    model: str | os.PathLike[str] | bytes | Any,
    *,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    examples: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Trace:
    """Record an ONNX model, and fold into its constants what doesn't depend on its inputs.

    Parameters
    ----------
    model
        A path, a file's content as bytes, or an ``onnx.ModelProto``. Tensors
        may lie in other files within the folder of a path.
    shapes
        Input → extents in place of the model's own: a number fixes a dynamic
        extent.
    examples
        Input → a shape that the model works with; dynamic extents stay
        dynamic. Default: common ones are tried.
    constants
        Input → value that never changes; it is no input of the trace.

    Returns
    -------
    Trace
        Its replay takes the model's inputs in order or by name, and returns a
        tuple of its outputs.

    Raises
    ------
    ModelError
        If the model is damaged, can't be run with the shapes given, or holds
        operators that aren't served: all of them are named at once.
    OSError
        If the file can't be read.

    Examples
    --------
    >>> replay = runtime.from_onnx("model.onnx").compile()
    >>> (y,) = replay(x)
    """
    from runtime.onnx import from_onnx as import_model

    trace = import_model(model, shapes=shapes, examples=examples, constants=constants)
    # The model's own weights are freed with the graph that they were read into.
    return Trace(prepare(trace.graph), trace.structure)
