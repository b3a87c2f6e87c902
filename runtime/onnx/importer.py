"""The way in: a model becomes a trace."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dispatch.errors import DispatchError
from runtime.errors import ModelError
from runtime.graph import Extent, Graph
from runtime.onnx.call import Scope
from runtime.onnx.concrete import Concrete
from runtime.onnx.inputs import Declared, declared_inputs, example_shapes
from runtime.onnx.interpreter import DAMAGE, Interpreter
from runtime.onnx.load import load_model, opsets_of
from runtime.onnx.meaning import stored
from runtime.onnx.sequence import TensorSequence
from runtime.onnx.tensors import tensor_array
from runtime.onnx.unserved import check_served
from runtime.trace import Trace
from runtime.tracer import Recorder

__all__ = ["from_onnx"]


def from_onnx(
    model: str | os.PathLike[str] | bytes | Any,
    *,
    shapes: Mapping[str, Sequence[Extent]] | None = None,
    examples: Mapping[str, Sequence[int]] | None = None,
    constants: Mapping[str, Any] | None = None,
) -> Trace:
    """Record an ONNX model.

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
    proto, folder = load_model(model)
    try:
        return _imported(proto, folder, shapes or {}, examples or {}, constants or {})
    except ModelError:
        raise
    except (DispatchError, *DAMAGE) as error:
        raise ModelError(f"a damaged model: {str(error) or type(error).__name__}") from error


def _imported(
    proto: Any,
    folder: Path | None,
    shapes: Mapping[str, Sequence[Extent]],
    examples: Mapping[str, Sequence[int]],
    constants: Mapping[str, Any],
) -> Trace:
    """Record a model that was read; its parts may still be damaged."""
    opsets = opsets_of(proto.opset_import, "model")
    functions = {(f.domain, f.name): f for f in proto.functions}
    check_served(proto.graph, opsets, functions)
    held = _weights(proto.graph, folder)
    for name, value in constants.items():
        if name not in {i.name for i in proto.graph.input}:
            raise ModelError(f"constants: the model has no input {name!r}")
        held[name] = np.asarray(value)
    inputs = declared_inputs(proto.graph, held, shapes)
    first: ModelError | None = None
    for example in example_shapes(inputs, examples):
        try:
            graph = _record(proto.graph, inputs, example, held, Interpreter(opsets, functions))
        except ModelError as error:
            first = first or error
        else:
            return Trace(graph, "tuple")
    assert first is not None
    if any(isinstance(extent, str) for i in inputs for extent in i.shape):
        shown = ", ".join(f"{i.name}: {i.shape}" for i in inputs)
        raise ModelError(
            f"{first}; the model has dynamic extents ({shown}): examples={{…}} gives a shape that "
            f"it works with, shapes={{…}} fixes them"
        ) from first
    raise first


def _weights(graph: Any, folder: Path | None) -> dict[str, np.ndarray[Any, Any]]:
    """Return the model's constants by name."""
    if graph.sparse_initializer:
        names = [t.values.name for t in graph.sparse_initializer]
        raise ModelError(f"sparse initializers aren't served: {', '.join(names)}")
    held: dict[str, np.ndarray[Any, Any]] = {}
    for tensor in graph.initializer:
        if tensor.name in held:
            raise ModelError(f"initializer {tensor.name!r}: the model has it twice")
        held[tensor.name] = tensor_array(tensor, folder)
    return held


def _record(
    graph: Any,
    inputs: Sequence[Declared],
    example: Mapping[str, tuple[int, ...]],
    held: Mapping[str, np.ndarray[Any, Any]],
    interpreter: Interpreter,
) -> Graph:
    """Record the model with inputs of the shapes of `example`."""
    recorder = Recorder()
    dynamic = frozenset(i.name for i in inputs if any(isinstance(e, str) for e in i.shape))
    scope = Scope(recorder, dynamic)
    values: dict[str, Any] = {name: Concrete(array, recorder) for name, array in held.items()}
    for i in inputs:
        values[i.name] = recorder.input(i.name, i.dtype, i.shape, example[i.name])
    outputs = interpreter.graph(graph, values, scope)
    for name, value in outputs:
        if isinstance(value, TensorSequence):
            raise ModelError(f"outputs: expected tensors, got the sequence {name!r}")
    return recorder.graph([(name, stored(value)) for name, value in outputs])
