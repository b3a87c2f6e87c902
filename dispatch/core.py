"""The C core, loaded so that OpenMP's waiting threads soon go to sleep.

libgomp reads how long a thread waits awake once, when it is loaded. By default
that is longer than the time slices of the scheduler: where other programs keep
the CPUs busy, threads that wait for each other at the end of each operator burn
the time that the others need to get there. What the environment says goes first.
"""

from __future__ import annotations

import os
import platform
from importlib import import_module
from typing import Any

__all__ = ["ffi", "lib"]

SPIN_COUNT = {"x86_64": 1000}.get(platform.machine(), 30_000)
"""About 50 microseconds: x86-64 pauses for 140 cycles at each turn, others not at all."""


def _loaded() -> Any:
    if os.environ.keys() & {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}:
        return import_module("dispatch._native")
    os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    try:
        return import_module("dispatch._native")
    finally:
        del os.environ["GOMP_SPINCOUNT"]


_native = _loaded()
ffi = _native.ffi
lib = _native.lib
