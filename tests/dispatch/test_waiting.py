"""How long OpenMP's threads wait awake, as libgomp itself says."""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import runtime._native
from dispatch.core import SPIN_COUNT


def seen_by_openmp(command: Sequence[str | Path], **variables: str) -> list[str]:
    """Return the turns that libgomp says its threads wait awake, once for each start."""
    unset = {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    done = subprocess.run(
        command,
        env={**kept, "OMP_DISPLAY_ENV": "verbose", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return re.findall(r"GOMP_SPINCOUNT = '(\w+)'", done.stderr)


IN_PYTHON = (
    sys.executable,
    "-c",
    "import os; before = dict(os.environ); import dispatch; assert dict(os.environ) == before",
)
WITHOUT_PYTHON = (Path(runtime._native.__file__).with_name("replay_run"), "nothing")


@pytest.mark.parametrize("command", [IN_PYTHON, WITHOUT_PYTHON])
def test_threads_wait_awake_for_a_moment_unless_the_environment_says_how_long(
    command: Sequence[str | Path],
) -> None:
    assert seen_by_openmp(command)[-1] == str(SPIN_COUNT)
    assert seen_by_openmp(command, GOMP_SPINCOUNT="77") == ["77"]
    assert seen_by_openmp(command, OMP_WAIT_POLICY="passive") == ["0"]
