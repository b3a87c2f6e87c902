"""What the pack does on the driver of tests/packs/libcuda, a check a process:

    LD_LIBRARY_PATH=FOLDER python -m tests.packs.cudnn_on_libcuda CHECK

CuPy, NVRTC, ctypes and the driver's C interface are real; the runtime beneath CuPy is ours. cuDNN
and cuBLAS are real where a check says nothing else: NVIDIA's runtime within them refuses the
driver. `LIBRARIES` are fakes of both that allocate and enqueue as the real ones do.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kernels.cudnn import enqueue
from kernels.cudnn.compiler import compiler
from tests.packs.cuda_fakes import FakeBlas, FakeFrontend, value
from tests.packs.cuda_for_tests import cupy_on_driver, loaded, torch_on_driver
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


# ---- Kernels that run -------------------------------------------------------------------------


class HostCompiler(PtxCompiler):
    """NVRTC, whose PTX is made into shared objects for the driver to load."""

    version = "for the host"  # what is kept on disk is kept by it


def with_kernels() -> None:
    """Have the pack's kernels run, as NVRTC compiles them to PTX."""
    made = HostCompiler(compiler()._c)
    vars(enqueue)["compiler"] = lambda: made


# ---- Libraries that allocate and enqueue ------------------------------------------------------

FILLED = 0x07070707
"""What the two libraries' results consist of, as 32 bits."""


def allocate() -> None:
    """Allocate as a library's handle does, which nothing that is recorded may."""
    status = loaded().cuMemAlloc_v2(ctypes.byref(ctypes.c_uint64()), ctypes.c_size_t(8))
    if status:
        raise RuntimeError(f"no handle: {status}")


def fill(target: int, size: int, stream: int) -> None:
    status = loaded().cuMemsetD8Async(
        *(ctypes.c_uint64(target), ctypes.c_ubyte(7), ctypes.c_size_t(size)),
        ctypes.c_void_p(stream),
    )
    if status:
        raise RuntimeError(f"not enqueued: {status}")


class Blas(FakeBlas):
    """cuBLAS whose handles allocate, and whose products fill their result."""

    def __getattr__(self, name: str) -> Any:
        called = super().__getattr__(name)

        def call(*arguments: Any) -> Any:
            status = called(*arguments)
            if name == "cublasCreate_v2":
                allocate()
            if name == "cublasGemmStridedBatchedEx_64":
                handle, m, n, result = (value(arguments[i]) for i in (0, 3, 4, 16))
                fill(result, 4 * m * n, self.streams[handle])
            return status

        return call


def with_libraries(size: int = 0) -> None:
    """Put such a cuBLAS, and a frontend whose graphs fill `size` bytes, in their places."""
    from kernels.cudnn import blas

    frontend, library = FakeFrontend(), Blas()
    create, graph = frontend.module.create_handle, frontend.module.pygraph

    def create_handle() -> Any:
        allocate()
        return create()

    def execute(self: Any, pack: dict[int, int], workspace: int, handle: Any = None) -> None:
        fill(pack[max(pack)], size, handle.stream)

    frontend.module.create_handle, graph.execute = create_handle, execute
    sys.modules["cudnn"] = frontend.module
    vars(blas)["shared_library"] = lambda *_: library


# ---- The driver -------------------------------------------------------------------------------

CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED, CAPTURE_UNJOINED, CAPTURE_IMPLICIT = 900, 901, 904, 906


class Raw:
    """The driver's functions with plain numbers, each a status; handles are 64 bits."""

    def __init__(self) -> None:
        self._c = loaded()
        assert self.cuInit(0) == 0
        assert self.cuCtxSetCurrent(self.made("cuDevicePrimaryCtxRetain", 0)) == 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        function = getattr(self._c, name)

        def call(*arguments: Any) -> int:
            wide = (ctypes.c_uint64(a) if isinstance(a, int) else a for a in arguments)
            return int(function(*wide))

        return call

    def made(self, name: str, *arguments: Any) -> int:
        """Return what a function makes, by its first parameter."""
        handle = ctypes.c_uint64()
        assert getattr(self, name)(ctypes.byref(handle), *arguments) == 0
        return handle.value

    def capturing(self, mode: int = 1, flags: int = 1) -> int:
        stream = self.made("cuStreamCreate", flags)
        assert self.cuStreamBeginCapture_v2(stream, mode) == 0
        return stream

    def ended(self, stream: int) -> int:
        """End a capture; return its status."""
        return self.cuStreamEndCapture(stream, ctypes.byref(ctypes.c_uint64()))


