"""The demonstration's command line: ``python -m bench.demo``, or ``make demo``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

import runtime
from bench.demo.detection import Match, find_boxes, match_boxes, network_input
from bench.demo.geometry import Quad
from bench.demo.native import NativeReplay
from bench.demo.picture import Drawn, draw_boxes, draw_picture
from bench.demo.report import (
    choices,
    print_choices,
    print_lines,
    print_roads,
    print_steps,
)
from bench.demo.timing import Roads, time_roads
from bench.errors import MissingExtra
from bench.standard_models import packaged_model
from dispatch.context import active, using
from dispatch.errors import DispatchError
from dispatch.operator import Array
from runtime.report import Explanation

WRONG, ERROR = 1, 2

PLAN = "cpu"
LEAST_OVERLAP = 0.5
"""Of a box with the line of text that it was found for."""

EXAMPLES = """
[bold]Examples[/bold]

python -m bench.demo

python -m bench.demo --threads 1 --all

python -m bench.demo --output found.png --json
"""

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in the picture.

    Parameters
    ----------
    boxes
        From top to bottom.
    matches
        One for each line of text that was drawn.
    """

    boxes: list[Quad]
    matches: list[Match]

    @property
    def right(self) -> bool:
        """Every line of text has its box, and there is no other box."""
        fits = all(match.overlap >= LEAST_OVERLAP for match in self.matches)
        return fits and len(self.boxes) == len(self.matches)


@app.command(epilog=EXAMPLES)
def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where the picture with its boxes goes (PNG).")
    ] = Path("out/demo.png"),
    trace_file: Annotated[
        Path, typer.Option("--trace", help="Where the trace with its plan goes.")
    ] = Path("out/ppocr_det.safetensors"),
    threads: Annotated[
        int | None, typer.Option(help="Threads of each engine; default: all there are.", min=1)
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long to measure.", min=0.1)] = 6.0,
    every: Annotated[
        bool, typer.Option("--all", help="Show every step and every kernel that wasn't chosen.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Find the text in a drawn picture with PP-OCRv4, on every road: eager, replay, ONNX Runtime.

    The exit status is 1 where a line of text isn't found, or outputs differ.
    """
    console = Console(width=None if sys.stdout.isatty() else 120, quiet=as_json)
    with _step(console, "Drawing a picture with text"):
        drawn = draw_picture()
        x = network_input(drawn.pixels)
    with _step(console, "Importing PP-OCRv4 detection from ONNX"):
        model = packaged_model("ppocr_det")
        if model is None:
            raise MissingExtra("the model is missing: pip install --no-deps rapidocr-onnxruntime")
        trace = runtime.from_onnx(model, examples={"x": x.shape})
    with using(threads=threads):
        count = active().threads
    with _step(console, f"Planning {trace!r} for this CPU"):
        replay = trace.compile("cpu", threads=threads)
        (probability,) = replay(x)
        profile = replay.profile(x, repeats=5)
    if every:
        print_steps(console, profile)
    console.print()
    print_choices(console, choices(profile))
    console.print()
    for path in (output, trace_file):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _step(console, f"Saving the trace with its plan: {trace_file}"):
        trace.save(trace_file, {PLAN: replay})
    with _step(console, "Timing the three roads in turns"):
        roads = _timed(trace_file, model, x, count, seconds)
    print_roads(console, roads)
    console.print()
    with _step(console, f"Drawing the boxes: {output}"):
        boxes = find_boxes(roads.output[0, 0])
        found = Found(boxes, match_boxes(drawn.boxes, boxes))
        draw_boxes(drawn.pixels, boxes, output)
    print_lines(console, drawn.texts, found.matches)
    same = bool(np.abs(roads.output - probability).max() <= roads.allowed)
    _verdict(console, drawn, found, roads, same)
    if as_json:
        print(json.dumps(_facts(drawn, found, roads, profile, output, trace_file), indent=2))
    if not (found.right and roads.agree and same):
        raise typer.Exit(WRONG)


def _timed(trace: Path, model: Path, x: Array, threads: int, seconds: float) -> Roads:
    """Write the input where the engines' processes find it, and time them."""
    with TemporaryDirectory() as folder:
        data, array = Path(folder) / "x.raw", Path(folder) / "x.npy"
        x.tofile(data)
        np.save(array, x)
        native = NativeReplay(trace, PLAN, data, Path(folder) / "y.raw")
        load = {"trace": str(trace), "model": str(model), "input": str(array), "name": "x"}
        return time_roads(native, load, threads, seconds)


def _verdict(console: Console, drawn: Drawn, found: Found, roads: Roads, same: bool) -> None:
    least = min(match.overlap for match in found.matches)
    if found.right and roads.agree and same:
        console.print(
            f"\n[bold green]All {len(drawn.texts)} lines of text were found[/], no box too many, "
            f"overlap at least {least:.2f}; all engines agree."
        )
        return
    console.print(
        f"\n[bold red]Not right:[/] {len(drawn.texts)} lines were drawn, {len(found.boxes)} boxes "
        f"found, least overlap {least:.2f} (at least {LEAST_OVERLAP}); outputs "
        f"{'agree' if roads.agree and same else 'differ'}."
    )


def _facts(
    drawn: Drawn,
    found: Found,
    roads: Roads,
    profile: Explanation,
    output: Path,
    trace: Path,
) -> dict[str, Any]:
    return {
        "right": found.right and roads.agree,
        "picture": str(output),
        "trace": str(trace),
        "lines": [
            {"text": text, "box": match.box, "overlap": match.overlap}
            for text, match in zip(drawn.texts, found.matches, strict=True)
        ],
        "boxes": [box.tolist() for box in found.boxes],
        "engines": [asdict(road) for road in roads.roads],
        "rounds": roads.rounds,
        "allowed_difference": roads.allowed,
        "kernels": [asdict(choice) for choice in choices(profile)],
        "plan": profile.to_dict(),
    }


@contextmanager
def _step(console: Console, what: str) -> Iterator[None]:
    """Say what is being done: a spinner on a terminal, a line elsewhere."""
    if console.is_terminal:
        with console.status(f"{what} …"):
            yield
        console.print(f"[green]✓[/] {what}", highlight=False)
    else:
        console.print(what, highlight=False)
        yield


def main() -> None:
    """Run; errors of the project's own are a line, not a traceback."""
    try:
        app()
    except (DispatchError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        sys.exit(ERROR)


if __name__ == "__main__":
    main()
