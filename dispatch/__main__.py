"""The command line: ``python -m dispatch packs | devices | operators | explain | check | …``."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dispatch.arguments import make_problem
from dispatch.context import active, using
from dispatch.devices import Device
from dispatch.devices import devices as all_devices
from dispatch.errors import DispatchError, InvalidArgument
from dispatch.explain import Explanation
from dispatch.operators import functions, operators
from dispatch.registry import packs as all_packs
from dispatch.selection import select
from dispatch.text import parse_attribute, parse_tensor, print_table
from dispatch.tuning.command import app as tuned_app

app = typer.Typer(
    help="Which kernels serve which operators here, and why.",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="rich",
)
app.add_typer(tuned_app, name="tuned")
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@app.command(epilog="Example: python -m dispatch packs --json")
def packs(as_json: Json = False) -> None:
    """List the installed kernel packs: version, library, kernels, or why one can't be used."""
    if as_json:
        _print_json(
            [
                {
                    "name": p.name,
                    "available": p.available,
                    "reason": p.reason,
                    "version": p.version,
                    "library_version": p.library_version,
                    "devices": p.devices,
                    "fallback": p.fallback,
                    "origin": p.origin,
                    "kernels": [k.name for k in p.opened.kernels] if p.opened else [],
                }
                for p in all_packs()
            ]
        )
        return
    found = all_packs()
    print_table(
        ("pack", "devices", "kernels", "library", "origin"),
        [
            (
                p.name,
                ", ".join(p.devices),
                str(len(p.opened.kernels)) if p.opened else "-",
                p.library_version if p.available else "unavailable",
                p.origin,
            )
            for p in found
        ],
    )
    _print_reasons([p.reason for p in found if not p.available])


@app.command(epilog="Example: python -m dispatch devices")
def devices(as_json: Json = False) -> None:
    """List the devices, the packs that serve them, and what is missing."""
    found = all_devices()
    if as_json:
        _print_json(
            [
                {
                    "name": d.name,
                    "description": d.description,
                    "available": d.available,
                    "missing": d.missing,
                    "packs": d.packs,
                    "names": d.names,
                }
                for d in found
            ]
        )
        return
    print_table(
        ("device", "what", "packs", "here"),
        [row for d in found for row in _rows(d)],
    )
    _print_reasons([f"{d.name}: {d.missing}" for d in found if not d.available])


def _rows(device: Device) -> list[tuple[str, str, str, str]]:
    """Return a row for a device, and one for each of several of it."""
    packs = ", ".join(device.packs)
    first = (device.name, device.description, packs, "yes" if device.available else "no")
    return [first, *((f"{device.name}:{i}", n, packs, "yes") for i, n in enumerate(device.names))]


def _print_reasons(reasons: list[str]) -> None:
    """Print what is missing below a table, whose columns are too narrow for sentences."""
    if reasons:
        print()
    for reason in reasons:
        print(reason)


@app.command(name="operators", epilog="Example: python -m dispatch operators --json")
def list_operators(as_json: Json = False) -> None:
    """List the operators: dtypes, the ONNX operators they stand for, kernels here."""
    served: dict[str, list[str]] = {name: [] for name in operators()}
    for pack in all_packs():
        for operator, dtype in pack.kernels:
            served.setdefault(operator, []).append(f"{pack.name}.{dtype}")
    rows = [
        {
            "operator": o.name,
            "inputs": [i.name for i in o.inputs],
            "attributes": list(o.attributes),
            "dtypes": list(o.dtypes),
            "onnx": list(o.onnx),
            "kernels": sorted(served[o.name]),
        }
        for o in operators().values()
    ]
    if as_json:
        _print_json(rows)
        return
    print_table(
        ("operator", "ONNX", "attributes", "served by"),
        [
            (
                str(row["operator"]),
                ", ".join(row["onnx"]),
                ", ".join(row["attributes"]),
                ", ".join(sorted({k.partition(".")[0] for k in row["kernels"]})),
            )
            for row in rows
        ],
    )


