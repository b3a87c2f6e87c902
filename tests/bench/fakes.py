"""Reports and packs made up for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.results import Measurement, Report


def rounds(median: float, spread: float, seed: int = 0, count: int = 21) -> tuple[float, ...]:
    """Times around a median; `spread` is about the relative distance between the quartiles."""
    rng = np.random.default_rng(seed)
    drawn = median * (1 + spread * rng.uniform(-1, 1, count))
    return tuple(float(v) for v in drawn)


def report(figures: Mapping[tuple[str, str], Sequence[float]], **settings: Any) -> Report:
    """A report of (case, engine) → times."""
    engines = list(dict.fromkeys(engine for _, engine in figures))
    measurements = [
        Measurement(case, engine, tuple(values), 1, {"label": case, "count": 1})
        for (case, engine), values in figures.items()
    ]
    return Report("made up", {"engines": engines, "machine": "m", **settings}, measurements)


PACK = """
from dispatch.answer import Yes


class Prepared:
    packed_bytes = (0,)

    def pack(self, index, value):
        raise AssertionError("packs nothing")

    def run(self, buffers, queue=None):
        source, target = buffers
        target.reshape(-1)[:] = source.reshape(-1).clip(min=0)
        target.reshape(-1)[{wrong}] += {error}


class Relu:
    name = "{name}.relu.numpy.f32"
    source = "made up"
    deterministic = True

    def query(self, problem):
        return Yes(1e-9, layouts=("nchw", "nchw"), packed_bytes=(0,))

    def prepare(self, problem, constants):
        return Prepared()


class Pack:
    name = "{name}"
    devices = ("cpu",)
    fallback = False
    version = library_version = "1"
    kernels = (Relu(),)

    def open(self, options=None):
        return self


pack = Pack()
"""


def install_pack(folder: Path, name: str, error: float) -> None:
    """Put a distribution into `folder` whose relu is off by `error` in one element."""
    (folder / f"{name}.py").write_text(PACK.format(name=name, wrong=37, error=error))
    facts = folder / f"{name}-1.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    (facts / "entry_points.txt").write_text(f"[dispatch.packs]\n{name} = {name}:pack\n")
