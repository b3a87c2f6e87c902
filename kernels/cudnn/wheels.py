"""NVIDIA's libraries by their C interface: of their wheels, or the system's."""

from __future__ import annotations

import ctypes
from importlib import metadata

from dispatch.errors import PackUnavailable

__all__ = ["HINT", "shared_library"]

HINT = "pip install kernel-dispatch[nvidia]"


def shared_library(wheel: str, name: str, before: tuple[str, ...] = ()) -> ctypes.CDLL:
    """Return a library, loaded.

    Parameters
    ----------
    wheel
        The distribution that has it.
    name
        Its file's name, by which the system's is found too: ``libcublas.so.13``.
    before
        Parts of names of the wheel's files that are loaded first.

    Raises
    ------
    PackUnavailable
        If it isn't found.
    """
    try:
        files = [str(f.locate()) for f in metadata.files(wheel) or []]
    except metadata.PackageNotFoundError:
        files = []
    stem = name.rpartition(".")[0]
    path = next((f for f in files if f.rpartition("/")[2].startswith(stem)), name)
    try:
        for needed in (f for part in before for f in files if part in f):
            ctypes.CDLL(needed)
        return ctypes.CDLL(path)
    except OSError as error:
        raise PackUnavailable(f"pack cudnn: {name} is not found ({error}); {HINT}") from error
