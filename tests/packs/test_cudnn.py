"""The pack for NVIDIA GPUs, as far as it goes without one.

No test here says that a result is right on a GPU: test_cudnn_on_a_gpu.py asks that of a machine
with one.
"""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
import weakref

import numpy as np
import pytest

import dispatch
from dispatch import device_call
from dispatch import registry as registry_module
from dispatch.answer import NoCode, Yes
from dispatch.errors import KernelFailed, MemoryMismatch, OutOfMemory, PackUnavailable
from kernels.cudnn import arrays, capture
from kernels.cudnn.frontend import MAX_PLANS
from kernels.cudnn.memory import PER_THREAD, CudaMemory
from kernels.cudnn.operations import OPERATIONS
from kernels.cudnn.pack import ALGORITHMS, CudnnPack
from kernels.cudnn.queue import own_queues
from tests.packs.cuda_fakes import CuPyArray, FakeDriver, FakeFrontend, TorchTensor
from tests.packs.cudnn_world import forget

# ---- The pack on a driver that runs nothing ---------------------------------------------------


def test_a_call_launches_on_the_current_stream_with_the_arrays_addresses(world):
    world.cupy.stream = 0x55
    x = CuPyArray((3, 5), np.float32)
    y = dispatch.neg(x)
    assert type(y) is CuPyArray and y.shape == (3, 5) and y.dtype == np.float32
    (launch,) = world.cuda.launches
    assert launch.stream == 0x55
    assert launch.addresses == [x.data.ptr, y.data.ptr]
    assert (launch.grid, launch.block, launch.shared) == ((1, 1, 1), (256, 1, 1), 0)
    assert launch.module.startswith(b"--gpu-architecture=sm_90")
    assert b"#define EXPRESSION -a\n" in launch.module
    numbers = np.frombuffer(launch.parameters(16), np.int32)
    assert numbers[2:4].tolist() == [15, 15], "count, and extents joined to one"
    assert world.cuda.current == [0], "the caller's context is current again"


def test_a_call_like_an_earlier_one_loads_nothing(world):
    for _ in range(3):
        dispatch.neg(CuPyArray((7,), np.float32))
    assert len(world.cuda.launches) == 3 and len(world.cuda.images) == 1
    dispatch.neg(CuPyArray((9,), np.float32))
    assert len(world.cuda.images) == 1, "another shape is the same program"


def test_streams_have_their_own_calls_and_share_programs(world):
    x = CuPyArray((7,), np.float32)
    for stream in (1, 2):
        world.cupy.stream = stream
        dispatch.neg(x)
    assert [launch.stream for launch in world.cuda.launches] == [1, 2]
    assert len(world.cuda.images) == 1


def test_torchs_tensors_come_and_go(world):
    x = TorchTensor((4, 4))
    y = dispatch.neg(x)
    assert type(y) is TorchTensor
    (launch,) = world.cuda.launches
    assert launch.addresses == [x.data_ptr(), y.data_ptr()] and launch.stream == 0
    x.requires_grad = True
    with pytest.raises(dispatch.InvalidArgument, match=r"without gradients.*x\.detach\(\)"):
        dispatch.neg(x)
    with pytest.raises(dispatch.UnsupportedDtype, match=r"torch\.complex64"):
        dispatch.neg(TorchTensor((4,), "complex64"))


def test_arrays_of_the_host_another_stream_or_another_gpu_are_refused(parts, monkeypatch):
    parts.cuda = FakeDriver(devices=("First", "Second"))
    parts.open(monkeypatch)
    x = CuPyArray((4,), np.float32)
    with pytest.raises(MemoryMismatch, match=r"a in NVIDIA device 0 \(First\) and b in the host's"):
        dispatch.add(x, np.ones(4, np.float32))
    with pytest.raises(MemoryMismatch, match=r"on NVIDIA device 0 .* b on NVIDIA device 1 \(Sec"):
        dispatch.add(x, CuPyArray((4,), np.float32, 1))
    parts.cupy.stream = 9
    with pytest.raises(MemoryMismatch, match="one queue, since nothing orders two"):
        dispatch.add(x, TorchTensor((4,)))
    assert not parts.cuda.launches


def test_arrays_that_arent_dense_are_copied_on_the_device(world):
    x = CuPyArray((4, 6), np.float32)
    part = x[:, ::2]
    y = dispatch.neg(part)
    copied, negated = world.cuda.launches
    assert copied.addresses[0] == x.data.ptr
    assert negated.addresses == [copied.addresses[1], y.data.ptr]


