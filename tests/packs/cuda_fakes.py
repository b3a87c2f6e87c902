"""A CUDA driver, CuPy, PyTorch and cuDNN's frontend that run nothing and write down everything."""

from __future__ import annotations

import ctypes
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

CONTEXT = 0x7000


def value(argument: Any) -> Any:
    """Return the number in a ctypes value, or a plain one."""
    return argument.value if isinstance(argument, ctypes._SimpleCData) else argument


class Launched:
    """What one cuLaunchKernel was given."""

    def __init__(self, arguments: tuple[Any, ...], module: bytes) -> None:
        function, *rest = arguments
        self.function, self.module = value(function), module
        self.grid, self.block = tuple(rest[:3]), tuple(rest[3:6])
        self.shared, self.stream = rest[6], value(rest[7]) or 0
        pointers = rest[8]
        *self.slots, self.parameters_at = list(pointers)
        self.addresses = [ctypes.c_uint64.from_address(slot).value for slot in self.slots]

    def parameters(self, size: int) -> bytes:
        """Return the struct that the kernel takes last; its memory must still be there."""
        return ctypes.string_at(self.parameters_at, size)


class FakeDriver:
    """The C functions of libcuda that the pack uses."""

    def __init__(self, version: int = 13000, devices: tuple[str, ...] = ("Fake H200",)) -> None:
        self.version, self.names = version, devices
        self.calls: list[str] = []
        self.launches: list[Launched] = []
        self.images: list[bytes] = []
        self.current: list[int] = [0]
        self.status: dict[str, int] = {}
        self.waits: list[tuple[int, int]] = []
        self._recorded = 0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        does = getattr(type(self), f"_{name}", None)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if self.status.get(name):
                return self.status[name]
            if does is not None:
                does(self, *arguments)
            return 0

        return call

    def _cuDriverGetVersion(self, number: Any) -> None:
        number._obj.value = self.version

    def _cuDeviceGetCount(self, number: Any) -> None:
        number._obj.value = len(self.names)

    def _cuDeviceGetName(self, name: Any, size: int, index: int) -> None:
        name.value = self.names[index].encode()

    def _cuDeviceGetAttribute(self, number: Any, attribute: int, index: int) -> None:
        number._obj.value = {75: 9, 76: 0, 1: 1024, 8: 48 << 10}[attribute]

    def _cuDevicePrimaryCtxRetain(self, context: Any, index: int) -> None:
        context._obj.value = CONTEXT + index

    def _cuCtxGetCurrent(self, context: Any) -> None:
        context._obj.value = self.current[-1]

    def _cuCtxPushCurrent_v2(self, context: Any) -> None:
        self.current.append(value(context))

    def _cuCtxPopCurrent_v2(self, context: Any) -> None:
        self.current.pop()

    def _cuGetErrorString(self, status: int, text: Any) -> None:
        text._obj.value = {2: b"out of memory", 700: b"an illegal memory access"}.get(status, b"?")

    def _cuModuleLoadData(self, module: Any, image: bytes) -> None:
        self.images.append(image)
        module._obj.value = len(self.images)

    def _cuModuleGetFunction(self, function: Any, module: Any, name: bytes) -> None:
        function._obj.value = 0x100 + value(module)

    def _cuLaunchKernel(self, *arguments: Any) -> None:
        assert self.current[-1] >= CONTEXT, "no context is current"
        image = self.images[value(arguments[0]) - 0x101]
        self.launches.append(Launched(arguments, image))

    def _cuEventRecord(self, event: Any, stream: Any) -> None:
        self._recorded = value(stream) or 0

    def _cuStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> None:
        self.waits.append((value(stream) or 0, self._recorded))


