"""The OpenCL pack's native side: driven through the contract as libreplay drives it, and by it."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

import dispatch
import runtime
from dispatch.conformance.layouts import from_layout, physical_shape, to_layout
from dispatch.contract import Kernel
from dispatch.core import ffi, lib
from dispatch.dtypes import numpy_dtype
from dispatch.native import NativeKernel, NativeOpenPack, NativePack
from dispatch.problem import Problem
from tests.packs.opencl_devices import float32

PACK = NativePack(
    name="opencl",
    package="kernels.opencl",
    library="libkernels_opencl.so",
    devices=("opencl",),
    build="",
)
REPLAY_RUN = str(files("runtime").joinpath("replay_run"))
HOST_TO_DEVICE, DEVICE_TO_HOST = 0, 1
OPENCL = 4  # kDLOpenCL


def checked(status: int, error: Any) -> None:
    """Fail with the pack's message."""
    assert status == 0, ffi.string(error.message).decode()


def at(array: np.ndarray) -> Any:
    """Return an array's address."""
    return ffi.cast("void *", array.ctypes.data)


class NativeDevice:
    """The pack opened on a file of kernels, with a queue; a context manager that frees all."""

    def __init__(self, exported: bytes, folder: Path, device: int = 0, **options: str) -> None:
        file = folder / "test.kernels"
        file.write_bytes(exported)
        self.pack: NativeOpenPack = PACK.open(
            {"kernels": str(file), "device": str(device), **options}
        )
        self.memory = lib.core_pack_memory(self.pack.handle)
        self.handle = lib.core_pack_handle(self.pack.handle)
        self.where = ffi.new("DLDevice *", {"device_type": OPENCL, "device_id": 0})[0]
        self.error = ffi.new("kp_error *")
        slot = ffi.new("void **")
        checked(self.memory.open_queue(self.handle, self.where, slot, self.error), self.error)
        self.queue = slot[0]
        self.buffers: list[Any] = []

    def __enter__(self) -> NativeDevice:
        return self

    def __exit__(self, *_: object) -> None:
        self.free()
        self.memory.close_queue(self.handle, self.queue)
        lib.core_pack_close(self.pack.handle)

    def free(self) -> None:
        """Free all buffers."""
        for buffer in self.buffers:
            self.memory.free(self.handle, self.where, buffer)
        self.buffers.clear()

    def kernel(self, name: str) -> NativeKernel:
        """Return a kernel of the file."""
        return next(k for k in self.pack.kernels if k.name == name)

    def buffer(self, size: int, array: np.ndarray | None = None) -> Any:
        """Return a buffer with an array's values, or with bytes that are no result."""
        slot = ffi.new("void **")
        checked(self.memory.allocate(self.handle, self.where, size, slot, self.error), self.error)
        self.buffers.append(slot[0])
        held = np.full(size, 0xA5, np.uint8) if array is None else np.ascontiguousarray(array)
        if size:
            status = self.memory.copy(
                self.handle, slot[0], at(held), size, HOST_TO_DEVICE, self.queue, self.error
            )
            checked(status, self.error)
            self.wait()
        return slot[0]

    def wait(self) -> None:
        """Wait for the queue."""
        checked(self.memory.synchronize(self.handle, self.queue, self.error), self.error)

    def run(
        self, kernel: Kernel, problem: Problem, arrays: Sequence[np.ndarray | None]
    ) -> list[np.ndarray]:
        """Prepare a kernel for a problem, run it, and return its outputs."""
        native = self.kernel(kernel.name)
        stored = [
            None if a is None or spec is None else to_layout(a, spec.layout)
            for a, spec in zip(arrays, problem.inputs, strict=True)
        ]
        inputs = [None if a is None else self.buffer(a.nbytes, a) for a in stored]
        results = [
            np.empty(physical_shape(spec), numpy_dtype(spec.dtype)) for spec in problem.outputs
        ]
        outputs = [self.buffer(y.nbytes) for y in results]
        prepared = native.prepare(
            problem, [None if a is None else np.zeros(1) for a in arrays]
        )  # which these kernels don't look at
        scratch = ffi.NULL
        size = lib.core_call_scratch_bytes(prepared.call)
        if size:
            scratch = self.buffer(size)
        pointers = ffi.new("void *[]", [ffi.NULL if b is None else b for b in (*inputs, *outputs)])
        status = lib.core_call_run_with(prepared.call, pointers, scratch, self.queue)
        assert status == 0, f"{kernel.name} on {problem}: status {status}"
        for y, buffer in zip(results, outputs, strict=True):
            if y.nbytes:
                status = self.memory.copy(
                    self.handle, at(y), buffer, y.nbytes, DEVICE_TO_HOST, self.queue, self.error
                )
                checked(status, self.error)
        self.wait()
        self.free()
        return [from_layout(y, spec) for y, spec in zip(results, problem.outputs, strict=True)]


def replay_without_python(
    folder: Path, arrays: Sequence[np.ndarray], device: int, *more: str
) -> subprocess.CompletedProcess[str]:
    """Run a folder's m.safetensors with its m.kernels on arrays."""
    command = [
        *(REPLAY_RUN, str(folder / "m.safetensors"), "--runs", "2"),
        *("--pack", str(PACK.find()), "--option", f"kernels={folder / 'm.kernels'}"),
        *("--option", f"device={device}", *more),
    ]
    for index, array in enumerate(arrays):
        array.tofile(folder / f"x{index}")
        command += ["--input", str(folder / f"x{index}")]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def network(rng: np.random.Generator) -> runtime.Trace:
    """Return a small trace."""
    w = float32(rng, 4, 3, 3, 3)
    return runtime.trace(lambda x: dispatch.relu(dispatch.conv2d(x, w)), float32(rng, 1, 3, 6, 6))
