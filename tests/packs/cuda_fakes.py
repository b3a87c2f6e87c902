"""A CUDA driver, CuPy, PyTorch and cuDNN's frontend that run nothing and write down everything."""

from __future__ import annotations

import ctypes
import threading
import time
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from tests.packs.c_prototypes import check_call

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
        self._threads = threading.local()
        self.status: dict[str, int] = {}
        self.waits: list[tuple[int, int]] = []
        self._recorded = 0
        self.recording: int | None = None
        self.spoiled = False
        self.graphs: dict[int, list[Launched] | None] = {}
        self.graph_launches: list[tuple[int, int]] = []
        self.copies: list[tuple[int, int, int, int]] = []
        self.written: list[tuple[int, int, int]] = []
        self.waited: list[int] = []

    @property
    def current(self) -> list[int]:
        """The contexts that the calling thread has pushed; each has a stack of its own."""
        if not hasattr(self._threads, "contexts"):
            self._threads.contexts = [0]
        contexts: list[int] = self._threads.contexts
        return contexts

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cu"):
            raise AttributeError(name)
        does = getattr(type(self), f"_{name}", None)

        def call(*arguments: Any) -> int:
            check_call(name, arguments)
            self.calls.append(name)
            if self.status.get(name):
                return self.status[name]
            return (does and does(self, *arguments)) or 0

        return call

    def _cuDriverGetVersion(self, number: Any) -> None:
        number._obj.value = self.version

    def _cuDeviceGetCount(self, number: Any) -> None:
        number._obj.value = len(self.names)

    def _cuDeviceGetName(self, name: Any, size: int, index: int) -> None:
        name.value = self.names[index].encode()

    def _cuDeviceGetAttribute(self, number: Any, attribute: int, index: int) -> None:
        number._obj.value = {75: 9, 76: 0, 1: 1024, 8: 48 << 10, 16: 132}[attribute]

    def _cuDevicePrimaryCtxRetain(self, context: Any, index: int) -> None:
        context._obj.value = CONTEXT + index

    def _cuCtxGetCurrent(self, context: Any) -> None:
        context._obj.value = self.current[-1]

    def _cuCtxPushCurrent_v2(self, context: Any) -> None:
        self.current.append(value(context))

    def _cuCtxPopCurrent_v2(self, context: Any) -> None:
        self.current.pop()

    def _cuGetErrorString(self, status: int, text: Any) -> None:
        text._obj.value = {
            2: b"out of memory",
            700: b"an illegal memory access",
            901: b"operation failed due to a previous error during capture",
        }.get(status, b"?")

    def _cuModuleLoadData(self, module: Any, image: bytes) -> None:
        self.images.append(image)
        module._obj.value = len(self.images)

    def _cuModuleGetFunction(self, function: Any, module: Any, name: bytes) -> None:
        function._obj.value = 0x100 + value(module)

    def _cuLaunchKernel(self, *arguments: Any) -> None:
        assert self.current[-1] >= CONTEXT, "no context is current"
        image = self.images[value(arguments[0]) - 0x101]
        self.launches.append(Launched(arguments, image))

    def _cuMemcpyDtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        self.copies.append((value(target), value(source), value(size), value(stream) or 0))

    def _cuMemcpyHtoDAsync_v2(self, target: Any, source: Any, size: Any, stream: Any) -> None:
        self.written.append((value(target), value(size), value(stream) or 0))

    def _cuStreamSynchronize(self, stream: Any) -> None:
        self.waited.append(value(stream) or 0)

    def _cuStreamIsCapturing(self, stream: Any, state: Any) -> None:
        state._obj.value = int(
            self.recording is not None and self.recording == (value(stream) or 0)
        )

    def _cuStreamBeginCapture_v2(self, stream: Any, mode: int) -> None:
        assert value(stream), "the legacy default stream can't be recorded"
        assert self.recording is None and mode == 1
        self.recording, self._before = value(stream), len(self.launches)

    def _cuStreamEndCapture(self, stream: Any, graph: Any) -> int | None:
        assert self.recording == value(stream)
        self.recording = None
        recorded = self.launches[self._before :]
        del self.launches[self._before :]
        if self.spoiled:
            return 901
        graph._obj.value = self._keep(recorded)
        return None

    def _cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, flags: Any) -> None:
        assert value(flags) == 0
        executable._obj.value = self._keep(self.graphs[value(graph)])

    def _keep(self, recorded: list[Launched] | None) -> int:
        self.graphs[handle := 0x9000 + len(self.graphs)] = recorded
        return handle

    def _cuGraphDestroy(self, graph: Any) -> None:
        assert self.graphs[value(graph)] is not None, "destroyed twice"
        self.graphs[value(graph)] = None

    def _cuGraphExecDestroy(self, executable: Any) -> None:
        self._cuGraphDestroy(executable)

    def _cuGraphLaunch(self, executable: Any, stream: Any) -> None:
        recorded = self.graphs[value(executable)]
        assert recorded is not None, "launched after it was destroyed"
        assert self.current[-1] >= CONTEXT, "no context is current"
        self.graph_launches.append((value(executable), value(stream) or 0))
        self.launches += recorded

    @property
    def live_graphs(self) -> list[int]:
        """Graphs and executable ones that weren't destroyed."""
        return [handle for handle, recorded in self.graphs.items() if recorded is not None]

    def _cuEventRecord(self, event: Any, stream: Any) -> None:
        self._recorded = value(stream) or 0

    def _cuStreamWaitEvent(self, stream: Any, event: Any, flags: int) -> None:
        self.waits.append((value(stream) or 0, self._recorded))


