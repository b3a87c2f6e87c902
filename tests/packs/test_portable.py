"""The portable pack's levels, and kernels whose shapes want more cases than the kit's test has."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dispatch
from dispatch.conformance.checks import KernelReport, check_case
from dispatch.conformance.packs import Skipped, Target, check_pack
from dispatch.conformance.problems import ask
from dispatch.device_names import CPU
from dispatch.devices import resolve
from dispatch.errors import PackUnavailable
from dispatch.operator import Case, Sample
from dispatch.operators import operators
from kernels.portable import pack
from tests.conformance.failures import failures_of
from tests.packs.portable_levels import opened

CONVOLUTIONS = 160


@pytest.mark.parametrize("level", pack.levels)
def test_every_level_lists_the_same_kernels(level: str) -> None:
    generic = [kernel.name for kernel in opened("generic").kernels]
    found = opened(level)
    assert [kernel.name for kernel in found.kernels] == generic
    assert len(set(generic)) == len(generic)
    assert found.library_version.endswith(f"level {level}")


def test_an_unknown_level_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(PackUnavailable, match=r"unknown level 'mmx'") as caught:
        pack.open({"level": "mmx"})
    assert all(level in str(caught.value) for level in pack.levels)


def test_the_best_level_that_the_processor_has_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPATCH_PORTABLE_LEVEL", raising=False)
    chosen = pack.open().library_version.rpartition(" ")[2]
    for better in pack.levels[pack.levels.index(chosen) + 1 :]:
        with pytest.raises(PackUnavailable, match="needs the CPU feature"):
            pack.open({"level": better})


@pytest.mark.parametrize(
    "kernel", ["depthwise", "depthwise_rows", "depthwise_direct", "depthwise_turned", "direct"]
)
@pytest.mark.parametrize("level", pack.levels)
def test_convolutions_are_right_for_any_width(level: str, kernel: str) -> None:
    name = f"portable.conv2d.{kernel}.f32"
    summary = check_pack(Target("portable", level), "conv2d", name, CONVOLUTIONS)
    if isinstance(summary, Skipped):
        pytest.skip(summary.reason)
    assert not failures_of(summary)
    assert [report.kernel for report in summary.kernels] == [name]
    assert summary.kernels[0].runs >= 60


@pytest.mark.parametrize(
    "program",
    [
        "portable_between_guards.py",
        "portable_direct_between_guards.py",
        "portable_rows_between_guards.py",
    ],
)
@pytest.mark.parametrize("level", pack.levels)
def test_kernels_touch_nothing_beyond_their_buffers(level: str, program: str) -> None:
    opened(level)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "DISPATCH_PORTABLE_LEVEL": level},
    )
    last = done.stdout.strip().rpartition("\n")[2]
    assert last == "done", f"status {done.returncode} after {last}\n{done.stderr}"


IMAGE = (1, 17, 9, 20)
BEYOND_FLOAT: tuple[tuple[str, tuple[Sample, ...], dict[str, Any]], ...] = (
    *(
        ("avg_pool2d", (Sample(IMAGE, 2e38, 3e38),), {"kernel_shape": window, **more})
        for window, more in (
            (2, {"strides": 2}),
            (3, {"pads": 1}),
            (3, {"strides": 3}),
            ((8, 19), {}),
        )
    ),
    ("global_avg_pool2d", (Sample(IMAGE, 2e38, 3e38),), {}),
    ("global_avg_pool2d", (Sample((1, 3, 40, 50), 2e38, 3e38),), {}),
    *(("mean", (Sample((40, 70), 2e38, 3e38),), {"axes": axis}) for axis in (0, 1)),
    *(
        ("sum", (Sample((5, 71), values=(3e38, 3e38, -3e38, -3e38, 1.0) * 71),), {"axes": axis})
        for axis in (0, 1)
    ),
    ("layer_norm", (Sample((3, 70), -1e30, 1e30), Sample((70,))), {}),
    ("layer_norm", (Sample((3, 70), -1e-25, 1e-25), Sample((70,))), {"epsilon": 0.0}),
)


@pytest.mark.parametrize("level", pack.levels)
@pytest.mark.parametrize(("name", "samples", "attributes"), BEYOND_FLOAT)
def test_sums_that_are_no_floats_on_the_way_are_right(
    level: str, name: str, samples: tuple[Sample, ...], attributes: dict[str, Any]
) -> None:
    kernels = [k for k in opened(level).kernels if k.name.startswith(f"portable.{name}.")]
    (kernel,) = (k for k in kernels if k.name.endswith(".f32"))
    inputs = (*samples, None) if name == "layer_norm" else samples
    question = ask(operators()[name], Case("large", inputs, attributes), "float32", resolve(CPU), 0)
    report = KernelReport(kernel.name)
    check_case(kernel, question, report, 0)
    assert report.runs
    assert not report.failures


@pytest.mark.parametrize("shape", [(3, 49), (2, 500), (2, 7, 5)])
def test_softmax_gives_zero_in_place_of_numbers_below_the_normal_ones(
    shape: tuple[int, ...],
) -> None:
    x = np.zeros(shape, np.float32)
    x[:, 1::2] = -100  # as masks have it: exp(-100) is subnormal
    x[:, 2] = -75
    with dispatch.using(packs="portable"):
        y = dispatch.softmax(x, axis=1)
    assert np.all(y[:, 1::2] == 0) and np.all(y[:, 2] > 0)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