def test_what_is_made_for_nobodys_like_is_tied_to_the_opened_queue(world):
    world.cupy.stream = 0x66
    queue = world.memory.open_queue(0)
    x = world.memory.new_array(queue, (3,), np.dtype(np.float32), None)
    assert type(x) is CuPyArray and world.memory.queue_of(x) is queue and queue.stream == 0x66


@pytest.mark.parametrize(("stream", "count"), [(PER_THREAD, 2), (0x55, 1)])
def test_threads_with_a_stream_each_have_a_queue_each(world, stream, count):
    """Scratch is the queue's: two streams would write over each other's."""
    world.cupy.stream = stream
    x, found = CuPyArray((1,), np.float32), []
    thread = threading.Thread(target=lambda: found.append(world.memory.queue_of(x)))
    thread.start()
    thread.join()
    found.append(world.memory.queue_of(x))
    assert len(set(found)) == count and {queue.stream for queue in found} == {stream}


def test_dense_arrays_are_copied_as_bytes(world):
    x, y = CuPyArray((4, 6), np.float16), CuPyArray((4, 6), np.float16)
    world.memory.copy(world.memory.queue_of(x), y, x)
    assert world.cuda.copies == [(y.data.ptr, x.data.ptr, 48, 0)] and not world.cuda.launches
    world.cuda.status["cuMemcpyDtoDAsync_v2"] = 700
    with pytest.raises(KernelFailed, match="a copy of 48 bytes: an illegal memory access"):
        world.memory.copy(world.memory.queue_of(x), y, x)


def test_no_call_waits(world):
    dispatch.conv2d(CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32))
    dispatch.constant(CuPyArray((3,), np.float32))
    waiting = ("cuStreamSynchronize", "cuEventSynchronize", "cuMemcpyDtoH_v2")
    assert not set(waiting) & set(world.cuda.calls)


def test_what_is_written_is_there_for_every_stream(world):
    """A copy of pageable memory on the default stream is seen late by streams beside it."""
    world.cupy.stream = 0x55
    x = CuPyArray((4,), np.float32)
    queue = world.memory.queue_of(x)
    world.cuda.calls.clear()
    world.memory.write(queue, world.memory.buffer(queue, x), np.ones(4, np.float32))
    copies = [name for name in world.cuda.calls if "Memcpy" in name or "Synchronize" in name]
    assert copies == ["cuMemcpyHtoDAsync_v2", "cuStreamSynchronize"]
    assert world.cuda.written == [(x.data.ptr, 16, 0x55)] and world.cuda.waited == [0x55]


def test_a_constant_used_on_another_stream_is_waited_for_on_the_device(world):
    world.cupy.stream = 1
    constant = dispatch.constant(CuPyArray((4,), np.float32))
    world.cupy.stream = 2
    dispatch.add(CuPyArray((4,), np.float32), constant)
    assert world.cuda.waits == [(2, 1)]


def test_a_convolution_is_cudnns(world):
    world.cupy.stream = 0x77
    x, w = CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32)
    decision = dispatch.explain(dispatch.conv2d, x, w).decision
    assert decision.kernel.name == "cudnn.conv2d.graph.f32"
    assert decision.answer.scratch_bytes == 4096
    y = dispatch.conv2d(x, w)
    ((pack, workspace, handle),) = world.frontend.executed
    assert sorted(pack.values()) == sorted([x.data.ptr, w.data.ptr, y.data.ptr])
    assert pack[1] == x.data.ptr and pack[2] == w.data.ptr
    assert workspace and handle.stream == 0x77
    assert world.cupy.allocated_for == [0x77], "the workspace is the stream's own"
    assert world.frontend.loaded == [[1, 2, 3, 0]], "the heuristics' first plan"
    assert "TENSOR_CORE" in world.frontend.deselected[0]
    assert not world.cuda.launches


def test_plans_are_loaded_beside_the_callers_stream(world):
    """The frontend records a run then: what others put on that stream would be lost with it."""
    world.cupy.stream = 0x77
    dispatch.conv2d(CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32))
    ((_, _, handle),) = world.frontend.executed
    assert handle.stream == 0x77
    assert world.frontend.loaded_on == [own_queues.on(0).stream] != [0x77]


def test_a_plan_that_isnt_loaded_is_the_projects_error(world, monkeypatch):
    unsupported = world.frontend.module.cudnnGraphNotSupportedError
    assert not issubclass(unsupported, RuntimeError), "as the frontend has it"

    def refuses(*_):
        raise unsupported("no engine of this number")

    monkeypatch.setattr(world.frontend.module.pygraph, "deserialize", refuses)
    with pytest.raises(KernelFailed, match="a plan wasn't loaded: no engine of this number"):
        dispatch.conv2d(CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32))