@app.command(
    epilog="Example: python -m dispatch explain conv2d x=f32[1,64,56,56] w=f32[64,64,3,3]! pads=1"
)
def explain(
    operator: Annotated[str, typer.Argument(help="The operator's name.")],
    arguments: Annotated[
        list[str],
        typer.Argument(
            help="Tensors as name=f32[1,3,8,8] ('!': constant; u8[1,3,8,8]{0.05,128}: scale and "
            "zero point), attributes as name=1,1."
        ),
    ],
    device: Annotated[str | None, typer.Option(help="The device.")] = None,
    threads: Annotated[int | None, typer.Option(help="Number of threads.")] = None,
    precision: Annotated[str | None, typer.Option(help="highest, high or medium.")] = None,
    tuned: Annotated[
        bool, typer.Option("--tuned", help="Choose by measured times where there are some.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show which kernel a call would get, and what every other candidate says."""
    schema = operators().get(operator)
    if schema is None or operator not in functions():
        raise InvalidArgument(
            f"operator: expected one of {', '.join(functions())}, got {operator!r}"
        )
    given: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            raise InvalidArgument(f"arguments: expected name=value, got {argument!r}")
        given[name] = value
    specs: list[Any] = []
    for declared in schema.inputs:
        values = (
            given.pop(declared.name, "").split("+")
            if declared.variadic
            else [given.pop(declared.name, "")]
        )
        specs += [parse_tensor(v) if v else None for v in values]
    unknown = [name for name in given if name not in schema.attributes]
    if unknown:
        raise InvalidArgument(
            f"arguments: {operator} has inputs {', '.join(i.name for i in schema.inputs)} and "
            f"attributes {', '.join(schema.attributes) or '(none)'}, got {', '.join(unknown)}"
        )
    attributes = {name: parse_attribute(value) for name, value in given.items()}
    with using(device=device, threads=threads, precision=precision, tuned=tuned or None):  # type: ignore[arg-type]
        setting = active()
        problem = make_problem(schema, tuple(specs), attributes, (), setting)
        explanation = Explanation(select(problem, setting.settings))
    if as_json:
        _print_json(explanation.to_dict())
    else:
        print(explanation)


CHECK_EXAMPLES = """
[bold]Examples[/bold]

python -m dispatch check portable --operator conv2d --level avx2

python -m dispatch check --through "ssh board serve_pack" --library libacme.so --device arm

python -m dispatch check opencl --operator conv2d --export conv2d.kernels
"""


@app.command(epilog=CHECK_EXAMPLES)
def check(
    pack: Annotated[str | None, typer.Argument(help="The pack; default: all of them.")] = None,
    operator: Annotated[str | None, typer.Option(help="Only this operator's kernels.")] = None,
    kernel: Annotated[str | None, typer.Option(help="Only this kernel, by its full name.")] = None,
    cases: Annotated[int, typer.Option(help="Random cases beside the boundary cases.")] = 20,
    level: Annotated[str | None, typer.Option(help="Only this level of the pack.")] = None,
    through: Annotated[
        str | None,
        typer.Option(
            help="A command that starts serve_pack where the pack is: under an emulator, or on "
            "another machine, which needs no Python."
        ),
    ] = None,
    library: Annotated[
        str | None, typer.Option(help="With --through: the pack's shared library there.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="With --through: the device there.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help="With --through: an option of the pack there, NAME=VALUE."),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Check nothing; write the pack's kernels for all problems to this file, which its "
            "native side is checked with elsewhere."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold kernels to the float64 reference and the contract; exits with 1 if one fails."""
    from dispatch import conformance

    given = {"through": through, "library": library, "device": device}
    missing = [name for name, value in given.items() if value is None]
    if 0 < len(missing) < len(given):
        raise InvalidArgument(f"{missing[0]}: expected it too, with {', '.join(given)} together")
    if export is not None:
        if pack is None or any(each is not None for each in (through, kernel, level)):
            raise InvalidArgument(
                "export: expected a pack that is here, and no --through, --kernel or --level"
            )
        count = conformance.export(pack, export, operator=operator, cases=cases)
        report = {"file": str(export), "kernels": count}
        if as_json:
            _print_json(report)
        else:
            print(f"{export}: {count} kernels for problems")
        return
    remote = None
    if through is not None and library is not None and device is not None:
        if pack is not None:
            raise InvalidArgument(f"pack: expected none with --through, got {pack!r}")
        remote = conformance.Remote(
            tuple(shlex.split(through)), library, device, _options(option or [])
        )
    sys.exit(
        conformance.check(
            pack,
            operator=operator,
            kernel=kernel,
            cases=cases,
            as_json=as_json,
            level=level,
            remote=remote,
        )
    )


def _options(texts: list[str]) -> dict[str, str]:
    for text in texts:
        if "=" not in text:
            raise InvalidArgument(f"option: expected NAME=VALUE, got {text!r}")
    return dict(text.split("=", 1) for text in texts)


def _print_json(data: Any) -> None:
    print(json.dumps(data, indent=2))


def main() -> None:
    """Run the command line; exits with 2 on an error that has a message."""
    try:
        app(prog_name="python -m dispatch")
    except DispatchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
