"""The command line: ``bench run | compare | plot | machine | shapes``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench.alternation import Clock, Schedule
from bench.case import shape_sets
from bench.compare import compare as compare_reports
from bench.compare import table_of_changes
from bench.emulation.suite import check_plan
from bench.engines.base import PEERS
from bench.errors import CaseError, WrongResult
from bench.machine import measured
from bench.models import MODELS
from bench.plan import Mode, Plan, Subject
from bench.quantized_models import FORMS
from bench.remote.run import run_on_host
from bench.report import print_report
from bench.results import SECONDS, Report, document, parse, read, to_json
from bench.run import carry_out
from dispatch.errors import DispatchError

WRONG, ERROR = 1, 2
STANDARD_OUTPUT = Path("-")

app = typer.Typer(
    help="Time packs' kernels, whole models and other frameworks side by side.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
console = Console(width=None if sys.stdout.isatty() else 200)

RUN_EXAMPLES = """
[bold]Examples[/bold]

bench run --op conv2d --shapes resnet50 --threads 1 --peers onnxruntime,torch --json out.json

bench run --op matmul --shapes transformer --packs portable --level avx2

bench run --op conv2d --shapes resnet50 --direct

bench run --op conv2d --shapes resnet50 --tuned

bench run --problem '{"operator":"relu",...}'   (the line that dispatch.explain prints)

bench run --model resnet50 --model model.onnx --peers onnxruntime --threads 1,2 --memory

bench run --overhead --peers torch

bench run --device arm --op conv2d --shapes resnet50 --cpu max   (not on Arm: by emulation)

bench run --device opencl:1 --op matmul --shapes transformer --cold   (the second device there)