def test_plans_are_made_once_and_kept_on_disk(world):
    x, w = CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32)
    dispatch.conv2d(x, w)
    forget()
    dispatch.conv2d(x, w)
    assert world.frontend.planned == MAX_PLANS and len(world.frontend.executed) == 2


def test_what_cudnn_refuses_is_ours(world):
    world.frontend.refuses = True
    x, w = CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32)
    decision = dispatch.explain(dispatch.conv2d, x, w).decision
    assert decision.kernel.name.startswith("cudnn.conv2d.tiled_")
    (no,) = [c.answer for c in decision.candidates if c.kernel.name == "cudnn.conv2d.graph.f32"]
    assert no.code == NoCode.LIBRARY and no.got == "No valid engine configs"
    dispatch.conv2d(x, w)
    assert len(world.cuda.launches) == 1


def test_numbers_of_a_graph_lie_on_the_host(world):
    arrays_ = [CuPyArray(shape, np.float32) for shape in ((5, 64), (64,), (64,))]
    with dispatch.using(kernel="cudnn.layer_norm.graph.f32"):
        dispatch.layer_norm(*arrays_, epsilon=0.25)
    ((pack, _, _),) = world.frontend.executed
    host = [address for address in pack.values() if address > 2**32]
    assert [ctypes.c_float.from_address(address).value for address in host] == [0.25]


def test_no_memory_is_said_and_the_next_call_works(world):
    x = CuPyArray((4,), np.float32)
    world.cupy.full = True
    with pytest.raises(OutOfMemory, match=r"CUDA: no memory for float32 \(4,\)"):
        dispatch.neg(x)
    world.cupy.full = False
    dispatch.neg(x)
    assert len(world.cuda.launches) == 1


def test_no_memory_is_had_for_what_a_caller_records(world):
    queue = world.memory.queue_of(CuPyArray((4,), np.float32))
    world.cuda.recording = queue.stream
    with pytest.raises(KernelFailed, match="no 8 bytes while the stream is recorded: make the sa"):
        world.memory.allocate(queue, 8)
    assert not world.cupy.allocated_for
    world.cuda.recording = None
    world.memory.allocate(queue, 8)
    assert world.cupy.allocated_for == [queue.stream]


@pytest.mark.parametrize("call", ["conv2d", "matmul"])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_scratch_that_a_callers_record_has_is_kept(world, monkeypatch, call, is_recorded):
    monkeypatch.setattr(capture, "_kept", {})
    arrays = {
        "conv2d": (CuPyArray((1, 4, 8, 8), np.float32), CuPyArray((4, 4, 3, 3), np.float32)),
        "matmul": (CuPyArray((64, 64), np.float32), CuPyArray((64, 64), np.float32)),
    }[call]
    queue = world.memory.queue_of(arrays[0])
    getattr(dispatch, call)(*arrays)
    scratch = device_call._scratch[queue]
    assert scratch.size
    world.cuda.recording = queue.stream if is_recorded else None
    getattr(dispatch, call)(*arrays)
    world.cuda.recording = None
    owner = weakref.ref(scratch.buffer.owner)
    scratch.size, scratch.buffer = 0, None  # as if a call had wanted more
    gc.collect()
    assert (owner() is not None) == is_recorded


def test_no_array_of_a_lost_device_is_the_projects_error(world):
    x = CuPyArray((4,), np.float32)
    world.cupy.lost = True
    with pytest.raises(
        KernelFailed, match=r"CUDA: no array float32 \(4,\): cudaErrorIllegalAddress"
    ):
        dispatch.neg(x)
    with pytest.raises(KernelFailed, match="CUDA: no allocation of 8 bytes: cudaErrorIllegalAddr"):
        world.memory.allocate(world.memory.queue_of(x), 8)


@pytest.mark.parametrize(
    ("status", "error", "text"),
    [
        (2, OutOfMemory, "no memory for a kernel on NVIDIA device 0"),
        (700, KernelFailed, "an illegal memory access .700.; the device is lost"),
        (1, KernelFailed, r"a kernel on NVIDIA device 0 \(Fake H200\): \? \(1\)$"),
    ],
)
def test_failures_are_the_projects(world, status, error, text):
    world.cuda.status["cuLaunchKernel"] = status
    with pytest.raises(error, match=text):
        dispatch.neg(CuPyArray((4,), np.float32))
    assert world.cuda.current == [0]