class Allocation:
    """Device memory: an address that nothing reads."""

    next = 0x10000

    def __init__(self, size: int, device_id: int = 0) -> None:
        self.ptr, self.size, self.device_id = Allocation.next, size, device_id
        Allocation.next += -(-max(size, 1) // 512) * 512


class CuPyArray:
    """CuPy's array, as far as the pack looks at it."""

    __module__ = "cupy.fake"

    def __init__(self, shape: tuple[int, ...], dtype: Any, device_id: int = 0) -> None:
        self._like = np.lib.stride_tricks.as_strided(
            np.zeros(1, dtype), shape, np.empty(shape, np.dtype(dtype)).strides
        )
        self.data: Any = Allocation(int(np.prod(shape)) * np.dtype(dtype).itemsize, device_id)

    dtype = property(lambda self: self._like.dtype)
    shape = property(lambda self: self._like.shape)
    strides = property(lambda self: self._like.strides)

    def __getitem__(self, index: Any) -> CuPyArray:
        part = CuPyArray.__new__(CuPyArray)
        part._like = self._like[index]
        start = part._like.__array_interface__["data"][0]
        offset = start - self._like.__array_interface__["data"][0]
        part.data = SimpleNamespace(ptr=self.data.ptr + offset, device_id=self.data.device_id)
        return part


class TorchTensor:
    """PyTorch's tensor on a GPU, as far as the pack looks at it."""

    __module__ = "torch.fake"

    def __init__(self, shape: tuple[int, ...], dtype: str = "float32", index: int = 0) -> None:
        self.shape, self.device = shape, SimpleNamespace(index=index)
        self.dtype = f"torch.{dtype}"
        self.requires_grad = False
        self._memory = Allocation(int(np.prod(shape)) * 8)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self.device.index)

    def stride(self) -> tuple[int, ...]:
        return tuple(s // 4 for s in np.empty(self.shape, np.float32).strides)

    def data_ptr(self) -> int:
        return self._memory.ptr


class OutOfMemoryError(MemoryError):
    """What CuPy and PyTorch raise."""


class _Entered:
    def __init__(self, *_: int) -> None:
        pass

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        return None


class FakeCompiler:
    """A compiler whose cubins are the programs' text."""

    version = "13.0"

    def compile(self, text: str, options: tuple[str, ...], what: str) -> bytes:
        """Return the text and the options."""
        return "\n".join((*options, text)).encode()


def _module(name: str, **attributes: Any) -> ModuleType:
    made = ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(attributes)
    return made


class FakeCuPy:
    """The module cupy, and the stream that is current."""

    def __init__(self) -> None:
        self.stream, self.full = 0, False
        self.allocated_for: list[int] = []
        self.module = _module(
            "cupy",
            empty=lambda shape, dtype: self._made(lambda: CuPyArray(shape, dtype)),
            cuda=SimpleNamespace(
                Device=_Entered,
                ExternalStream=self._external,
                alloc=lambda size: self._made(lambda: Allocation(size)),
                get_current_stream=lambda device_id: SimpleNamespace(ptr=self.stream),
                memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            ),
        )

    def _external(self, stream: int, device_id: int) -> _Entered:
        self.allocated_for.append(stream)
        return _Entered()

    def _made(self, make: Any) -> Any:
        if self.full:
            raise OutOfMemoryError("no more")
        return make()


def fake_torch() -> ModuleType:
    """Return the module torch, whose current stream is 0."""
    return _module(
        "torch",
        float32="float32",
        empty=lambda shape, dtype, device: TorchTensor(shape, dtype, device.index),
        cuda=SimpleNamespace(
            current_stream=lambda device_id: SimpleNamespace(cuda_stream=0),
            OutOfMemoryError=OutOfMemoryError,
        ),
    )


class FakeFrontend:
    """The module cudnn: takes every graph, and writes down what is executed."""

    def __init__(self, version: int = 92801, workspace: int = 4096) -> None:
        self.executed: list[tuple[dict[int, int], int, Any]] = []
        self.loaded: list[list[int]] = []
        self.deselected: list[list[str]] = []
        self.refuses, self.planned = False, 0
        outer = self

        class Anything:
            def __getattr__(self, name: str) -> str:
                return name

        class Tensor:
            def __getattr__(self, name: str) -> Any:
                return lambda *_: self

        class Graph:
            def __init__(self, handle: Any = None, **_: Any) -> None:
                self.handle = handle

            def __getattr__(self, name: str) -> Any:
                return lambda *_, **__: Tensor()

            def deselect_numeric_notes(self, notes: list[str]) -> None:
                outer.deselected.append(notes)

            def check_support(self) -> None:
                if outer.refuses:
                    raise RuntimeError("No valid engine configs\nand more")

            def build_plans(self, policy: str) -> None:
                outer.planned += 1

            def get_workspace_size(self) -> int:
                return workspace

            def serialize(self) -> list[int]:
                return [1, 2, 3]

            def deserialize(self, handle: Any, data: list[int]) -> None:
                outer.loaded.append(data)

            def execute(self, pack: dict[int, int], workspace: int, handle: Any = None) -> None:
                outer.executed.append((pack, workspace, handle))

        self.module = _module(
            "cudnn",
            __version__="1.28.0",
            backend_version=lambda: version,
            pygraph=Graph,
            data_type=Anything(),
            heur_mode=Anything(),
            numerical_note=Anything(),
            norm_forward_phase=Anything(),
            build_plan_policy=Anything(),
            cudnnGraphNotSupportedError=type("cudnnGraphNotSupportedError", (Exception,), {}),
            create_device_properties=lambda _: SimpleNamespace(serialize=lambda: "a fake H200"),
            create_handle=lambda: SimpleNamespace(stream=None),
            set_stream=lambda handle, stream: setattr(handle, "stream", stream),
        )
