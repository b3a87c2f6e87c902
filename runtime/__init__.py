"""Record operator calls once, plan them for a device, replay them without Python.

>>> import runtime
>>> t = runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), x)
>>> replay = t.compile()
>>> y = replay(x)
>>> print(replay.explain())
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from runtime.errors import ArtifactError, ModelError, PlanError, TraceError
from runtime.passes.pipeline import prepare
from runtime.replay import CacheInfo, Replay
from runtime.trace import Trace, trace
from runtime.tracer import shape_of

if TYPE_CHECKING:
    from runtime.calibration.noise import NoiseReport
    from runtime.calibration.ranges import Method

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
    "measure_noise",
    "quantize",
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


def quantize(
    trace: Trace,
    samples: Iterable[Any],
    *,
    method: Method = "minmax",
    percentile: float = 99.99,
    dtype: str = "uint8",
    per_channel: bool = True,
    exclude: Collection[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Trace:
    """Make 8-bit integers of a trace in float32, by what samples show of its values.

    Convolutions and matrix products with constant weights, sums, averages,
    activations and what moves elements between them work on integers; the
    inputs and outputs stay float32.

    Parameters
    ----------
    trace
        In float32.
    samples : iterable
        What replays will be given, representative of it: an array for a trace of
        one input, a tuple of them, or a dictionary by name. They are taken one
        at a time.
    method
        How a value's range follows from what was seen: ``"minmax"`` all of it,
        ``"percentile"`` all but the rarest, ``"entropy"`` where the least is
        lost of the distribution.
    percentile
        How many percent of the values lie within the range, for that method.
    dtype
        Of the values: ``"uint8"`` or ``"int8"``. Weights are int8.
    per_channel
        Weights have a scale for each output channel, else one for all.
    exclude
        Operators, and labels of nodes, that stay in float32; `measure_noise`
        says which lose most.
    progress
        Called with the number of samples that are done.

    Returns
    -------
    Trace
        Of the same inputs and outputs.

    Raises
    ------
    InvalidArgument
        An argument that doesn't fit, or a sample: the message says which.
    TraceError
        If no operator of the trace has an integer form.

    Examples
    --------
    >>> small = runtime.quantize(trace, pictures, method="entropy")
    >>> print(runtime.measure_noise(trace, small, pictures[:10]))
    """
    from runtime.calibration.quantize import quantize as quantized

    return quantized(
        trace,
        samples,
        method=method,
        percentile=percentile,
        dtype=dtype,
        per_channel=per_channel,
        exclude=exclude,
        progress=progress,
    )


def measure_noise(
    trace: Trace,
    quantized: Trace,
    samples: Iterable[Any],
    *,
    progress: Callable[[int], None] | None = None,
) -> NoiseReport:
    """Say what each operator loses by quantisation.

    Parameters
    ----------
    trace
        In float32.
    quantized
        What `quantize` made of it, as it was returned.
    samples, progress
        As for `quantize`.

    Returns
    -------
    NoiseReport
        Signal-to-noise ratios in decibel, of each operator by itself and with
        all before it, from the one that loses most. Prints as a table;
        `NoiseReport.rows` and `NoiseReport.to_dict` are its data.

    Raises
    ------
    InvalidArgument
        A sample that doesn't fit.
    TraceError
        If the second trace wasn't made of the first.
    """
    from runtime.calibration.noise import measure_noise as measured

    return measured(trace, quantized, samples, progress=progress)