def test_a_graph_that_fails_is_the_projects_error(world, monkeypatch):
    x, w = CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32)

    def fails(*_, **__):
        raise RuntimeError("CUDNN_STATUS_EXECUTION_FAILED")

    monkeypatch.setattr(world.frontend.module.pygraph, "execute", fails)
    with pytest.raises(KernelFailed, match="cuDNN: a graph wasn't run: CUDNN_STATUS_EXECUTION"):
        dispatch.conv2d(x, w)


def test_a_bound_step_stays_as_it_was_bound(world):
    x, y, other = (CuPyArray((5,), np.float32) for _ in range(3))
    problem = dispatch.explain(dispatch.neg, x).decision.problem
    queue = world.memory.queue_of(x)
    kernel = registry_module.registry().find("cudnn.neg.map.f32")
    assert isinstance(kernel.query(problem), Yes)
    prepared = kernel.prepare(problem, [None], queue)
    step = prepared.bind([world.memory.buffer(queue, a) for a in (x, y)], queue, None)
    prepared.run([world.memory.buffer(queue, a) for a in (other, y)], queue)
    step()
    assert [launch.addresses for launch in world.cuda.launches] == [
        [other.data.ptr, y.data.ptr],
        [x.data.ptr, y.data.ptr],
    ]


def test_every_algorithm_but_the_cpus_is_a_kernel(world):
    names = {k.name for k in CudnnPack(world.memory).open().kernels}
    for algorithm in ALGORITHMS:
        for dtype in algorithm.dtypes:
            short = dispatch.dtypes.SHORT_NAMES[dtype]
            assert f"cudnn.{algorithm.operator}.{algorithm.name}.{short}" in names
    assert {f"cudnn.{name}.graph.bf16" for name in OPERATIONS} <= names
    assert not any(".blocked_" in name for name in names)


# ---- What may be missing ----------------------------------------------------------------------


def missing(world):
    with pytest.raises(PackUnavailable) as caught:
        CudnnPack(CudaMemory()).open()
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("module", "name"), [("cupy", "CuPy"), ("cudnn", "cuDNN's frontend")])
def test_a_package_that_isnt_installed_is_named(parts, monkeypatch, module, name):
    monkeypatch.setitem(sys.modules, module, None)
    text = missing(parts)
    assert f"{name}" in text and "is not installed; pip install kernel-dispatch[nvidia]" in text


def test_no_driver_and_an_old_one_are_told_apart(parts, monkeypatch):
    parts.cuda.version = 12040
    assert "too old: expected one for CUDA >= 13.0, got one for 12.4" in missing(parts)
    forget()

    def none(name, *_):
        raise OSError(f"{name}: no such file")

    monkeypatch.setattr(ctypes, "CDLL", none)
    assert "no NVIDIA driver (libcuda.so.1: no such file)" in missing(parts)


def test_no_gpu_and_a_broken_driver_are_said(parts):
    parts.cuda.status["cuInit"] = 100
    assert "no NVIDIA GPU is visible" in missing(parts)
    parts.cuda.status["cuInit"] = 999
    assert "cuInit: ? (999)" in missing(parts)
    forget()
    parts.cuda.status["cuDriverGetVersion"] = 1
    assert "NVIDIA's driver doesn't work" in missing(parts)


@pytest.mark.parametrize("version", [90700, 100000])
def test_another_cudnn_is_refused(parts, monkeypatch, version):
    monkeypatch.setitem(sys.modules, "cudnn", FakeFrontend(version).module)
    assert "wrong cuDNN version: expected >= 9.8.0 and < 10.0.0" in missing(parts)


def test_no_cudnn_is_said(parts, monkeypatch):
    def absent():
        raise RuntimeError("libcudnn.so.9: no such file")

    monkeypatch.setattr(parts.frontend.module, "backend_version", absent)
    assert "cuDNN is not found (libcudnn.so.9: no such file)" in missing(parts)


def test_an_array_of_another_library_is_refused(parts):
    with pytest.raises(dispatch.InvalidArgument, match=r"expected a cupy\.ndarray or a torch"):
        arrays.library_of(np.ones(3))


def test_importing_dispatch_imports_nothing_of_the_pack():
    code = (
        "import dispatch, sys, numpy as np; dispatch.relu(np.ones(3, np.float32)); "
        "sys.exit(any(name in sys.modules for name in ('cupy', 'cudnn', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