class FakeBlas:
    """The C functions of cuBLAS that the pack uses."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self.status: dict[str, int] = {}
        self.handles: list[int] = []
        self.streams: dict[int, int] = {}
        self.slow = 0.0

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("cublas"):
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            check_call(name, arguments)
            time.sleep(self.slow)
            plain = tuple(getattr(a, "_obj", a) for a in arguments)
            self.calls.append((name, tuple(value(a) for a in plain)))
            if name == "cublasGetStatusString":
                return {3: b"the resource allocation failed"}.get(arguments[0])
            if self.status.get(name):
                return self.status[name]
            if name == "cublasSetWorkspace_v2" and (value(plain[1]) or 0) % 256:
                return 7
            if name == "cublasGetProperty":
                plain[1].value = (13, 10, 0)[arguments[0]]
            if name == "cublasCreate_v2":
                plain[0].value = 0xB000 + len(self.handles)
                self.handles.append(plain[0].value)
            if name == "cublasSetStream_v2":
                self.streams[value(plain[0])] = value(plain[1]) or 0
            return 0

        return call

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """Return the arguments of all calls of a function."""
        return [arguments for called, arguments in self.calls if called == name]


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


class CUDARuntimeError(RuntimeError):
    """What CuPy raises where NVIDIA's runtime fails."""


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
        self.stream, self.full, self.own_streams = 0, False, 0
        self.lost = False
        self.allocated_for: list[int] = []
        self.module = _module(
            "cupy",
            empty=lambda shape, dtype: self._made(lambda: CuPyArray(shape, dtype)),
            cuda=SimpleNamespace(
                Device=_Entered,
                Stream=self._stream_type(),
                alloc=lambda size: self._made(lambda: Allocation(size)),
                get_current_stream=lambda device_id: SimpleNamespace(ptr=self.stream),
                memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
                runtime=SimpleNamespace(CUDARuntimeError=CUDARuntimeError),
            ),
        )

    def _stream_type(self) -> type:
        outer = self

        class Stream:
            def __init__(self, non_blocking: bool) -> None:
                assert non_blocking
                outer.own_streams += 1
                self.ptr = 0xC0 + outer.own_streams

            @staticmethod
            def from_external(stream: Any) -> _Entered:
                version, pointer = stream.__cuda_stream__()
                assert version == 0 and type(pointer) is int
                outer.allocated_for.append(pointer)
                return _Entered()

        return Stream

    def _made(self, make: Any) -> Any:
        if self.full:
            raise OutOfMemoryError("no more")
        if self.lost:
            raise CUDARuntimeError("cudaErrorIllegalAddress")
        return make()


def fake_torch() -> ModuleType:
    """Return the module torch, whose current stream is 0."""
    return _module(
        "torch",
        float32="float32",
        empty=lambda shape, dtype, device: TorchTensor(shape, dtype, int(device.split(":")[1])),
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
        self.loaded_on: list[int] = []
        self.deselected: list[list[str]] = []
        self.refuses, self.planned = False, 0
        self.engines, self.barred = 6, {1}
        self.same: dict[int, int] = {}
        self.refused_operations: set[str] = set()
        self.handles: list[Any] = []
        outer = self

        class Anything:
            def __getattr__(self, name: str) -> str:
                return name

        class Tensor:
            def __getattr__(self, name: str) -> Any:
                return lambda *_: self

        class Graph:
            def __init__(self, handle: Any = None, **_: Any) -> None:
                self.handle, self.operations, self.index = handle, [], 0

            def __getattr__(self, name: str) -> Any:
                def add(*_: Any, **__: Any) -> Tensor:
                    self.operations.append(name)
                    return Tensor()

                return add

            def deselect_numeric_notes(self, notes: list[str]) -> None:
                outer.deselected.append(notes)

            def check_support(self) -> None:
                if outer.refuses or outer.refused_operations & set(self.operations):
                    raise RuntimeError("No valid engine configs\nand more")

            def get_execution_plan_count(self) -> int:
                return outer.engines

            def build_plan_at_index(self, index: int) -> None:
                if index in outer.barred:
                    raise RuntimeError("Deselecting execution plan")
                self.index = index
                outer.planned += 1

            def get_workspace_size_plan_at_index(self, index: int) -> int:
                return workspace + index

            def serialize(self) -> list[int]:
                return [1, 2, 3, outer.same.get(self.index, self.index)]

            def deserialize(self, handle: Any, data: list[int]) -> None:
                outer.loaded.append(data)
                outer.loaded_on.append(handle.stream)

            def execute(self, pack: dict[int, int], workspace: int, handle: Any = None) -> None:
                outer.executed.append((pack, workspace, handle))

        def create_handle() -> Any:
            self.handles.append(SimpleNamespace(stream=None))
            return self.handles[-1]

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
            create_handle=create_handle,
            set_stream=lambda handle, stream: setattr(handle, "stream", stream),
        )
