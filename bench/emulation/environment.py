"""Everything that runs the project's aarch64 code on this machine, made ready in one call."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from bench.emulation.build import build, find_source, header_options, pack_needs
from bench.emulation.python_site import make_site, make_wheel
from bench.emulation.root import make_root, package_versions
from bench.emulation.target import CPU_OPTIONS, MACHINE
from bench.emulation.toolchain import find_toolchain
from bench.errors import EmulationUnavailable

__all__ = ["Environment", "prepare"]

STEPS = 5
EXTRA = "emulation"
"""The extra of `pyproject.toml` with the Python packages that emulated programs use."""


@dataclass(frozen=True)
class Environment:
    """A root, a cross build, and the programs that run it.

    Parameters
    ----------
    root
        The root folder of Debian's packages.
    site
        The project as it is installed there.
    packages
        The Python packages that it uses; None where only programs are run.
    build
        Meson's build folder of the cross build.
    qemu
        The emulator.
    compiler
        The cross compiler and its version.
    versions
        Versions of the packages that the packs want, by name.
    variables
        What tells the packs where their libraries are.
    """

    root: Path
    site: Path
    packages: Path | None
    build: Path
    qemu: Path
    compiler: str
    versions: Mapping[str, str]
    variables: Mapping[str, str] = field(default_factory=dict)

    def command(
        self,
        cpu: str,
        program: Path | str,
        *arguments: Path | str,
        environment: Mapping[str, str] | None = None,
        emulator_options: Sequence[str] = (),
    ) -> list[str]:
        """Return the command that runs a program of the other architecture here.

        Parameters
        ----------
        cpu
            A model, as QEMU names it.
        program, *arguments
            The program, a path of this machine, and what it is given.
        environment
            Variables that the program sees beside this process's own.
        emulator_options
            More options of QEMU's.
        """
        # Threads that spin while they wait take the emulator's CPUs from those that work.
        seen = {"OMP_WAIT_POLICY": "passive", **self.variables, **(environment or {})}
        variables = [word for name, value in seen.items() for word in ("-E", f"{name}={value}")]
        return [
            str(self.qemu), "-cpu", CPU_OPTIONS.get(cpu, cpu), "-L", str(self.root),
            *variables, *emulator_options, str(program), *map(str, arguments),
        ]  # fmt: skip

    def python(
        self, cpu: str, *arguments: Path | str, environment: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return the command that runs the root's Python, which can import the project.

        Raises
        ------
        EmulationUnavailable
            If the environment was prepared without Python.
        """
        if self.packages is None:
            raise EmulationUnavailable("emulation: prepared without Python's packages")
        variables = {
            "PYTHONPATH": f"{self.site}:{self.packages}",
            "PYTHONDONTWRITEBYTECODE": "1",
            # NumPy's kernels for the longest SVE vectors give wrong products under emulation.
            "OPENBLAS_CORETYPE": "ARMV8",
            **(environment or {}),
        }
        program = self.root / "usr" / "bin" / "python3"
        return self.command(cpu, program, *arguments, environment=variables)


def prepare(
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
    *,
    python: bool = False,
) -> Environment:
    """Make the emulated machine ready: minutes the first time, seconds after.

    Parameters
    ----------
    progress
        Told each step before it is taken, how many are done, and how many there are.
    python
        Python programs are to run there too, not only native ones.

    Raises
    ------
    EmulationUnavailable
        If something is missing and can't be had; says what, and how to get it.
    """
    source = find_source()
    progress("finding the emulator and the cross compiler", 0, STEPS)
    toolchain = find_toolchain()
    cache = platformdirs.user_cache_path("kernel-dispatch") / "emulation"
    needs = pack_needs(source)
    progress("making a root of Debian's packages", 1, STEPS)
    root = make_root(cache, needs.packages)
    interpreter = _python_of(root)
    version = interpreter.removeprefix("python")
    packages = None
    if python:
        progress(f"fetching Python {version}'s packages", 2, STEPS)
        packages = make_site(cache, _requirements(source), version)
    progress("fetching the packs' libraries", 3, STEPS)
    variables = {
        variable: str(make_wheel(cache, requirement, version) / file)
        for requirement, files in needs.wheels.items()
        for variable, file in files.items()
    }
    folder = source / "build" / "emulation"
    progress(f"building for {MACHINE}", 4, STEPS)
    options = header_options(root, interpreter, needs, folder / "headers")
    site = build(source, folder, options, version)
    debian = package_versions(root)
    return Environment(
        root=root,
        site=site,
        packages=packages,
        build=folder / "meson",
        qemu=toolchain.qemu,
        compiler=f"gcc {toolchain.compiler_version}",
        versions={name: debian[name] for name in needs.packages},
        variables=variables,
    )


def _python_of(root: Path) -> str:
    """Return the name of the root's Python: ``"python3.13"``."""
    found = sorted((root / "usr" / "include").glob("python3.*"))
    if len(found) != 1:
        raise EmulationUnavailable(f"emulation: expected one Python's headers in {root}")
    return found[0].name


def _requirements(source: Path) -> list[str]:
    project = tomllib.loads((source / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [*project["dependencies"], *project["optional-dependencies"][EXTRA]]
