"""What checks share: arrays, counts, CuPy on the driver, kernels that compute."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kernels.cudnn import enqueue
from kernels.cudnn.compiler import compiler
from tests.packs.cuda_for_tests import cupy_on_driver, loaded
from tests.packs.cudnn_in_ptx import PtxCompiler

POISON = 0xAB
CHECKS: dict[str, Callable[[], None]] = {}


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS[function.__name__] = function
    return function


def on_device(cupy: Any, *shape: int, dtype: str = "float32") -> Any:
    rng = np.random.default_rng(3)
    return cupy.asarray(rng.uniform(-1, 1, shape).astype(dtype))


def calls(name: str) -> int:
    return int(loaded().fake_calls(name.encode()))


def launches(name: str | None = None) -> int:
    return int(loaded().fake_launches(None if name is None else name.encode()))


def raises(kind: type[BaseException], text: str, function: Callable[[], Any]) -> None:
    with pytest.raises(kind, match=re.escape(text)):
        function()


def with_cupy() -> ModuleType:
    """Return CuPy, on the driver."""
    cupy_on_driver()
    import cupy

    module: ModuleType = cupy
    return module


def with_kernels() -> None:
    """Have the pack's kernels run, as NVRTC compiles them to PTX."""
    made = PtxCompiler(compiler()._c)
    vars(enqueue)["compiler"] = lambda: made
