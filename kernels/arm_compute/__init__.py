"""The Arm Compute Library's kernels for aarch64 CPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from dispatch.native import NativePack

__all__ = ["pack"]

SONAME = "libarm_compute.so.43"
SYSTEM_FOLDERS = ("/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib")
VARIABLE = "DISPATCH_ARM_COMPUTE_LIBRARY"


def options() -> Mapping[str, str]:
    """Return where the library is: the variable's path, the system's, or PyTorch's."""
    path = os.environ.get(VARIABLE) or system_library() or wheel_library() or SONAME
    return {"library": path}


def system_library() -> str | None:
    """Return the path of the library as the system's packages install it, None without one."""
    found = (Path(folder, SONAME) for folder in SYSTEM_FOLDERS)
    return next((str(path) for path in found if path.exists()), None)


def wheel_library() -> str | None:
    """Return the path of the library inside PyTorch's wheel, None without one.

    The wheel's list of files names it; PyTorch isn't imported.
    """
    try:
        files = metadata.files("torch") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name.startswith("libarm_compute-") and file.name.endswith(".so"):
            return str(Path(str(file.locate())).resolve())
    return None


pack = NativePack(
    name="arm_compute",
    package="kernels.arm_compute",
    library="libkernels_arm_compute.so",
    devices=("arm",),
    options=options,
    build="it serves aarch64 CPUs, and is built with the library's headers: install Debian's "
    "libarm-compute-dev, or give their folder by -Darm_compute_headers",
)