@check
def memory_is_poisoned_and_guarded() -> None:
    raw = Raw()
    start = raw.made("cuMemAlloc_v2", 1000)
    assert start % 512 == 0
    host = (ctypes.c_ubyte * 1000)()
    address = ctypes.addressof(host)
    assert raw.cuMemcpyDtoH_v2(address, start, 1000) == 0 and set(host) == {POISON}
    for function, *arguments in (
        ("cuMemcpyDtoH_v2", address, start, 1001),
        ("cuMemcpyHtoD_v2", start + 1, address, 1000),
        ("cuMemcpyHtoD_v2", start - 1, address, 1),
        ("cuMemsetD8_v2", start + 999, 0, 2),
        ("cuMemFree_v2", start + 8),
        ("cuMemFree_v2", address),
    ):
        assert getattr(raw, function)(*arguments) == 1, function
    assert raw.cuMemsetD32_v2(start, 0x01020304, 250) == 0
    assert raw.cuMemcpyDtoH_v2(address, start, 1000) == 0 and [*host[:5]] == [4, 3, 2, 1, 4]
    assert raw.cuMemFree_v2(start) == 0
    assert raw.cuMemFree_v2(start) == 1 and raw.cuMemcpyDtoH_v2(address, start, 1) == 1
    start = raw.made("cuMemAlloc_v2", 1000)
    ctypes.memset(start + 1000, 0, 1)
    assert raw.cuMemFree_v2(start) == 700, "what lies behind an allocation was written to"


