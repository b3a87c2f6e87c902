"""Traces, plans and replays in the Arm machine's own Python, with the packs chosen there."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from bench.emulation.commands import last_lines
from bench.emulation.environment import Environment
from bench.emulation.target import CPUS

TESTS = Path(__file__).parents[1]
FILES = (
    "dispatch/test_arrays.py",
    "dispatch/test_eager.py",
    "dispatch/test_threads.py",
    "packs/test_arm_compute.py",
    "packs/test_qnnpack.py",
    "runtime/test_artifact.py",
    "runtime/test_memory.py",
    "runtime/test_numpy.py",
    "runtime/test_plan.py",
    "runtime/test_replay.py",
    "runtime/test_trace.py",
)
"""What depends on the machine: the arrays' road to the kernels, threads, plans, replays, files."""
STARTS_PROGRAMS = ("test_a_plan_runs_without_python",)
"""Tests that start programs, which the emulator can't: the machine's own are tested beside."""


ON_EVERY_MODEL = ("runtime/test_replay.py", "dispatch/test_threads.py")
CASES = [(CPUS[1], name) for name in FILES]
CASES += [(cpu, name) for cpu in CPUS for name in ON_EVERY_MODEL if cpu != CPUS[1]]


@pytest.mark.parametrize(("cpu", "name"), CASES)
def test_runs_there(environment: Environment, cpu: str, name: str) -> None:
    left_out = " and ".join(f"not {test}" for test in STARTS_PROGRAMS)
    arguments = ("-P", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", left_out)
    variables = {"DISPATCH_TEST_PYTHON": shlex.join(environment.python(cpu))}
    done = subprocess.run(
        environment.python(cpu, *arguments, TESTS / name, environment=variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{cpu}, {name}:\n{last_lines(done.stdout + done.stderr, 60)}"


@pytest.mark.parametrize("pack", ["qnnpack", "portable"])
def test_kernels_touch_nothing_beyond_their_buffers_there(
    environment: Environment, pack: str
) -> None:
    done = subprocess.run(
        environment.python(CPUS[1], TESTS / "packs" / f"{pack}_between_guards.py"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("done\n"), last_lines(done.stdout + done.stderr, 20)
