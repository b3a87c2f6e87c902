"""docs/deploy.md, done as it says: its program is compiled, and runs without Python."""

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import dispatch
import runtime

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"
COMPILER = shutil.which("cc")


@pytest.mark.skipif(COMPILER is None, reason="no C compiler is here")
def test_the_pages_program_replays_a_saved_trace(tmp_path):
    (text,) = re.findall(r"```c\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "program.c").write_text(text)
    library = Path(str(files("runtime").joinpath("libreplay.so"))).parent
    include = Path(str(files("runtime").joinpath("include", "replay.h"))).parent
    program = tmp_path / "program"
    command = [
        *(str(COMPILER), "-Wall", "-Wextra", "-Werror", f"-I{include}", tmp_path / "program.c"),
        *(f"-L{library}", "-lreplay", f"-Wl,-rpath,{library}", "-o", program),
    ]
    subprocess.run(command, check=True)
    trace = runtime.trace(lambda x: dispatch.tanh(x) * 3, np.zeros((2, 3), np.float32))
    file = tmp_path / "model.safetensors"
    trace.save(file, {"cpu": trace.compile(packs="portable", threads=1)})
    done = subprocess.run([program, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    name, value = re.fullmatch(r"(\S+)\[0\] = (\S+)\n", done.stdout).groups()
    assert name == trace.graph.outputs[0][0]
    assert float(value) == pytest.approx(3 * np.tanh(0.5), rel=1e-5)
    done = subprocess.run([program, "/nowhere"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "/nowhere: No such file" in done.stderr