@check
def captures_keep_the_rules() -> None:
    raw = Raw()
    start, event = raw.made("cuMemAlloc_v2", 64), raw.made("cuEventCreate", 2)
    other = raw.made("cuStreamCreate", 1)
    host = ctypes.addressof((ctypes.c_ubyte * 64)())
    assert raw.cuStreamBeginCapture_v2(0, 1) == CAPTURE_UNSUPPORTED
    for name, *arguments in (
        ("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 64),
        ("cuMemFree_v2", start),
        ("cuCtxSynchronize",),
        ("cuStreamSynchronize", other),
        ("cuMemcpyHtoD_v2", start, host, 8),
    ):
        for mode, status in ((0, CAPTURE_UNSUPPORTED), (1, CAPTURE_UNSUPPORTED)):
            stream = raw.capturing(mode)
            assert getattr(raw, name)(*arguments) == status, name
            assert raw.cuMemsetD8Async(start, 0, 8, stream) == CAPTURE_INVALIDATED
            assert raw.ended(stream) == CAPTURE_INVALIDATED
    stream = raw.capturing()
    assert raw.cuStreamSynchronize(stream) == CAPTURE_UNSUPPORTED
    assert raw.ended(stream) == CAPTURE_INVALIDATED
    stream = raw.capturing(mode=2)  # relaxed
    assert raw.cuMemFree_v2(raw.made("cuMemAlloc_v2", 64)) == 0 and raw.ended(stream) == 0
    stream = raw.capturing(flags=0)  # one that the default stream waits for
    assert raw.cuMemsetD8Async(start, 0, 8, 0) == CAPTURE_IMPLICIT
    assert raw.ended(stream) == CAPTURE_INVALIDATED
    stream = raw.capturing()
    assert raw.cuMemsetD8Async(start, 0, 8, 0) == 0 and raw.ended(stream) == 0
    for joins, status in ((True, 0), (False, CAPTURE_UNJOINED)):
        stream = raw.capturing()
        assert raw.cuMemsetD8Async(start, 1, 8, stream) == 0
        assert raw.cuEventRecord(event, stream) == 0
        assert raw.cuStreamWaitEvent(other, event, 0) == 0
        assert raw.cuMemsetD8Async(start, 2, 8, other) == 0
        if joins:
            assert raw.cuEventRecord(event, other) == 0
            assert raw.cuStreamWaitEvent(stream, event, 0) == 0
        assert raw.ended(other) != 0 or joins
        assert raw.ended(stream) in (status, CAPTURE_INVALIDATED)


@check
def another_threads_capture_stops_no_one() -> None:
    raw = Raw()
    stream, statuses = raw.capturing(), []

    def works() -> None:
        mine = Raw()
        statuses.append(mine.cuMemFree_v2(mine.made("cuMemAlloc_v2", 64)))
        statuses.append(mine.ended(stream))

    thread = threading.Thread(target=works)
    thread.start()
    thread.join()
    assert statuses == [0, 908]
    assert raw.ended(stream) == CAPTURE_INVALIDATED


@check
def what_is_recorded_runs_when_it_is_launched() -> None:
    raw = Raw()
    start, stream = raw.made("cuMemAlloc_v2", 4), raw.capturing()
    host = ctypes.c_uint32(5)
    address = ctypes.addressof(host)
    assert raw.cuMemsetD32Async(start, 9, 1, stream) == 0
    assert raw.cuMemcpyDtoHAsync_v2(address, start, 4, stream) == 0
    graph = ctypes.c_uint64()
    assert raw.cuStreamEndCapture(stream, ctypes.byref(graph)) == 0 and host.value == 5
    executable = raw.made("cuGraphInstantiateWithFlags", graph.value, 0)
    assert raw.cuGraphDestroy(graph.value) == 0
    for number in (1, 2):
        host.value = number
        assert raw.cuGraphLaunch(executable, stream) == 0 and host.value == 9
    assert raw.cuMemFree_v2(start) == 0
    assert raw.cuGraphLaunch(executable, stream) == 700, "what it sets is gone"
    assert raw.cuCtxSynchronize() == 700, "and the device is lost"


# ---- The pack ---------------------------------------------------------------------------------


def with_cupy() -> ModuleType:
    """Return CuPy, on the driver."""
    cupy_on_driver()
    import cupy

    module: ModuleType = cupy
    return module


@check
def arrays_go_there_and_back() -> None:
    import dispatch

    cupy = with_cupy()
    x = on_device(cupy, 3, 4)
    assert x.data.ptr % 512 == 0
    nvidia = next(d for d in dispatch.devices() if d.name == "nvidia")
    assert nvidia.available and nvidia.names == ("NVIDIA H200",)
    for array in (x, x[:, ::2], x.T, x[:0], x[:, None]):
        y = dispatch.relu(array)
        assert type(y) is cupy.ndarray and y.shape == array.shape
    assert launches("map") == 6, "two copies, and none for what has no elements"
    assert set(y.get().view(np.uint8).ravel()) == {POISON}, "what a cubin would compute isn't there"


@check
def kernels_compute() -> None:
    import dispatch
    import runtime

    cupy = with_cupy()
    with_kernels()
    x = on_device(cupy, 1000)
    np.testing.assert_array_equal(dispatch.neg(x).get(), -x.get())
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        y = dispatch.neg(x)
        np.testing.assert_array_equal(y.get(), -x.get())
    replay = runtime.trace(lambda x: dispatch.neg(dispatch.neg(dispatch.neg(x))), x.get())
    replay = replay.compile(device="nvidia")
    np.testing.assert_array_equal(replay(x).get(), -x.get())
    before = calls("cuGraphLaunch")
    bound = replay.bind(x)
    for number in range(3):
        x[...] = cupy.asarray(np.full(1000, number, np.float32))
        np.testing.assert_array_equal(bound().get(), np.full(1000, -number, np.float32))
    assert calls("cuGraphLaunch") == before + 3
    assert calls("cuStreamBeginCapture_v2") == calls("cuStreamEndCapture")
    del bound, replay
    gc.collect()
    assert calls("cuGraphExecDestroy") == calls("cuGraphInstantiateWithFlags")


@check
def every_way_to_a_kernel_computes() -> None:
    import dispatch
    import runtime

    cupy = with_cupy()
    with_kernels()
    x, w = on_device(cupy, 2, 3, 9, 8), on_device(cupy, 4, 3, 3, 3)
    bias, host_w = on_device(cupy, 4), w.get()
    wide = dispatch.conv2d(*(a.get().astype(np.float64) for a in (x, w, bias)), activation="silu")
    y = dispatch.conv2d(x, w, bias, activation="silu")
    np.testing.assert_allclose(y.get(), wide, rtol=0, atol=1e-4)
    for view in (  # on the host, too: CuPy's own kernels compute nothing here
        lambda x: x[:, :, ::2],
        lambda x: x.transpose(0, 2, 3, 1),
        lambda x: x[1:, 1:],
    ):
        np.testing.assert_array_equal(dispatch.neg(view(x)).get(), -view(x.get()))
    a, b = on_device(cupy, 33, 20), on_device(cupy, 20, 17)
    with dispatch.using(kernel="cudnn.matmul.tiled_64x64.f32"):
        product = dispatch.matmul(a, b).get()
    np.testing.assert_allclose(product, a.get() @ b.get(), rtol=0, atol=1e-4)

    def several(x: Any) -> Any:
        y = dispatch.conv2d(x, dispatch.constant(host_w), pads=1, activation="relu")
        return dispatch.softmax(dispatch.reshape(dispatch.max_pool2d(y, (2, 2)), (2, -1)))

    trace = runtime.trace(several, x.get())
    wanted = trace.compile()(x.get())
    replay = trace.compile(device="nvidia")
    for got in (replay(x), replay.bind(x)()):
        np.testing.assert_allclose(got.get(), wanted, rtol=0, atol=1e-5)


@check
def a_kernel_that_breaks_is_said() -> None:
    import dispatch
    from dispatch.errors import KernelFailed

    cupy = with_cupy()
    with_kernels()
    x = on_device(cupy, 2, 600)
    cut = cupy.ndarray((2000,), np.float32, memptr=x.data)  # longer than its memory
    raises(KernelFailed, "the device is lost to this process", lambda: dispatch.neg(cut))
    raises(KernelFailed, "an illegal memory access", lambda: dispatch.neg(x))
    big = cupy.ndarray((1 << 20,), np.float32, memptr=x.data)
    raises(KernelFailed, "CUDA: no array float32 (1048576,)", lambda: dispatch.neg(big))
    log = Path(os.environ["LIBCUDA_LOG"]).read_text(encoding="utf-8")
    assert '{"kernel": "map: ' in log


def raises(kind: type[BaseException], text: str, function: Callable[[], Any]) -> None:
    with pytest.raises(kind, match=re.escape(text)):
        function()


@check
def nvidias_libraries_refuse_with_the_projects_words() -> None:
    """Real cuDNN and cuBLAS find no device: their kernels refuse or say so, ours serve."""
    import dispatch
    import runtime
    from dispatch.answer import NoCode, Yes
    from dispatch.errors import KernelFailed

    cupy = with_cupy()
    x, w = on_device(cupy, 1, 3, 8, 8), on_device(cupy, 4, 3, 3, 3)
    decision = dispatch.explain(dispatch.conv2d, x, w).decision
    answers = {c.kernel.name: c.answer for c in decision.candidates}
    no = answers["cudnn.conv2d.graph.f32"]
    assert no.code is NoCode.LIBRARY and no.subject == "device", no
    assert isinstance(decision.answer, Yes)
    dispatch.conv2d(x, w)
    a = on_device(cupy, 5, 5)
    with dispatch.using(kernel="cudnn.matmul.cublas.f32"):
        raises(KernelFailed, "cublasCreate_v2: the library was not init", lambda: a_product(a))
    replay = runtime.trace(lambda x: dispatch.conv2d(x, w.get()), x.get()).compile(device="nvidia")
    replay.bind(x)()
    assert calls("cuGraphLaunch") > 0


def a_product(a: Any) -> Any:
    import dispatch

    return dispatch.matmul(a, a)


@check
def libraries_are_recorded() -> None:
    import dispatch
    import runtime

    with_libraries(size=4 * 4 * 6 * 6)
    cupy = with_cupy()
    x, w, a = on_device(cupy, 1, 3, 8, 8), on_device(cupy, 4, 3, 3, 3), on_device(cupy, 5, 5)
    host_w = w.get()

    def convolve(x: Any) -> Any:
        return dispatch.conv2d(x, dispatch.constant(host_w))

    def multiply(x: Any) -> Any:
        return dispatch.matmul(x, x)

    for name, function, given in (
        ("cudnn.conv2d.graph.f32", convolve, x),
        ("cudnn.matmul.cublas.f32", multiply, a),
    ):
        with dispatch.using(kernel=name):
            replay = runtime.trace(function, given.get()).compile(device="nvidia")
        bound = replay.bind(given)  # recorded before either library ever ran
        for stream in (cupy.cuda.Stream.null, cupy.cuda.Stream(non_blocking=True)):
            with stream:
                bound.outputs.fill(0)
                assert set(bound().get().view(np.uint32).ravel()) == {FILLED}, name
    for stream in (cupy.cuda.Stream.null, cupy.cuda.Stream(non_blocking=True)):
        with stream, dispatch.using(kernel="cudnn.matmul.cublas.f32"):
            assert set(dispatch.matmul(a, a).get().view(np.uint32).ravel()) == {FILLED}
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream, dispatch.using(kernel="cudnn.matmul.cublas.f32"):
        y = dispatch.matmul(a, a)  # makes the handle
        stream.begin_capture()
        dispatch.matmul(a, a, out=y)
        graph = stream.end_capture()
        y.fill(0)
        graph.launch(stream)
        assert set(y.get().view(np.uint32).ravel()) == {FILLED}, "the caller's own recording"


@check
def scratch_isnt_allocated_in_a_callers_recording() -> None:
    import dispatch
    from dispatch.errors import KernelFailed

    with_libraries()
    cupy = with_cupy()
    a, y = on_device(cupy, 5, 5), on_device(cupy, 5, 5)
    for mode in (0, 1):  # what any thread does spoils it; what this one does
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream, dispatch.using(kernel="cudnn.matmul.cublas.f32"):
            stream.begin_capture(mode)
            text = "while the stream is recorded: make the same call on it before"
            raises(KernelFailed, text, lambda: dispatch.matmul(a, a, out=y))
            graph = stream.end_capture()  # isn't spoiled
            graph.launch(stream)
            dispatch.matmul(a, a, out=y)
            stream.begin_capture(mode)
            dispatch.matmul(a, a, out=y)
            stream.end_capture().launch(stream)


@check
def streams_are_the_callers() -> None:
    import dispatch
    import runtime

    cupy = with_cupy()
    with_kernels()
    x = on_device(cupy, 1000)
    trace = runtime.trace(lambda x: dispatch.neg(x), x.get())
    streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(2)]
    bound = []
    for stream in streams:
        with stream:
            bound.append(trace.compile(device="nvidia").bind(x))
    for _ in range(3):
        for stream, each in zip(streams, bound, strict=True):
            with stream:
                np.testing.assert_array_equal(each().get(), -x.get())
    per_thread = cupy.cuda.Stream.ptds
    results = []

    def run() -> None:
        with cupy.cuda.Device(0), per_thread:
            results.append(dispatch.neg(x).get())

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 3
    for result in results:
        np.testing.assert_array_equal(result, -x.get())


