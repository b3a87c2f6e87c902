"""The emulator and the cross compiler: found, or installed from Debian where that is allowed."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from bench.emulation.commands import run_command
from bench.emulation.target import EMULATOR, TRIPLET
from bench.errors import EmulationUnavailable

__all__ = ["Toolchain", "find_toolchain"]

PACKAGES = {
    EMULATOR: "qemu-user",
    f"{TRIPLET}-gcc": f"gcc-{TRIPLET}",
    f"{TRIPLET}-g++": f"g++-{TRIPLET}",
}
"""The programs, and Debian's packages of them."""


@dataclass(frozen=True)
class Toolchain:
    """The programs that build and run code of the other architecture.

    Parameters
    ----------
    qemu
        The emulator, dynamically linked: the static one takes no plug-ins.
    compiler
        The C cross compiler.
    compiler_version
        As it says itself.
    """

    qemu: Path
    compiler: Path
    compiler_version: str


def find_toolchain() -> Toolchain:
    """Return the programs; install those that are missing if this process may.

    Raises
    ------
    EmulationUnavailable
        If one is missing and can't be installed; says the command that does.
    """
    missing = [name for name in PACKAGES if shutil.which(name) is None]
    if missing:
        _install(missing)
    qemu, compiler = (Path(str(shutil.which(name))) for name in (EMULATOR, f"{TRIPLET}-gcc"))
    return Toolchain(
        qemu,
        compiler,
        _version(compiler),
    )


def _install(missing: list[str]) -> None:
    packages = [PACKAGES[name] for name in missing]
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        reason = "this system has no apt-get" if shutil.which("apt-get") is None else "not root"
        raise EmulationUnavailable(
            f"emulation: {', '.join(missing)} not found and not installed here ({reason}); "
            f"run as root on Debian or Ubuntu: {command}"
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run_command(("apt-get", "-qq", "update"), "emulation: reading Debian's lists")
    run_command(
        ("apt-get", "-qq", "-y", "install", "--no-install-recommends", *packages),
        f"emulation: installing {', '.join(packages)}",
        environment=quiet,
    )
    still = [name for name in missing if shutil.which(name) is None]
    if still:
        raise EmulationUnavailable(f"emulation: {command}: {', '.join(still)} still not found")


def _version(compiler: Path) -> str:
    printed = run_command((compiler, "--version"), "emulation: asking for a version")
    found = re.search(r"\) (\d[\d.]*)", printed)
    if found is None:
        raise EmulationUnavailable(f"{compiler}: expected a version, got {printed[:80]!r}")
    return found[1]
