"""oneDNN's kernels for x86-64 CPUs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from dispatch.native import NativePack

__all__ = ["pack"]

DISTRIBUTION = "onednn-cpu-gomp"
SONAME = "libdnnl.so.3"
VARIABLE = "DISPATCH_MKLDNN_LIBRARY"


def options() -> Mapping[str, str]:
    """Return where the library is: the variable's path, the distribution's, or the system's."""
    path = os.environ.get(VARIABLE)
    if path:
        return {"library": path}
    try:
        files = metadata.files(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == SONAME:
            return {"library": str(Path(str(file.locate())).resolve())}
    return {"library": SONAME}


pack = NativePack(
    name="mkldnn",
    package="kernels.mkldnn",
    library="libkernels_mkldnn.so",
    devices=("intel",),
    options=options,
)