@check
def no_memory_is_recovered_from() -> None:
    import dispatch
    import runtime
    from dispatch.errors import OutOfMemory

    cupy = with_cupy()
    with_kernels()
    x = on_device(cupy, 1 << 18)
    held: list[Any] = []

    def fill_it() -> None:
        while True:
            held.append(dispatch.neg(x))

    raises(OutOfMemory, "CUDA: no memory for float32 (262144,)", fill_it)
    assert len(held) > 5

    def bind_it() -> Any:
        replay = runtime.trace(lambda x: dispatch.neg(dispatch.neg(x)), x.get())
        return replay.compile(device="nvidia").bind(x)

    raises(OutOfMemory, "CUDA: no memory for", bind_it)
    held.clear()
    np.testing.assert_array_equal(bind_it()().get(), x.get())
    np.testing.assert_array_equal(dispatch.neg(x).get(), -x.get())


@check
def kernels_are_timed() -> None:
    import dispatch

    cupy = with_cupy()
    x = on_device(cupy, 64, 64)
    tuning = dispatch.tune(lambda: dispatch.relu(x), seconds=1, again=True, progress=False)
    (found,) = tuning.records.values()
    assert found and all(0 < record.seconds < 1 for record in found)
    assert calls("cuEventElapsedTime") > 0 and calls("cuGraphLaunch") > 0
    with dispatch.using(tuned=True):
        dispatch.relu(x)


