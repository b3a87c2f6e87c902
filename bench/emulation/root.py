"""A root folder of the other architecture, unpacked from Debian's packages.

The host's package manager is asked with a state of its own, so that the host's
architectures, lists and packages stay as they are, and nothing needs root.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.emulation.commands import run_command
from bench.emulation.target import DEBIAN_NAME, DEBIAN_SUITE
from bench.errors import EmulationUnavailable

__all__ = ["make_root", "package_versions"]

BASE = ("libc6", "libstdc++6", "libgomp1", "python3", "libpython3-dev")
"""The C and C++ run-time libraries, and Python with its headers."""
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
MERGED = {"lib": "usr/lib", "bin": "usr/bin", "sbin": "usr/sbin"}
VERSIONS = "packages.txt"


def make_root(cache: Path, packages: Sequence[str]) -> Path:
    """Return a root with Debian's packages and all that they depend on.

    Made once for each set of packages; takes some seconds and 40 MB of
    downloads.

    Parameters
    ----------
    cache
        The folder that holds roots.
    packages
        Beside Python and the run-time libraries.

    Raises
    ------
    EmulationUnavailable
        If the host isn't Debian, or a package can't be had.
    """
    wanted = sorted({*BASE, *packages})
    key = hashlib.sha256(" ".join((DEBIAN_SUITE, *wanted)).encode()).hexdigest()[:12]
    root = cache / f"root-{DEBIAN_SUITE}-{key}"
    if root.exists():
        return root
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise EmulationUnavailable("emulation: apt-get and dpkg-deb are needed to make a root")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="making-") as scratch:
        made = _unpack(_download(Path(scratch, "apt"), wanted), Path(scratch, "root"))
        try:
            made.rename(root)
        except OSError:  # another process was faster
            if not root.exists():
                raise
    return root


def package_versions(root: Path) -> dict[str, str]:
    """Return the versions of the packages that a root is made of, by name."""
    lines = (root / VERSIONS).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def _mirror() -> str:
    """Return where the host gets Debian's packages from."""
    printed = run_command(
        (
            "apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)",
            "Created-By: Packages", "Origin: Debian", "Label: Debian",
        ),
        "emulation: asking where Debian's packages are",
    )  # fmt: skip
    for line in printed.splitlines():
        address, _, release = line.partition(" ")
        if address and "-" not in release:
            return address
    raise EmulationUnavailable(
        "emulation: expected a source of Debian's packages with fresh lists: "
        "run apt-get update as root on Debian"
    )


def _download(state: Path, packages: Sequence[str]) -> list[Path]:
    """Fetch packages and what they depend on; return the archives."""
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (state / folder).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(
        f"deb [signed-by={KEYRING}] {_mirror()} {DEBIAN_SUITE} main\n", encoding="utf-8"
    )
    settings = {
        "APT::Architecture": DEBIAN_NAME,
        "APT::Architectures": DEBIAN_NAME,
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "root",
        "Debug::NoLocking": "true",
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": state / "sources.list",
        "Dir::Etc::sourceparts": state / "parts",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    run_command(("apt-get", *options, "-qq", "update"), "emulation: reading Debian's lists")
    run_command(
        ("apt-get", *options, "-qq", "-y", "--download-only", "install", *packages),
        f"emulation: fetching {DEBIAN_NAME} packages of {DEBIAN_SUITE}",
    )
    return sorted((state / "cache" / "archives").glob("*.deb"))


def _unpack(archives: Sequence[Path], root: Path) -> Path:
    """Unpack archives into a root with merged folders; note their versions."""
    for name, target in MERGED.items():
        (root / target).mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    versions = []
    for archive in archives:
        # dpkg-deb's own unpacking would replace the links of the merged folders.
        tar = root / "archive.tar"
        run_command(
            ("sh", "-c", 'dpkg-deb --fsys-tarfile "$0" > "$1"', archive, tar),
            f"emulation: reading {archive.name}",
        )
        run_command(
            ("tar", "--extract", "--keep-directory-symlink", "--no-same-owner",
             "--file", tar, "--directory", root),
            f"emulation: unpacking {archive.name}",
        )  # fmt: skip
        tar.unlink()
        name, version, *_ = archive.stem.split("_")
        versions.append(f"{name}={version.replace('%3a', ':')}\n")
    (root / VERSIONS).write_text("".join(versions), encoding="utf-8")
    return root
