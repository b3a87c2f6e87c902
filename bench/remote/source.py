"""The source that runs here, on another machine: what git tracks, copied where it differs.

Only files that have changed are sent, and what is sent gets the other machine's time: Make and
Ninja there rebuild what those files are part of, whatever the two clocks say.
"""

from __future__ import annotations

import hashlib
import io
import shlex
import socket
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from bench.errors import CaseError
from bench.remote.connection import Connection

__all__ = ["folder_of", "send_files", "source_root", "sync_source", "tracked_files"]

MANIFEST = ".bench-manifest"


def source_root() -> Path:
    """Return the root of the source that this package runs from.

    Raises
    ------
    CaseError
        If it is installed without its source.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / "Makefile").is_file() or not (root / ".git").exists():
        raise CaseError(
            f"host: a clone of the source is needed, to be built on the host, and {root} is none: "
            f"run bench from a clone, or name a bench that is there (--host-command)"
        )
    return root


def folder_of(cache: str, root: Path) -> str:
    """Return the folder on the other machine for a source: each clone has its own."""
    name = hashlib.sha256(f"{socket.gethostname()}:{root}".encode()).hexdigest()[:12]
    return f"{cache}/kernel-dispatch/bench-{name}"


def tracked_files(root: Path) -> dict[str, Path]:
    """Return the files that git tracks and that are there, by their path below the root."""
    try:
        listed = subprocess.run(  # noqa: S603
            ("git", "-C", str(root), "ls-files", "-z"),  # noqa: S607
            capture_output=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise CaseError(f"host: git can't list the source in {root}: {error}") from error
    names = [name.decode() for name in listed.split(b"\0") if name]
    return {name: root / name for name in names if (root / name).is_file()}


def sync_source(connection: Connection, folder: str, files: Mapping[str, Path]) -> int:
    """Make a folder on the other machine hold these files; returns how many were sent.

    Files that were copied before and aren't among them now are removed; what
    was made there (a virtual environment, a build) stays.
    """
    place = shlex.quote(folder)
    before = _parse(
        connection.require("reading the copy", f"cat {place}/{MANIFEST} 2>/dev/null || true")
    )
    now = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    changed = {name: files[name] for name, digest in now.items() if before.get(name) != digest}
    gone = [name for name in before if name not in now and _is_inside(name)]
    if not changed and not gone:
        return 0
    manifest = "".join(f"{digest} {name}\n" for name, digest in now.items()).encode()
    removal = f"rm -f -- {' '.join(map(shlex.quote, gone))} &&" if gone else ""
    # The manifest comes last: a copy that was cut short is made again.
    connection.require(
        "copying the source",
        f"mkdir -p {place} && cd {place} && rm -f {MANIFEST} && {removal} tar -xmf -",
        _archive(changed, {MANIFEST: manifest}),
    )
    return len(changed)


def send_files(connection: Connection, folder: str, files: Mapping[str, Path]) -> None:
    """Copy files into a folder on the other machine."""
    place = shlex.quote(folder)
    connection.require(
        "copying files", f"mkdir -p {place} && cd {place} && tar -xmf -", _archive(files, {})
    )


def _archive(files: Mapping[str, Path], texts: Mapping[str, bytes]) -> bytes:
    """Return a tar archive of files, then of texts."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, path in files.items():
            entry = tarfile.TarInfo(name)
            entry.mode = 0o755 if path.stat().st_mode & 0o100 else 0o644
            data = path.read_bytes()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        for name, data in texts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def _parse(manifest: bytes) -> dict[str, str]:
    lines = (line.partition(" ") for line in manifest.decode("utf-8", "replace").splitlines())
    return {name: digest for digest, _, name in lines if name}


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