bench run --host me@board --device arm --op conv2d --shapes resnet50   (there, natively)
"""


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def _threads(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(word) for word in _words(text))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise CaseError(f"threads: expected positive numbers with commas between, got {text!r}")
    return counts


def _environment(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    for text, (name, equals, _) in zip(texts, pairs, strict=True):
        if not name or not equals:
            raise CaseError(f"env: expected NAME=VALUE, got {text!r}")
    return {name: value for name, _, value in pairs}


def _shapes_of(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {}
    for text in texts:
        name, _, extents = text.partition("=")
        try:
            found[name] = tuple(int(e) for e in extents.split(","))
        except ValueError:
            raise CaseError(f"shape: expected x=1,3,224,224, got {text!r}") from None
    return found


def _complete_shapes(incomplete: str) -> list[str]:
    return [name for name in shape_sets() if name.startswith(incomplete)]


def _complete_models(incomplete: str) -> list[str]:
    return [name for name in MODELS if name.startswith(incomplete)]


@app.command(epilog=RUN_EXAMPLES)
def run(
    op: Annotated[str, typer.Option(help="The operator.")] = "conv2d",
    shapes: Annotated[
        str,
        typer.Option(
            help="A shape set (bench shapes lists them) or a .toml file.",
            autocompletion=_complete_shapes,
        ),
    ] = "resnet50",
    problem: Annotated[
        str | None, typer.Option(help="One problem as JSON, as dispatch.explain prints it.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                f"A whole model: an ONNX file or one of {', '.join(MODELS)}, alone or in 8 bits, "
                f"with {', '.join(f'-{form}' for form in FORMS)}. May be repeated."
            ),
            autocompletion=_complete_models,
        ),
    ] = None,
    shape: Annotated[
        list[str] | None, typer.Option(help="An input's shape for --model: x=1,3,640,640.")
    ] = None,
    overhead: Annotated[
        bool, typer.Option("--overhead", help="What a call costs beside its kernel.")
    ] = False,
    memory: Annotated[
        bool,
        typer.Option("--memory", help="Each engine's peak memory too; default model: resnet50."),
    ] = False,
    device: Annotated[
        str,
        typer.Option(
            help="The device; opencl:1 is the second of several. arm on another machine: "
            "instructions are counted by emulation."
        ),
    ] = "cpu",
    cold: Annotated[
        bool,
        typer.Option(
            "--cold", help="Other data in the caches before each run, on devices like opencl."
        ),
    ] = False,
    cpu: Annotated[
        str | None,
        typer.Option(
            help="The emulated CPU: cortex-a72, neoverse-n1 (default), max or another of QEMU's."
        ),
    ] = None,
    threads: Annotated[str, typer.Option(help="Numbers of threads, as 1,2.")] = "1",
    packs: Annotated[
        str | None,
        typer.Option(help="Packs to time, as portable; default: all here. Emulated: naive too."),
    ] = None,
    peers: Annotated[
        str | None, typer.Option(help=f"Other frameworks: {', '.join(PEERS)}.")
    ] = None,
    direct: Annotated[
        bool, typer.Option("--direct", help="Also the packs' libraries without the contract.")
    ] = False,
    tuned: Annotated[
        bool,
        typer.Option(
            "--tuned",
            help="Also by measured times: the fastest kernel of all packs, or a tuned replay; "
            "what there are no times of is measured first.",
        ),
    ] = False,
    mode: Annotated[
        Mode,
        typer.Option(help="kernel: prepared kernels alone; eager: whole calls; or both."),
    ] = Mode.KERNEL,
    dtype: Annotated[str, typer.Option(help="Of the inputs: f32, bf16 …")] = "f32",
    precision: Annotated[str, typer.Option(help="highest, high or medium.")] = "high",
    level: Annotated[
        str | None, typer.Option(help="Instruction-set level that packs of ours are held to.")
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE for the engines' processes. May be repeated."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Longest time for one case.")] = 2.0,
    rounds: Annotated[int, typer.Option(help="Fewest rounds.", min=2)] = 7,
    clock: Annotated[
        Clock,
        typer.Option(
            help="wall; cpu: CPU time; auto: wall, but CPU time where other processes "
            "disturb every round and there is one thread."
        ),
    ] = Clock.AUTO,
    base: Annotated[
        str | None, typer.Option(help="The engine that ratios are to; default: the first.")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(
            help="Run on this machine by ssh (user@board): the source is copied and built there."
        ),
    ] = None,
    host_command: Annotated[
        str | None, typer.Option(help="A bench that is on the host, in the place of a build.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results here; -: standard output.")
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the ratios: a .png or .svg file.")] = None,
) -> None:
    """Time operators, one problem, whole models, or the calls' overhead.

    Every engine runs in a process of its own; they take turns round by round.
    Results are checked before they are timed.
    """
    subject = Subject.MODELS if model or memory else Subject.OPERATORS
    plan = Plan(
        subject=Subject.OVERHEAD if overhead else subject,
        op=op,
        shapes=shapes,
        problem=problem,
        models=tuple(model or (["resnet50"] if memory else [])),
        model_shapes=_shapes_of(shape or ()),
        memory=memory,
        device=device,
        cold=cold,
        cpu=cpu,
        packs=_words(packs),
        peers=_words(peers),
        direct=direct,
        tuned=tuned,
        mode=mode,
        dtype=dtype,
        precision=precision,
        level=level,
        environment=_environment(env or ()),
        base=base,
        schedule=Schedule(seconds=seconds, least=rounds, clock=clock),
    )
    counts = _threads(threads)
    if host is None:
        if host_command is not None:
            raise CaseError(f"host-command: expected --host too, got {host_command!r} alone")
        reports = _run_here(plan, counts)
        whole = _merged(reports)
        data = document(whole) if json_file is not None else {}
    else:
        data = _run_there(plan, counts, host, host_command)
        whole = parse(data, f"host {host}")
        reports = [whole]
    shown = Console(stderr=True, width=console.width) if json_file == STANDARD_OUTPUT else console
    for report in reports:
        print_report(report, shown, base)
    if json_file == STANDARD_OUTPUT:
        print(to_json(data))
    elif json_file is not None:
        json_file.write_text(to_json(data), encoding="utf-8")
    if plot is not None:
        from bench.plot import draw

        draw(whole, plot, base)


def _run_here(plan: Plan, counts: Sequence[int]) -> list[Report]:
    check_plan(plan, counts)
    with _progress() as show:
        return [carry_out(plan, count, show) for count in counts]


def _run_there(plan: Plan, counts: Sequence[int], host: str, command: str | None) -> dict[str, Any]:
    if plan.cpu is not None:
        raise CaseError(f"cpu: nothing is emulated on a host, got {plan.cpu!r} for {host}")
    with _progress() as show:
        return run_on_host(plan, counts, host, command, show)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Show what is done, how much of it and for how long still: a bar, or lines in a log."""
    if not sys.stderr.isatty():
        yield lambda label, done, total: print(
            f"{done}/{total} {label}".rstrip(), file=sys.stderr, flush=True
        )
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task("", total=None)
        yield lambda label, done, total: bar.update(
            task, description=label[:40], completed=done, total=total
        )


