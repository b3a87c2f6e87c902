"""Every kernel of every Arm level, of the Arm Compute Library on every CPU model, and of QNNPACK.

Cases, references and comparisons run on this machine, kernels under emulation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import pytest

from bench.emulation.environment import Environment
from bench.emulation.target import CPUS
from dispatch.conformance import Subject, check_kernels
from dispatch.conformance.packs import remote_subject
from dispatch.conformance.remote import RemotePack
from dispatch.errors import PackUnavailable
from dispatch.operators import operators
from kernels.arm_compute import SONAME
from kernels.portable import LEVELS
from tests.conformance.failures import MOST, failures_of

from .conftest import ENABLED

RANDOM_CASES = 2
MACHINES = {"LIBRARY", "CPU_FEATURE"}


class Target(NamedTuple):
    """A pack as it is opened under emulation."""

    cpu: str
    pack: str
    level: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, self))


LIBRARIES = {"arm_compute": {"library": SONAME}}
"""Options of packs whose libraries the environment's variables don't name."""

BASES = ("generic", "neon")
"""Levels that compile every source; the others take most kernels from them."""
TARGETS = (
    *(Target("cortex-a72", "portable", level) for level in BASES),
    # A library that chooses by the CPU itself: on each.
    *(Target(cpu, "arm_compute") for cpu in CPUS),
)
ADDITIONS = (
    # Each level on the plainest model that has it.
    Target("neoverse-n1", "portable", "dotprod"),
    Target("neoverse-n1", "portable", "fp16"),
    Target("max", "portable", "i8mm"),
    Target("max", "portable", "bf16"),
)
CASES = [(target, name) for target in TARGETS for name in operators()]


def test_every_level_and_model_is_a_target() -> None:
    levels = {target.level for target in (*TARGETS, *ADDITIONS) if target.pack == "portable"}
    assert levels == {"generic", *LEVELS["aarch64"]}
    assert {target.cpu for target in TARGETS if target.pack == "arm_compute"} == set(CPUS)


@pytest.fixture(scope="module")
def opened(environment: Environment) -> Iterator[Callable[[Target], RemotePack]]:
    """Open packs under emulation, each once."""
    with ExitStack() as stack:

        @cache
        def open_target(target: Target) -> RemotePack:
            program = environment.site / "dispatch" / "serve_pack"
            library = environment.site / "kernels" / target.pack / f"libkernels_{target.pack}.so"
            options = {"level": target.level} if target.level else LIBRARIES.get(target.pack, {})
            command = environment.command(target.cpu, program)
            return stack.enter_context(RemotePack(command, str(library), options))

        yield open_target


@pytest.mark.parametrize(
    ("target", "name"), CASES if ENABLED else CASES[:1], ids=lambda value: str(value)
)
def test_kernels_conform(opened, target: Target, name: str) -> None:
    subject = remote_subject(opened(target), "arm", target.level, name)
    if not subject.kernels and not subject.fallback:
        pytest.skip(f"{target} has no kernel for {name}")
    check(subject)


@pytest.mark.parametrize("target", ADDITIONS if ENABLED else ADDITIONS[:1], ids=str)
def test_what_a_level_adds_conforms(opened, target: Target) -> None:
    subject = remote_subject(opened(target), "arm", target.level)
    own = [kernel for kernel in subject.kernels if kernel.source.endswith(f"({target.level})")]
    if not own:
        pytest.skip(f"level {target.level} takes every kernel from the levels below")
    check(replace(subject, kernels=own, fallback=False))


def test_qnnpack_conforms(opened) -> None:
    # The same code on every model, and few operators.
    check(remote_subject(opened(Target("cortex-a72", "qnnpack")), "arm", ""))


def check(subject: Subject) -> None:
    summary = check_kernels(subject, RANDOM_CASES)
    wrong = failures_of(summary)
    assert not wrong, "\n".join(wrong[:MOST])
    for report in summary.kernels:
        # A kernel that never ran must have been kept from it by the machine.
        assert report.runs or MACHINES & set(report.codes), f"{report.kernel} served no case"


def test_a_level_that_the_model_lacks_says_so(opened) -> None:
    with pytest.raises(PackUnavailable, match="level 'i8mm' needs the CPU feature asimddp"):
        opened(Target("cortex-a72", "portable", "i8mm"))
