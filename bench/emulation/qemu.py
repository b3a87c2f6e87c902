"""What the QEMU at hand is and can."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from bench.errors import CaseError, CountingFailed

__all__ = ["check_cpu", "check_plugins", "qemu_version"]


def qemu_version(qemu: Path) -> str:
    """Return QEMU's version, as ``7.2.22``.

    Raises
    ------
    CountingFailed
        If the program can't be run or says something else.
    """
    printed = _ask(qemu, "--version")
    found = re.search(r"version (\d+\.\d+(\.\d+)?)", printed)
    if found is None:
        raise CountingFailed(f"{qemu}: expected QEMU's version, got {printed!r}")
    return found[1]


def check_cpu(qemu: Path, cpu: str) -> None:
    """Raise `CaseError` for a CPU model that QEMU doesn't have; properties may follow a comma."""
    lines = _ask(qemu, "-cpu", "help").splitlines()
    models = [line.split()[0] for line in lines if line.startswith(" ") and line.strip()]
    if cpu.partition(",")[0] not in models:
        raise CaseError(f"cpu: expected one of {', '.join(models)}, got {cpu!r}")


def check_plugins(qemu: Path) -> None:
    """Raise `CountingFailed` for a QEMU that was built without plug-ins, as static ones are."""
    if "-plugin" not in _ask(qemu, "-h"):
        raise CountingFailed(
            f"{qemu} (version {qemu_version(qemu)}) is built without plug-ins, which counting "
            f"needs: a static QEMU has none, Debian 12's package qemu-user (7.2) does"
        )


def _ask(qemu: Path, *words: str) -> str:
    try:
        done = subprocess.run((qemu, *words), capture_output=True, text=True)  # noqa: S603
    except OSError as error:
        raise CountingFailed(f"{qemu}: {error.strerror}") from error
    return done.stdout or done.stderr
