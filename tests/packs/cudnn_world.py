"""The pack for NVIDIA GPUs on libraries that run nothing, and write down what they are asked for.

The fixtures `parts` and `world` of conftest.py give one.
"""

from __future__ import annotations

import ctypes
import sys

from dispatch import context
from dispatch import registry as registry_module
from dispatch.registry import Registry
from dispatch.remembered import clear
from kernels.cudnn import blas, blas_kernel, driver, enqueue, frontend, in_two, kept, library, queue
from kernels.cudnn.memory import CudaMemory
from kernels.cudnn.pack import CudnnPack
from tests.packs.cuda_fakes import (
    FakeBlas,
    FakeCompiler,
    FakeCuPy,
    FakeDriver,
    FakeFrontend,
    fake_torch,
)
from tests.packs.cudnn_on_the_host import HostBlas, HostCuPy, HostFrontend

__all__ = ["World", "forget", "host_world"]

REAL = ctypes.CDLL
CACHES = (
    driver.driver,
    library.cupy,
    library.devices,
    library.frontend,
    library.traits_of,
    enqueue._function,
    frontend.plans_of,
    blas.blas,
    blas_kernel._planned,
    in_two._graph_then_map,
)


def forget():
    clear()
    queue.dnn_handles.forget()
    queue.blas_handles.forget()
    queue.own_queues.forget()
    for each in CACHES:
        each.cache_clear()


class World:
    """The fakes, and the pack on them."""

    def __init__(self, monkeypatch, tmp_path):
        self.cuda, self.cupy, self.frontend = FakeDriver(), FakeCuPy(), FakeFrontend()
        self.blas = FakeBlas()
        monkeypatch.setattr(enqueue, "compiler", FakeCompiler)
        monkeypatch.setattr(kept.platformdirs, "user_cache_dir", lambda _: str(tmp_path))
        self.install(monkeypatch)

    def install(self, monkeypatch):
        """Put the fakes where the pack looks for the libraries; they may be replaced before."""

        def load(name, *_):
            fakes = {"libcuda.so": self.cuda, "libcublas.so": self.blas, "libcudart.so": object()}
            return next((f for part, f in fakes.items() if part in str(name)), None) or REAL(name)

        monkeypatch.setattr(ctypes, "CDLL", load)
        monkeypatch.setitem(sys.modules, "cupy", self.cupy.module)
        monkeypatch.setitem(sys.modules, "cudnn", self.frontend.module)
        monkeypatch.setitem(sys.modules, "torch", fake_torch())

    def open(self, monkeypatch):
        self.memory = CudaMemory()
        known = Registry(((CudnnPack(self.memory), "tests"),))
        monkeypatch.setattr(registry_module, "_registry", known)
        # Settings remember that a device is here.
        monkeypatch.setattr(context, "_interned", {})
        return self


def host_world(monkeypatch, tmp_path, driver):
    """Return the pack on libraries that compute by NumPy, and on a driver that does its part."""
    made = World(monkeypatch, tmp_path)
    made.cuda, made.cupy = driver, HostCuPy()
    made.blas, made.frontend = HostBlas(driver), HostFrontend(driver)
    made.install(monkeypatch)
    return made.open(monkeypatch)
