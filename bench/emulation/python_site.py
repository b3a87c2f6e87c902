"""Python packages of the other architecture, as wheels, in a folder for PYTHONPATH."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from bench.emulation.commands import run_command
from bench.emulation.target import MACHINE, WHEEL_TAGS
from bench.errors import EmulationUnavailable

__all__ = ["closure", "make_site", "make_wheel", "pip_target"]


def closure(requirements: Iterable[str], python_version: str) -> list[str]:
    """Return the names of all distributions that requirements lead to there.

    Follows what the distributions installed here say, with the markers
    answered for the other machine. Only those that are installed here are
    known.

    Parameters
    ----------
    requirements
        As `pyproject.toml` has them.
    python_version
        Of the other machine's Python, ``"3.13"``.

    Raises
    ------
    EmulationUnavailable
        If a distribution isn't installed here.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    there = {
        "platform_machine": MACHINE,
        "python_version": python_version,
        "python_full_version": f"{python_version}.0",
        "extra": "",
    }
    found: set[str] = set()
    waiting = [(Requirement(text), "") for text in requirements]
    while waiting:
        requirement, extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({**there, "extra": extra}):
            continue
        name = canonicalize_name(requirement.name)
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:
            raise EmulationUnavailable(
                f"emulation: {name} must be installed here too: pip install {name}"
            ) from None
        if name not in found:
            waiting += [(Requirement(text), "") for text in needs]
        waiting += [(Requirement(text), extra) for extra in requirement.extras for text in needs]
        found.add(name)
    return sorted(found)


def make_site(cache: Path, requirements: Sequence[str], python_version: str) -> Path:
    """Return a folder with the distributions that requirements lead to, made once for each set.

    Raises
    ------
    EmulationUnavailable
        If one has no wheel for the machine.
    """
    names = closure(requirements, python_version)
    return _made_once(cache, "site", names, python_version)


def make_wheel(cache: Path, requirement: str, python_version: str) -> Path:
    """Return a folder with one distribution, without what it depends on; made once.

    Raises
    ------
    EmulationUnavailable
        If it has no wheel for the machine.
    """
    return _made_once(cache, "wheel", [requirement], python_version)


def _made_once(cache: Path, kind: str, names: Sequence[str], python_version: str) -> Path:
    key = hashlib.sha256(" ".join((python_version, *names)).encode()).hexdigest()[:12]
    folder = cache / f"{kind}-{key}"
    if folder.exists():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as scratch:
        made = Path(scratch, kind)
        pip_target(made, names, python_version)
        try:
            made.rename(folder)
        except OSError:  # another process was faster
            if not folder.exists():
                raise
    return folder


def pip_target(folder: Path, names: Sequence[str | Path], python_version: str) -> None:
    """Install wheels of the other architecture into a folder, without what they depend on."""
    shutil.rmtree(folder, ignore_errors=True)
    platforms = [word for tag in WHEEL_TAGS for word in ("--platform", tag)]
    run_command(
        (
            sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet",
            "--no-deps", "--no-compile", "--only-binary=:all:", *platforms,
            "--implementation", "cp", "--python-version", python_version,
            "--abi", f"cp{python_version.replace('.', '')}", "--abi", "abi3", "--abi", "none",
            "--target", folder, *names,
        ),
        f"emulation: installing Python packages for {MACHINE}",
    )  # fmt: skip
