"""What the pack needs to be there: CuPy, cuDNN and its frontend, a driver, a GPU."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dispatch.errors import PackUnavailable
from kernels.cudnn.blas import blas
from kernels.cudnn.driver import GPU, driver
from kernels.cudnn.wheels import HINT, shared_library
from kernels.gpu.process import DriverProcess
from kernels.gpu.traits import Traits

__all__ = [
    "check_packages",
    "cupy",
    "devices",
    "frontend",
    "process",
    "traits_of",
    "versions",
]

CUDNN = (90800, 100000)
"""From which version on, and before which: 9.8 describes devices (CUDNN_BACKEND_DEVICEPROP)."""
process = DriverProcess("CUDA")

_PACKAGES = {"cupy": "CuPy", "cudnn": "cuDNN's frontend (nvidia-cudnn-frontend)"}


def check_packages() -> None:
    """Look for the packages without importing them.

    Raises
    ------
    PackUnavailable
        If one isn't installed.
    """
    for module, name in _PACKAGES.items():
        if find_spec(module) is None:
            raise PackUnavailable(f"pack cudnn: {name} is not installed; {HINT}")


@cache
def cupy() -> Any:
    """Return the module cupy."""
    return _imported("cupy")


@cache
def frontend() -> Any:
    """Return cuDNN's frontend, with a cuDNN that serves.

    Raises
    ------
    PackUnavailable
        If cuDNN isn't found or is of another version.
    """
    # The frontend opens it by this name alone, which finds it once it is loaded.
    shared_library("nvidia-cuda-runtime", "libcudart.so.13")
    module = _imported("cudnn")
    try:
        version = module.backend_version()
    except Exception as error:
        raise PackUnavailable(f"pack cudnn: cuDNN is not found ({error}); {HINT}") from error
    low, high = CUDNN
    if not low <= version < high:
        raise PackUnavailable(
            f"pack cudnn: wrong cuDNN version: expected >= {_shown(low)} and < {_shown(high)}, "
            f"got {_shown(version)}; {HINT}"
        )
    return module


def _imported(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise PackUnavailable(
            f"pack cudnn: {_PACKAGES[module]} can't be imported ({error}); {HINT}"
        ) from error


def _shown(version: int) -> str:
    return f"{version // 10000}.{version // 100 % 100}.{version % 100}"


def versions() -> str:
    """Return the versions that results and times depend on."""
    module = frontend()
    shown = _shown(module.backend_version())
    return (
        f"cuDNN {shown}, frontend {module.__version__}, cuBLAS {blas().version}, "
        f"driver for CUDA {driver().version}"
    )


@cache
def devices() -> tuple[GPU, ...]:
    """Return every GPU.

    Raises
    ------
    PackUnavailable
        If there is no driver or no GPU.
    """
    process.enter()
    return driver().devices()


@cache
def traits_of(device_id: int) -> Traits:
    """Return what plans have to know of a GPU."""
    gpu = devices()[device_id]
    return Traits(
        name=gpu.name,
        is_cpu=False,
        has_f64=True,
        has_dot=True,
        has_shuffle=True,
        units=gpu.units,
        max_items=gpu.max_items,
        local_bytes=gpu.local_bytes,
        registers=255,
        vector_bytes=16,
    )
