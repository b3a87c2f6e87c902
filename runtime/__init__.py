"""Record operator calls once, plan them for a device, replay them without Python.

>>> import runtime
>>> t = runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), x)
>>> replay = t.compile()
>>> y = replay(x)
>>> print(replay.explain())
"""

from __future__ import annotations

import os
from typing import Any

from runtime.errors import ArtifactError, ModelError, PlanError, TraceError
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


def from_onnx(model: Any, **options: Any) -> Trace:
    """Read an ONNX model."""
    from runtime.onnx import from_onnx as import_model

    return import_model(model, **options)