@check
def a_second_device_is_another() -> None:
    import dispatch
    import runtime
    from dispatch.errors import MemoryMismatch

    cupy = with_cupy()
    with_kernels()
    nvidia = next(d for d in dispatch.devices() if d.name == "nvidia")
    assert nvidia.names == ("NVIDIA H200",) * 2
    with cupy.cuda.Device(1):
        x = on_device(cupy, 100)
    y = dispatch.neg(x)
    assert y.device.id == 1 and cupy.cuda.Device().id == 0
    np.testing.assert_array_equal(y.get(), -x.get())
    replay = runtime.trace(lambda x: dispatch.neg(dispatch.neg(x)), x.get())
    z = replay.compile(device="nvidia:1").bind(x)()
    assert z.device.id == 1
    np.testing.assert_array_equal(z.get(), x.get())
    raises(MemoryMismatch, "device 1", lambda: dispatch.add(x, on_device(cupy, 100)))


@check
def a_forked_child_is_told() -> None:
    import dispatch
    from dispatch.errors import ForkedProcessError

    cupy = with_cupy()
    x = on_device(cupy, 100)
    dispatch.relu(x)
    child = os.fork()
    if child == 0:
        try:
            raises(ForkedProcessError, "fork", lambda: dispatch.relu(x))
        except BaseException:  # noqa: BLE001
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


