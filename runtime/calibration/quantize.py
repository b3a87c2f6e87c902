"""From a trace in floating point and samples to one in 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from dispatch.errors import DispatchError, InvalidArgument
from dispatch.operator import Array
from dispatch.operators import operators
from dispatch.quantization import STORED
from runtime.calibration.insertion import insert, select
from runtime.calibration.ranges import METHODS, Histogram, Method, chosen_range, parameters
from runtime.errors import TraceError
from runtime.graph import SHAPE, Graph, Node
from runtime.passes.pipeline import prepare
from runtime.specialise import specialise
from runtime.trace import Trace

__all__ = ["Progress", "observe", "quantize"]

Progress = Callable[[int], None]
"""Called with the number of samples that are done."""


def quantize(
    trace: Trace,
    samples: Iterable[Any],
    *,
    method: Method = "minmax",
    percentile: float = 99.99,
    dtype: str = "uint8",
    per_channel: bool = True,
    exclude: Collection[str] = (),
    progress: Progress | None = None,
) -> Trace:
    """See `runtime.quantize`."""
    _check(method, percentile, dtype, exclude, trace)
    graph = prepare(trace.graph)
    if graph.quantizations or any(operators()[n.operator].quantized for n in _calls(graph)):
        raise TraceError("quantize: expected a trace in float32, got one with quantised values")
    specs = specialise(graph, {i.name: i.example for i in graph.inputs}).specs
    selection = select(graph, specs, exclude)
    if not selection.nodes:
        raise TraceError("quantize: no operator of the trace has an integer form")
    histograms = _calibrated(graph, selection.values, samples, progress)
    joined: dict[str, Histogram] = {}
    for value, histogram in histograms.items():
        root = selection.alike[value]
        joined[root] = histogram if root not in joined else joined[root].join(histogram)
    meanings = {}
    for value in selection.values:
        low, high = chosen_range(joined[selection.alike[value]], method, percentile)
        meanings[value] = {**parameters(low, high, dtype), "dtype": dtype}
    made = insert(graph, selection, meanings, per_channel=per_channel)
    return Trace(made, trace.structure)


def _calls(graph: Graph) -> list[Node]:
    """Return the nodes that are operators' calls."""
    return [node for node in graph.nodes if node.operator != SHAPE]


def _check(
    method: str, percentile: float, dtype: str, exclude: Collection[str], trace: Trace
) -> None:
    if method not in METHODS:
        raise InvalidArgument(f"method: expected one of {', '.join(METHODS)}, got {method!r}")
    if not 50.0 < percentile <= 100.0:
        raise InvalidArgument(f"percentile: expected above 50 and at most 100, got {percentile}")
    if dtype not in STORED:
        raise InvalidArgument(f"dtype: expected one of {', '.join(STORED)}, got {dtype!r}")
    if isinstance(exclude, str):
        raise InvalidArgument(f"exclude: expected several names, got one string {exclude!r}")
    labels = {node.label for node in trace.graph.nodes}
    unknown = [name for name in exclude if name not in labels and name not in operators()]
    if unknown:
        raise InvalidArgument(
            f"exclude: expected names of operators or labels of the trace's nodes, "
            f"got {', '.join(map(repr, unknown))}"
        )


def _calibrated(
    graph: Graph, values: tuple[str, ...], samples: Iterable[Any], progress: Progress | None
) -> Mapping[str, Histogram]:
    """Run the samples and count what each value is."""
    histograms = {value: Histogram() for value in values}
    count = 0
    for count, seen in enumerate(observe(graph, values, samples), 1):
        for value, array in seen.items():
            try:
                histograms[value].add(array)
            except InvalidArgument as error:
                raise InvalidArgument(f"samples: sample {count - 1}: {value}: {error}") from error
        if progress is not None:
            progress(count)
    if not count:
        raise InvalidArgument("samples: expected at least one, got none")
    return histograms


def observe(
    graph: Graph, values: tuple[str, ...], samples: Iterable[Any]
) -> Iterator[Mapping[str, Array]]:
    """Give the values of a graph for each sample.

    Parameters
    ----------
    samples
        An array where the graph has one input, a tuple of them or a dictionary by name.

    Raises
    ------
    InvalidArgument
        A sample that doesn't fit; says which.
    """
    outputs = tuple((f"{number}", value) for number, value in enumerate(values))
    replay = Trace(replace(graph, outputs=outputs), "tuple").compile()
    for number, sample in enumerate(samples):
        try:
            if isinstance(sample, Mapping):
                results = replay(**sample)
            else:
                results = replay(*(sample if isinstance(sample, (tuple, list)) else (sample,)))
        except DispatchError as error:
            raise InvalidArgument(f"samples: sample {number}: {error}") from error
        yield dict(zip(values, results, strict=True))
