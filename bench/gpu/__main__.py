"""Measure on a GPU, by worth and within fifteen minutes: ``python -m bench.gpu``.

Each part has a process and a limit of its own; what it measured until then is kept, in a JSON file
with the GPU's and all libraries' versions. Without a GPU every part is skipped, and says why.
"""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

import dispatch
from bench.gpu.parts import PARTS, Outcome, run_part, within
from bench.statistics import geometric_mean
from dispatch.registry import registry

app = typer.Typer(add_completion=False)
OURS = "dispatch"
PEERS = ("torch", "torch, fused", "torch, channels last", "torch, channels last, fused")
BEYOND, MEAN, WHOLE = 15e-6, 1.02, 1.0
PACKAGES = ("torch", "triton", "cupy-cuda13x", "numpy")


def information(device: str) -> dict[str, Any]:
    """Return what figures depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    packs = [p for p in registry().packs if device in p.devices and p.available]
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "device": device,
        "packs": {p.name: {"version": p.version, "libraries": p.library_version} for p in packs},
        "packages": found,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }


def bounds(parts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each bound that the figures say something of."""
    lines = []
    rows = _rows(parts, "operators")
    for way in dict.fromkeys(row["way"] for row in rows):
        ratios = [_to_best(row) for row in rows if row["way"] == way]
        mean = geometric_mean(ratios)
        lines.append(
            f"{way}: {len(ratios)} convolutions and products / PyTorch's best: geometric mean "
            f"{mean:.3f} (bound {MEAN}): {_verdict(mean <= MEAN)}"
        )
    wholes = (row for name in ("resnet50", "compiled") for row in _rows(parts, name))
    for row in wholes:
        if "torch.compile" in row.get("ratio_to", {}):
            ratio = row["ratio_to"]["torch.compile"]
            lines.append(
                f"ResNet-50, {row['case']}: replay / torch.compile {ratio:.3f} (bound {WHOLE}): "
                f"{_verdict(ratio <= WHOLE)}"
            )
        if "beyond" in row:
            lines.append(
                f"ResNet-50, {row['case']}: {row['beyond'] * 1e6:.1f} µs beyond the device's work "
                f"(bound {BEYOND * 1e6:.0f} µs): {_verdict(row['beyond'] <= BEYOND)}"
            )
    return lines


def _rows(parts: Mapping[str, Mapping[str, Any]], name: str) -> Sequence[Mapping[str, Any]]:
    """Return what was measured; cases that came to nothing are counted elsewhere."""
    return [row for row in parts.get(name, {}).get("rows", ()) if "error" not in row]


def _to_best(row: Mapping[str, Any]) -> float:
    seconds = row["seconds"]
    best: float = min(seconds[peer] for peer in PEERS if peer in seconds)
    return float(seconds[OURS]) / best


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "missed"


def write(path: Path, about: Mapping[str, Any], outcomes: Sequence[Outcome]) -> None:
    """Write what there is until now."""
    parts = {outcome.part.name: outcome.to_dict() for outcome in outcomes}
    path.parent.mkdir(parents=True, exist_ok=True)
    data = {**about, "bounds": bounds(parts), "parts": parts}
    path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


@app.command()
def main(
    device: Annotated[str, typer.Option(help="A device that records work.")] = "nvidia",
    parts: Annotated[
        str, typer.Option(help=f"Which, by worth: {', '.join(p.name for p in PARTS)}.")
    ] = ",".join(p.name for p in PARTS),
    folder: Annotated[Path, typer.Option(help="Where the results go.")] = Path("bench/results"),
    seconds: Annotated[float, typer.Option(help="Of all parts together.")] = sum(
        p.seconds for p in PARTS
    ),
) -> None:
    """Measure; exits with 1 if a part isn't complete."""
    names = parts.split(",")
    unknown = set(names) - {p.name for p in PARTS}
    if unknown:
        raise typer.BadParameter(f"no part {', '.join(sorted(unknown))}")
    chosen = [p for p in PARTS if p.name in names]
    here = next((d for d in dispatch.devices() if d.name == device), None)
    if here is None or not here.available:
        why = f"no device {device}" if here is None else here.missing
        for part in chosen:
            print(f"{part.name}: SKIPPED: {part.title}: {why}")
        return
    about = information(device)
    gpu = re.sub(r"\W+", "-", next(iter(about["packs"].values()))["libraries"].rpartition(", ")[2])
    path = folder / f"{about['date'][:10]}-{gpu.strip('-').lower()}.json"
    outcomes: list[Outcome] = []
    end = time.monotonic() + seconds

    def keep(outcome: Outcome) -> None:
        write(path, about, [*outcomes, outcome])

    for part in chosen:
        limited = within(part, end - time.monotonic())
        print(f"{part.name}: {part.title}, {limited.seconds:.0f} s at most", flush=True)
        outcomes.append(run_part(limited, device, keep=keep))
        write(path, about, outcomes)
        found = outcomes[-1]
        counts = f"{len(found.rows) - found.errors} rows, {found.errors} errors"
        print(f"{part.name}: {found.state}, {counts}", flush=True)
    print(*bounds({o.part.name: o.to_dict() for o in outcomes}), sep="\n")
    print(f"wrote {path}")
    if not all(outcome.is_complete for outcome in outcomes):
        raise typer.Exit(1)


if __name__ == "__main__":
    app()