def _merged(reports: Sequence[Report]) -> Report:
    """Return one report of several that differ in their number of threads."""
    first = reports[0]
    if len(reports) == 1:
        return first
    return Report(
        "; ".join(dict.fromkeys(r.title for r in reports)),
        {
            **first.settings,
            "threads": [r.settings["threads"] for r in reports],
            "findings": [f for r in reports for f in r.settings.get("findings", ())],
        },
        [m for r in reports for m in r.measurements],
        {key: reason for r in reports for key, reason in r.refusals.items()},
    )


@app.command(
    epilog="Example: bench compare before.json after.json --fail-above 0.05",
)
def compare(
    before: Annotated[Path, typer.Argument(help="A file that bench run --json wrote.")],
    after: Annotated[Path, typer.Argument(help="A later one.")],
    fail_above: Annotated[
        float | None,
        typer.Option(help="Exit with 1 on anything slower beyond noise by more: 0.05 is 5 %."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what didn't change too.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the comparison here.")
    ] = None,
) -> None:
    """Say what changed from one run to another beyond noise."""
    found = compare_reports(read(before), read(after))
    if not found.same_machine:
        console.print("The two were measured on different machines.", style="yellow")
    console.print(table_of_changes(found, everything))
    for word, names in (("only before", found.only_before), ("only after", found.only_after)):
        for name in names:
            console.print(f"{word}: {name}", style="dim", markup=False)
    failed = [] if fail_above is None else found.regressions(fail_above)
    if json_file is not None:
        _write_json(
            json_file,
            {
                "changes": [
                    {
                        "case": c.case,
                        "engine": c.engine,
                        "before": c.before,
                        "after": c.after,
                        "ratio": c.ratio.value,
                        "low": c.ratio.low,
                        "high": c.ratio.high,
                        "noise": c.noise,
                        "significant": c.significant,
                    }
                    for c in found.changes
                ],
                "only_before": found.only_before,
                "only_after": found.only_after,
                "failed": [f"{c.case} [{c.engine}]" for c in failed],
            },
        )
    if failed:
        word = "slower" if failed[0].unit == SECONDS else "more"
        console.print(f"{len(failed)} {word} than {fail_above:.0%} beyond noise", style="red")
        raise typer.Exit(WRONG)


@app.command(epilog="Example: bench plot out.json ratios.svg --base onnxruntime")
def plot(
    results: Annotated[Path, typer.Argument(help="A file that bench run --json wrote.")],
    picture: Annotated[Path, typer.Argument(help="A .png or .svg file.")],
    base: Annotated[str | None, typer.Option(help="The engine that ratios are to.")] = None,
    roofline: Annotated[
        bool, typer.Option("--roofline", help="Operations a second over operations a byte.")
    ] = False,
) -> None:
    """Draw a run's results: bars of ratios by case, or a roofline."""
    from bench.plot import draw

    draw(read(results), picture, base, roofline)
    console.print(f"wrote {picture}", markup=False)


@app.command(epilog="Example: bench machine --threads 2 --again")
def machine(
    threads: Annotated[int, typer.Option(help="Number of threads.", min=1)] = 1,
    again: Annotated[bool, typer.Option("--again", help="Measure anew; keeps the best.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the peaks here.")] = None,
) -> None:
    """Show this machine's measured limits; they are measured once and kept."""
    limits = measured(threads, again)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(f"machine {limits.machine}, {threads} threads")
    table.add_column("most", justify="right")
    for lanes, rate in limits.flops.items():
        table.add_row(f"float32, {lanes} lanes", f"{rate / 1e9:.1f} GFLOP/s")
    for size, rate in limits.bandwidth:
        table.add_row(f"reading {size >> 10} KiB", f"{rate / 1e9:.1f} GB/s")
    console.print(table)
    if json_file is not None:
        _write_json(
            json_file,
            {
                "machine": limits.machine,
                "threads": threads,
                "flops": limits.flops,
                "bandwidth": limits.bandwidth,
            },
        )


@app.command(epilog="Example: bench shapes")
def shapes(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the list here.")] = None,
) -> None:
    """List the shape sets, and the operators that each has layers of."""
    found = shape_sets()
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("set")
    table.add_column("operators")
    for name, names in found.items():
        table.add_row(name, ", ".join(names))
    console.print(table)
    if json_file is not None:
        _write_json(json_file, found)


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=1), encoding="utf-8")


def main() -> None:
    """Run the command line: 1 on a wrong result or a regression, 2 on another error."""
    try:
        app(prog_name="bench")
    except WrongResult as error:
        print(f"wrong result: {error}", file=sys.stderr)
        sys.exit(WRONG)
    except DispatchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(ERROR)


if __name__ == "__main__":
    main()
