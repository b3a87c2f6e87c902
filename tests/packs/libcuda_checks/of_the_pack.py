"""The pack on CuPy's arrays and streams."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from tests.packs.libcuda_checks.common import (
    POISON,
    calls,
    check,
    launches,
    on_device,
    raises,
    with_cupy,
    with_kernels,
)


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
        except BaseException:  # noqa: BLE001 -- a child may not go on as the parent would
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

    def work(_: int) -> None:
        with cupy.cuda.Device(0), cupy.cuda.Stream(non_blocking=True):
            for _ in range(5):
                bound = trace.compile(device="nvidia").bind(x)
                np.testing.assert_array_equal(bound().get(), wanted)
                np.testing.assert_array_equal(dispatch.neg(x).get(), wanted)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
