"""The project's own wheel for the other architecture, cross-built."""

from __future__ import annotations

import os
import shutil
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.emulation.commands import run_command
from bench.emulation.python_site import pip_target
from bench.emulation.target import MACHINE, TRIPLET
from bench.errors import EmulationUnavailable

__all__ = ["PackNeeds", "build", "find_source", "pack_needs"]

NEEDS_FILE = "emulation.toml"
"""In a pack's folder: what it is built with, and where its library is."""


@dataclass(frozen=True)
class PackNeeds:
    """What the packs want to be built and to run for the other architecture.

    Parameters
    ----------
    packages
        Names of Debian's packages.
    headers
        Option of the build → names of folders under the root's include folder
        of the architecture. They alone are shown to the compiler: the rest of
        the root belongs to another C library than the cross compiler's.
    wheels
        A Python distribution with its version → environment variable → file of
        its wheel, which the variable names to the pack.
    """

    packages: tuple[str, ...] = ()
    headers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    wheels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def find_source() -> Path:
    """Return the project's source tree, which the running package belongs to.

    Raises
    ------
    EmulationUnavailable
        If the package was installed without it.
    """
    source = Path(__file__).resolve().parents[2]
    if not (source / "meson.build").exists():
        raise EmulationUnavailable(
            f"emulation: the project's source tree is needed for a cross build; "
            f"{source} holds an installed package: work in a clone"
        )
    return source


def pack_needs(source: Path) -> PackNeeds:
    """Return what all packs of a source tree want."""
    packages: list[str] = []
    headers: dict[str, tuple[str, ...]] = {}
    wheels: dict[str, Mapping[str, str]] = {}
    for path in sorted(source.glob(f"kernels/*/{NEEDS_FILE}")):
        data = tomllib.loads(path.read_text(encoding="utf-8"))
        packages += data.get("packages", ())
        headers.update({o: tuple(names) for o, names in data.get("headers", {}).items()})
        wheels.update(data.get("wheels", {}))
    return PackNeeds(tuple(packages), headers, wheels)


def _link(folder: Path, targets: Mapping[str, Path]) -> Path:
    """Make a folder of links anew."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, target in targets.items():
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            raise EmulationUnavailable(f"emulation: expected {target} in the root of packages")
        link.symlink_to(target)
    return folder


def header_options(root: Path, python: str, needs: PackNeeds, folder: Path) -> dict[str, Path]:
    """Return the build's options that name headers, each a folder with links into the root."""
    include = root / "usr" / "include"
    own = {path.name: path for path in (include / python).iterdir()}
    # Debian's pyconfig.h includes the architecture's by this name.
    own[f"{TRIPLET}/{python}"] = include / TRIPLET / python
    options = {"python_headers": _link(folder / "python", own)}
    for option, names in needs.headers.items():
        options[option] = _link(folder / option, {n: include / TRIPLET / n for n in names})
    return options


def build(source: Path, folder: Path, options: Mapping[str, Path], python_version: str) -> Path:
    """Cross-build the project and unpack its wheel; return the folder for PYTHONPATH.

    Incremental: what hasn't changed isn't compiled again.

    Parameters
    ----------
    source
        The source tree.
    folder
        Of the build.
    options
        Of the build, beside those of the cross file.
    python_version
        Of the root's Python.
    """
    site, wheels = folder / "site", folder / "wheel"
    shutil.rmtree(wheels, ignore_errors=True)
    settings = [
        f"--config-settings=build-dir={folder / 'meson'}",
        f"--config-settings=setup-args=--cross-file={source / 'cross' / f'{TRIPLET}.ini'}",
        *(f"--config-settings=setup-args=-D{name}={path}" for name, path in options.items()),
    ]
    # Meson and Ninja are this environment's; a cache for compilers is used where there is one.
    environment = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "_PYTHON_HOST_PLATFORM": f"linux-{MACHINE}",
    }
    _start_anew_where(settings, source, folder)
    run_command(
        (
            sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet",
            "--no-build-isolation", "--no-deps", "--wheel-dir", wheels, *settings, source,
        ),
        f"emulation: building for {MACHINE}",
        environment=environment,
    )  # fmt: skip
    pip_target(site, sorted(wheels.glob("*.whl")), python_version)
    return site


def _start_anew_where(settings: Sequence[str], source: Path, folder: Path) -> None:
    """Drop a build that was configured by other options: Meson refuses those that are new to it."""
    options = (source / "meson.options").read_text(encoding="utf-8")
    wanted, noted = "\n".join((*settings, options)), folder / "configured.txt"
    if not noted.exists() or noted.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder / "meson", ignore_errors=True)
        noted.write_text(wanted, encoding="utf-8")
