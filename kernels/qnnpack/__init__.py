"""QNNPACK's kernels of 8-bit integers, as PyTorch carries them."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path

from dispatch.native import NativePack

__all__ = ["pack"]

MODULE = "torch"
SONAME = "libtorch_cpu.so"
VARIABLE = "DISPATCH_QNNPACK_LIBRARY"


def options() -> Mapping[str, str]:
    """Return where the library is: the variable's path, PyTorch's, or the system's."""
    return {"library": os.environ.get(VARIABLE) or wheel_library() or SONAME}


def wheel_library() -> str | None:
    """Return the path of the library in the PyTorch that is installed, None without one.

    PyTorch is looked up, not imported.
    """
    spec = importlib.util.find_spec(MODULE)
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(place, "lib", SONAME)
        if path.exists():
            return str(path.resolve())
    return None


pack = NativePack(
    name="qnnpack",
    package="kernels.qnnpack",
    library="libkernels_qnnpack.so",
    devices=("cpu", "qualcomm"),
    options=options,
    build="it serves x86-64 and aarch64 CPUs",
    # Loading the library takes 0.2 s and 150 MB.
    serves=(
        "channel_shuffle.u8",
        "clip.u8",
        "max_pool2d.u8",
        "qadd.u8",
        "qavg_pool2d.u8",
        "qconv2d.u8",
        "qconv_transpose2d.u8",
        "qglobal_avg_pool2d.u8",
        "qmatmul.u8",
        "qsoftmax.u8",
    ),
)
