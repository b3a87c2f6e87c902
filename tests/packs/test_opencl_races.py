"""Races and accesses out of bounds, which the simulator oclgrind finds in each kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("pyopencl", reason="pyopencl is not installed (make test-opencl installs it)")
if shutil.which("oclgrind") is None:
    pytest.skip("oclgrind is not installed (make test-opencl does)", allow_module_level=True)

PARTS = 4
SCRIPT = Path(__file__).with_name("opencl_under_oclgrind.py")


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_race_and_nothing_out_of_bounds(part, tmp_path):
    log = tmp_path / "log"
    command = ["oclgrind", "--data-races", "--check-api", "--log", str(log)]
    command += [sys.executable, str(SCRIPT), str(part), str(PARTS), "f32,u8,bool"]
    environment = {**os.environ, "PYOPENCL_NO_CACHE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = done.stdout.splitlines()
    assert len({line.split("\t")[0] for line in lines}) >= 20
    assert not [line for line in lines if "\t" in line]
    assert log.read_text() == ""