@check
def threads_share_a_device() -> None:
    import dispatch
    import runtime

    cupy = with_cupy()
    with_kernels()
    x = on_device(cupy, 500)
    wanted = -x.get()
    trace = runtime.trace(lambda x: dispatch.neg(x), x.get())
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with cupy.cuda.Device(0), cupy.cuda.Stream(non_blocking=True):
                for _ in range(5):
                    bound = trace.compile(device="nvidia").bind(x)
                    np.testing.assert_array_equal(bound().get(), wanted)
                    np.testing.assert_array_equal(dispatch.neg(x).get(), wanted)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


# ---- PyTorch ----------------------------------------------------------------------------------


@check
def torchs_tensors_are_served() -> None:
    import dispatch
    import runtime
    from dispatch.errors import InvalidArgument

    torch = torch_on_driver()
    with_cupy()
    with_kernels()
    host = np.random.default_rng(5).uniform(-1, 1, 1000).astype(np.float32)
    x = torch.from_numpy(host).cuda()

    def negated(y: Any, of: Any = host) -> None:
        assert type(y) is torch.Tensor and y.is_cuda
        np.testing.assert_array_equal(y.cpu().numpy(), -of)

    negated(dispatch.neg(x))
    negated(dispatch.neg(x, out=torch.empty_like(x)))
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        negated(dispatch.neg(x))
        assert place_of(x).memory.queue_of(x).stream == stream.cuda_stream
    replay = runtime.trace(lambda x: dispatch.neg(dispatch.neg(dispatch.neg(x))), host)
    bound = replay.compile(device="nvidia").bind(x)
    for number in (1, 2):
        x.copy_(torch.full((1000,), number, dtype=torch.float32))
        negated(bound(), np.full(1000, number, np.float32))
    assert calls("cuGraphLaunch") == 2
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = dispatch.neg(x)
    x.copy_(torch.from_numpy(host))
    graph.replay()
    negated(y)
    with_gradients = torch.zeros(3, device="cuda", requires_grad=True)
    raises(InvalidArgument, "x.detach()", lambda: dispatch.neg(with_gradients))


def place_of(array: Any) -> Any:
    from dispatch.memory import place_of

    return place_of(array)


@check
def torchs_kinds_of_tensors_are_known() -> None:
    import dispatch

    torch = torch_on_driver()
    cupy = with_cupy()
    for name in ("float16", "bfloat16", "float64", "int8", "uint8", "int32", "int64", "bool"):
        x = torch.empty((4, 6), dtype=getattr(torch, name), device="cuda")
        y = dispatch.transpose(x, (1, 0))
        assert y.dtype is x.dtype and y.shape == (6, 4), name
    images = torch.empty((2, 3, 8, 8), device="cuda").to(memory_format=torch.channels_last)
    assert dispatch.conv2d(images, torch.empty((4, 3, 3, 3), device="cuda")).shape == (2, 4, 6, 6)
    x = torch.empty((8, 8), device="cuda")
    for view in (x[::2, 1:], x.t(), x[:0], x[3, 3], torch.nn.Parameter(x, requires_grad=False)):
        assert dispatch.relu(view).shape == view.shape
    assert type(dispatch.add(x, cupy.asarray(np.ones((8, 8), np.float32)))) is torch.Tensor
    assert type(dispatch.relu(torch.from_numpy(np.ones(3, np.float32)))) is torch.Tensor


@check
def torchs_memory_may_end() -> None:
    import dispatch
    from dispatch.errors import OutOfMemory

    torch = torch_on_driver()
    with_cupy()
    x, held = torch.empty((1 << 18,), device="cuda"), []

    def fill_it() -> None:
        while True:
            held.append(dispatch.relu(x))

    raises(OutOfMemory, "CUDA: no memory for float32 (262144,)", fill_it)
    held.clear()
    assert dispatch.relu(x).shape == x.shape


def main() -> None:
    CHECKS[sys.argv[1]]()


if __name__ == "__main__":
    main()
