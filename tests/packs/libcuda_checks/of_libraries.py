"""The pack where cuDNN and cuBLAS refuse the driver, and where fakes of them enqueue on it."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

from tests.packs.cuda_fakes import FakeBlas, FakeFrontend, value
from tests.packs.cuda_for_tests import loaded
from tests.packs.libcuda_checks.common import (
    calls,
    check,
    on_device,
    raises,
    with_cupy,
)

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
