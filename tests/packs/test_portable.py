"""The portable pack's levels, and kernels whose shapes want more cases than the kit's test has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch.conformance.packs import Skipped, Target, check_pack
from dispatch.errors import PackUnavailable
from kernels.portable import pack
from tests.conformance.failures import failures_of
from tests.packs.portable_levels import opened

DEPTHWISE_CASES = 160


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
    "kernel", ["depthwise", "depthwise_rows", "depthwise_direct", "depthwise_turned"]
)
@pytest.mark.parametrize("level", pack.levels)
def test_depthwise_kernels_are_right_for_any_width(level: str, kernel: str) -> None:
    name = f"portable.conv2d.{kernel}.f32"
    summary = check_pack(Target("portable", level), "conv2d", name, DEPTHWISE_CASES)
    if isinstance(summary, Skipped):
        pytest.skip(summary.reason)
    assert not failures_of(summary)
    assert [report.kernel for report in summary.kernels] == [name]
    assert summary.kernels[0].runs >= 60


@pytest.mark.parametrize("level", pack.levels)
def test_depthwise_kernels_touch_nothing_beyond_their_buffers(level: str) -> None:
    opened(level)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("portable_between_guards.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "DISPATCH_PORTABLE_LEVEL": level},
    )
    last = done.stdout.strip().rpartition("\n")[2]
    assert last == "done", f"status {done.returncode} after {last}\n{done.stderr}"
