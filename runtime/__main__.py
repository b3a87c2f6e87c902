"""The command line: ``python -m runtime operators | import | inspect | run | tune | quantize``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from zipfile import BadZipFile

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

import runtime
from dispatch.contract import Memory, Queue
from dispatch.devices import located
from dispatch.dtypes import numpy_dtype
from dispatch.errors import DispatchError, InvalidArgument
from dispatch.memory import memory_of_device, to_device, to_host
from dispatch.operator import Array
from dispatch.quantized import DeviceQuantizedArray, QuantizedArray
from dispatch.text import print_table
from runtime.graph import GraphInput
from runtime.kernels_file import export_candidates, take_times
from runtime.onnx.coverage import coverage
from runtime.replay import Replay
from runtime.trace import Trace

app = typer.Typer(
    help="Import, look at, run, tune and quantise traces.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Threads = Annotated[int | None, typer.Option(help="Number of threads; default: all.")]
Device = Annotated[
    str, typer.Option(help="A device of `python -m dispatch devices`; opencl:1 is one of several.")
]


@app.command(epilog="Example: python -m runtime operators --missing")
def operators(
    missing: Annotated[
        bool, typer.Option("--missing", help="Only those that can't be imported.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List the ONNX operators that a model to be imported may hold, and how each is served."""
    listed = [entry for entry in coverage() if not (missing and entry.imported)]
    if as_json:
        print(json.dumps([asdict(entry) for entry in listed], indent=2))
        return
    print_table(
        ("operator", "domain", "since", "imported", "how"),
        [
            (e.operator, e.domain, str(e.since or ""), "yes" if e.imported else "no", e.how)
            for e in listed
        ],
    )


@app.command(
    name="import",
    epilog="Example: python -m runtime import model.onnx -o model.safetensors --plan",
)
def import_model(
    model: Annotated[Path, typer.Argument(help="The ONNX file.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The trace's file.")],
    plan: Annotated[
        bool, typer.Option("--plan", help="Plan for a device too, to run without Python.")
    ] = False,
    device: Device = "cpu",
    threads: Threads = None,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Plan by measured times, where there are all.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Turn an ONNX model into a trace's file.

    A plan for a device with memory of its own comes with a second file beside it, of the ending
    .kernels: the device's programs, which its pack needs to run the plan without Python.
    """
    with _working("Importing"):
        trace = runtime.from_onnx(model)
    plans: dict[str, Replay] = {}
    kernels = None
    if plan:
        with _working("Planning"):
            plans[device] = trace.compile(device, threads=threads, tuned=tuned)
        if memory_of_device(located(device)[0]) is not None:
            kernels = output.with_suffix(".kernels")
    with _working("Saving"):
        trace.save(output, plans, kernels=kernels)
    if as_json:
        print(json.dumps({"file": str(output), "bytes": output.stat().st_size, **_facts(trace)}))
    else:
        print(f"{output}: {output.stat().st_size} bytes\n{trace}")


TUNE_EXAMPLES = """
[bold]Examples[/bold]

python -m runtime tune model.safetensors

python -m runtime tune model.safetensors --device opencl --candidates candidates.kernels

python -m runtime tune model.safetensors --device opencl --times times.json
"""


@app.command(epilog=TUNE_EXAMPLES)
def tune(
    file: Annotated[Path, typer.Argument(help="The trace's file.")],
    device: Device = "cpu",
    threads: Threads = None,
    seconds: Annotated[float, typer.Option(help="Bound on the time for all.", min=0.0)] = 300.0,
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="Measure nothing; write the kernels to this file, to be timed elsewhere."
        ),
    ] = None,
    times: Annotated[
        Path | None, typer.Option(help="Measure nothing; keep what the timing elsewhere printed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure what planning a trace chooses among; plans made with --tuned go by it."""
    if candidates is not None and times is not None:
        raise InvalidArgument("--candidates and --times: expected one of them, got both")
    trace = runtime.load(file)
    with _working("Planning"):
        replay = trace.compile(device, threads=threads)
    if candidates is not None:
        candidates.write_bytes(export_candidates(replay))
        report = {"file": str(candidates), "kernels": len(replay.candidates())}
        text = f"{candidates}: {report['kernels']} kernels to be timed"
    elif times is not None:
        taken, all_of_them = take_times(replay, times.read_text()), len(replay.candidates())
        report = {"timed": taken, "kernels": all_of_them}
        text = f"{taken} of {all_of_them} kernels are timed"
    else:
        found = replay.tune(seconds=seconds)
        report, text = found.to_dict(), str(found)
    print(json.dumps(report, indent=2) if as_json else text)


@app.command(epilog="Example: python -m runtime inspect model.safetensors --kernels")
def inspect(
    file: Annotated[Path, typer.Argument(help="The trace's file.")],
    kernels: Annotated[
        bool, typer.Option("--kernels", help="Plan it for a device and show every kernel.")
    ] = False,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Show a trace: inputs, outputs, operators, constants; with --kernels what would run it."""
    trace = runtime.load(file)
    if not kernels:
        print(json.dumps(trace.to_dict(), indent=2) if as_json else trace)
        return
    with _working("Planning"):
        explanation = trace.compile(device, threads=threads).explain()
    if as_json:
        print(json.dumps(explanation.to_dict(), indent=2))
    else:
        print_table(*explanation.table())
        for name, why in explanation.unavailable.items():
            print(f"{name}: unavailable: {why}")


@app.command(
    epilog="Example: python -m runtime run model.safetensors --input x=picture.npy -o out.npz"
)
def run(
    file: Annotated[Path, typer.Argument(help="The trace's file.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", help="NAME=FILE.npy; inputs without one are random."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the outputs to this .npz file.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="How many runs to time.", min=1)] = 10,
    profile: Annotated[bool, typer.Option("--profile", help="Show each step's time.")] = False,
    device: Device = "cpu",
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Plan a trace for a device, run it and show its outputs and times."""
    trace = runtime.load(file)
    arrays: dict[str, Any] = _arrays(trace, inputs or [])
    with _working("Planning"):
        replay = trace.compile(device, threads=threads)
        clock = _clock(device)
        if clock is not None:
            arrays = {name: to_device(x, *clock) for name, x in arrays.items()}
        given = {i.name: _meant(arrays[i.name], i) for i in trace.graph.inputs}
        results = replay(**given)
    seconds = _seconds(replay, given, repeats, clock)
    # Of quantised values the integers.
    named = {
        name: y.array if isinstance(y, QuantizedArray) else y
        for name, y in _named(trace, results).items()
    }
    if clock is not None:
        named = {name: to_host(y, clock[0]) for name, y in named.items()}
    if output is not None:
        np.savez(output, **{name: _savable(y) for name, y in named.items()})  # type: ignore[arg-type]
    report = replay.profile(**given, repeats=repeats) if profile else None
    if as_json:
        data: dict[str, Any] = {
            "seconds": seconds,
            "outputs": {n: {"dtype": str(y.dtype), "shape": y.shape} for n, y in named.items()},
        }
        if report is not None:
            data["profile"] = report.to_dict()
        print(json.dumps(data, indent=2))
        return
    print_table(
        ("output", "dtype", "shape", "least", "most"),
        [
            (name, str(y.dtype), str(y.shape), _number(y, np.min), _number(y, np.max))
            for name, y in named.items()
        ],
    )
    if report is not None:
        print_table(*report.table())
    print(f"{np.median(seconds) * 1e3:.3f} ms (median of {repeats})")


@app.command(
    epilog="Example: python -m runtime quantize model.safetensors *.npy -o small.safetensors"
)
def quantize(
    file: Annotated[Path, typer.Argument(help="The trace's file, in float32.")],
    samples: Annotated[
        list[Path],
        typer.Argument(
            help="What it will be given: a .npy file a sample, or a .npz file of inputs by name."
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The quantised trace's file.")],
    method: Annotated[
        str, typer.Option(help="How ranges are chosen: minmax, percentile or entropy.")
    ] = "minmax",
    percentile: Annotated[
        float, typer.Option(help="Percent of the values within the range, for percentile.")
    ] = 99.99,
    dtype: Annotated[str, typer.Option(help="Of the values: uint8 or int8.")] = "uint8",
    exclude: Annotated[
        list[str] | None,
        typer.Option(help="An operator, or a node's label, that stays in float32."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Show what each operator loses, the worst first.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Make 8-bit integers of a trace, by samples of what it will be given."""
    trace = runtime.load(file)
    with _counting("Calibrating", len(samples)) as advance:
        made = runtime.quantize(
            trace,
            map(_sample, samples),
            method=method,  # type: ignore[arg-type]  # checked there
            percentile=percentile,
            dtype=dtype,
            exclude=exclude or (),
            progress=advance,
        )
    noise = None
    if report:
        with _counting("Comparing", len(samples)) as advance:
            noise = runtime.measure_noise(trace, made, map(_sample, samples), progress=advance)
    made.save(output)
    if as_json:
        data = {"file": str(output), "bytes": output.stat().st_size, **_facts(made)}
        print(json.dumps(data if noise is None else {**data, **noise.to_dict()}))
        return
    if noise is not None:
        print_table(*noise.table())
    print(f"{output}: {output.stat().st_size} bytes, {file.stat().st_size} before")


def _clock(device: str) -> tuple[Memory, Queue] | None:
    """Return a device's own memory and a queue there, None if it works in the host's."""
    name, number = located(device)
    memory = memory_of_device(name)
    return None if memory is None else (memory, memory.open_queue(number or 0))


def _seconds(
    replay: Replay, arrays: dict[str, Any], repeats: int, clock: tuple[Memory, Queue] | None
) -> list[float]:
    """Return the times of calls; on a device with memory of its own those of bound runs there."""
    if clock is not None:
        memory, queue = clock
        bound = replay.bind(**arrays)
        return [memory.seconds(queue, bound) for _ in range(repeats)]
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        replay(**arrays)
        seconds.append(time.perf_counter() - begin)
    return seconds


def _sample(path: Path) -> Any:
    """Read a sample: an array, or several by name."""
    try:
        held = np.load(path, allow_pickle=False)
        return held if isinstance(held, np.ndarray) else {n: held[n] for n in held.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise InvalidArgument(f"samples: {path}: {error}") from error


@contextmanager
def _counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how many samples are done."""
    with Progress(
        *Progress.get_default_columns(), console=Console(stderr=True), transient=True
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.update(task, completed=done)


def _facts(trace: Trace) -> dict[str, Any]:
    return {k: v for k, v in trace.to_dict().items() if k != "nodes"}


def _number(array: Array, reduce: Any) -> str:
    return f"{float(reduce(array)):.6g}" if array.size else "-"


def _savable(array: Array) -> Array:
    """Return what a .npz file can hold: bfloat16 becomes float32."""
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _named(trace: Trace, results: Any) -> Mapping[str, Array]:
    if trace.structure == "dict":
        return dict(results)
    values = (results,) if trace.structure == "single" else results
    return dict(zip((name for name, _ in trace.graph.outputs), values, strict=True))


def _arrays(trace: Trace, given: list[str]) -> dict[str, Array]:
    """Read the inputs' files; draw the others of the example's shape."""
    files: dict[str, str] = {}
    for entry in given:
        name, equals, path = entry.partition("=")
        if not equals:
            raise InvalidArgument(f"--input: expected NAME=FILE.npy, got {entry!r}")
        files[name] = path
    unknown = set(files) - {i.name for i in trace.graph.inputs}
    if unknown:
        names = ", ".join(i.name for i in trace.graph.inputs)
        raise InvalidArgument(f"--input: expected names of {names}, got {', '.join(unknown)}")
    return {
        i.name: _read(files[i.name]) if i.name in files else _random(i) for i in trace.graph.inputs
    }


def _read(path: str) -> Array:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InvalidArgument(f"--input: {path}: {error}") from error
    if not isinstance(array, np.ndarray):
        raise InvalidArgument(f"--input: {path}: expected a .npy file with one array")
    return array


def _random(i: GraphInput) -> Array:
    rng = np.random.default_rng(0)
    if i.quantization is not None:
        limits = np.iinfo(i.dtype)
        return rng.integers(limits.min, limits.max, i.example, i.dtype, endpoint=True)
    return np.asarray(rng.random(i.example)).astype(numpy_dtype(i.dtype))


def _meant(array: Any, i: GraphInput) -> Any:
    """Return a quantised input's integers as what they stand for."""
    if i.quantization is None:
        return array
    kind = QuantizedArray if isinstance(array, np.ndarray) else DeviceQuantizedArray
    return kind(array, i.quantization)


@contextmanager
def _working(what: str) -> Iterator[None]:
    """Show on a terminal that something takes its time."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"{what} ..."):
        yield


def main() -> None:
    """Run the command line; exits with 2 on an error that has a message."""
    try:
        app(prog_name="python -m runtime")
    except (DispatchError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
