"""CUDA graphs recorded by the pack: calls in order, errors at each, nothing left behind."""

from __future__ import annotations

import gc
import threading
import weakref

import numpy as np
import pytest

import dispatch
from dispatch import registry as registry_module
from dispatch.errors import KernelFailed, OutOfMemory
from dispatch.tuning.values import arrays_of
from dispatch.tuning.workload import RECORDED, prepare
from kernels.cudnn import enqueue
from kernels.cudnn import queue as queue_module
from kernels.cudnn.driver import driver
from kernels.cudnn.memory import KEPT_QUEUES
from tests.packs.cuda_fakes import CONTEXT, CuPyArray

RECORDING = [
    "cuStreamBeginCapture_v2",
    "cuLaunchKernel",
    "cuLaunchKernel",
    "cuStreamEndCapture",
    "cuGraphInstantiateWithFlags",
    "cuGraphDestroy",
]


class Work:
    """Two kernels, prepared for a queue: what a replay gives to `capture`."""

    def __init__(self, world, count=2):
        self.arrays = [CuPyArray((5,), np.float32) for _ in range(count + 1)]
        self.queue = world.memory.queue_of(self.arrays[0])
        problem = dispatch.explain(dispatch.neg, self.arrays[0]).decision.problem
        kernel = registry_module.registry().find("cudnn.neg.map.f32")
        assert kernel.query(problem)
        self.prepared = kernel.prepare(problem, [None], self.queue)
        self.buffers = [world.memory.buffer(self.queue, a) for a in self.arrays]
        self.count = count

    def enqueue(self, queue):
        for index in range(self.count):
            self.prepared.bind(self.buffers[index : index + 2], queue, None)()


@pytest.fixture
def work(world):
    made = Work(world)
    queue = world.memory.queue_of(made.arrays[0])
    world.memory.capture(queue, lambda queue: None)  # makes the recording queue and its handles
    gc.collect()
    world.cuda.calls.clear()
    return made


def of_graphs(world):
    names = ("Capture", "Graph", "cuLaunchKernel")
    return [name for name in world.cuda.calls if any(part in name for part in names)]


def test_what_is_recorded_runs_when_it_is_launched_and_not_before(world, work):
    launch = world.memory.capture(work.queue, work.enqueue)
    assert of_graphs(world) == RECORDING
    assert not world.cuda.launches and not world.cuda.graph_launches
    assert world.cuda.current == [0], "the caller's context is current again"
    launch(work.queue)
    ((executable, stream),) = world.cuda.graph_launches
    assert world.cuda.live_graphs == [executable] and stream == work.queue.stream
    pointers = [a.data.ptr for a in work.arrays]
    assert [each.addresses for each in world.cuda.launches] == [pointers[:2], pointers[1:]]


def test_a_recorded_graph_is_one_call_on_the_stream_of_any_queue(world, work):
    launch = world.memory.capture(work.queue, work.enqueue)
    world.cupy.stream = 0x33
    other = world.memory.queue_of(work.arrays[0])
    world.cuda.current.append(CONTEXT)
    world.cuda.calls.clear()
    for queue in (work.queue, other, other):
        launch(queue)
    assert world.cuda.calls == ["cuCtxGetCurrent", "cuGraphLaunch"] * 3
    assert [stream for _, stream in world.cuda.graph_launches] == [0, 0x33, 0x33]


def test_no_handle_is_made_while_something_is_recorded(world):
    work = Work(world)
    seen = []

    def enqueue(queue):
        seen.append((len(world.frontend.handles), len(world.blas.handles), queue.stream))
        queue.make_ready()
        work.enqueue(queue)

    world.memory.capture(work.queue, enqueue)
    ((cudnn_handles, blas_handles, stream),) = seen
    assert cudnn_handles == len(world.frontend.handles) == 1
    assert blas_handles == len(world.blas.handles) == 1
    assert stream not in (0, work.queue.stream), "not the default stream, nor the caller's"
    assert world.frontend.handles[0].stream == world.blas.streams[world.blas.handles[0]] == stream


@pytest.mark.parametrize("library", ["cuDNN", "cuBLAS"])
def test_a_library_that_doesnt_work_here_stops_no_other_kernels_recording(
    world, work, monkeypatch, library
):
    def fails():
        raise RuntimeError("CUDNN_STATUS_NOT_INITIALIZED")

    queue_module.own_queues.forget()
    queue_module.dnn_handles.forget()
    queue_module.blas_handles.forget()
    if library == "cuDNN":
        monkeypatch.setattr(world.frontend.module, "create_handle", fails)
    else:
        world.blas.status["cublasCreate_v2"] = 1
    launch = world.memory.capture(work.queue, work.enqueue)
    launch(work.queue)
    assert len(world.cuda.launches) == 2
    with pytest.raises(KernelFailed, match=rf"{library}: .*(NOT_INITIALIZED|unknown error)"):
        _ = work.queue.handle if library == "cuDNN" else work.queue.blas_handle


def test_nothing_is_loaded_while_something_is_recorded(world, work):
    enqueue._function.cache_clear()  # as if 1024 other functions had been loaded since
    world.memory.capture(work.queue, work.enqueue)
    assert not {"cuModuleLoadData", "cuModuleGetFunction"} & set(world.cuda.calls)


def test_the_collector_is_held_off_while_something_is_recorded(world, work):
    states = []
    world.memory.capture(work.queue, lambda queue: states.append(gc.isenabled()))
    assert states == [False] and gc.isenabled()


def test_an_error_within_ends_the_recording_first(world, work):
    before = len(world.cuda.live_graphs)

    def fails(queue):
        work.enqueue(queue)
        assert world.cuda.recording == queue.stream
        raise ZeroDivisionError("within")

    with pytest.raises(ZeroDivisionError, match="within"):
        world.memory.capture(work.queue, fails)
    assert of_graphs(world) == [*RECORDING[:4], "cuGraphDestroy"]
    assert world.cuda.recording is None and gc.isenabled()
    assert len(world.cuda.live_graphs) == before
    world.memory.capture(work.queue, work.enqueue)


def test_a_spoiled_recording_says_why(world, work):
    def spoils(queue):
        world.cuda.spoiled = True

    with pytest.raises(KernelFailed, match=r"recording a graph: operation failed due to .*\(901\)"):
        world.memory.capture(work.queue, spoils)
    assert world.cuda.recording is None and not world.cuda.live_graphs
    world.cuda.spoiled = False
    world.memory.capture(work.queue, work.enqueue)


@pytest.mark.parametrize(
    ("function", "status", "error", "text"),
    [
        ("cuStreamBeginCapture_v2", 1, KernelFailed, "cuStreamBeginCapture_v2"),
        ("cuLaunchKernel", 700, KernelFailed, "the device is lost"),
        ("cuGraphInstantiateWithFlags", 2, OutOfMemory, "no memory for making a graph ready"),
    ],
)
def test_a_failure_leaves_no_graph(world, work, function, status, error, text):
    world.cuda.status[function] = status
    with pytest.raises(error, match=text):
        world.memory.capture(work.queue, work.enqueue)
    assert world.cuda.recording is None
    assert not world.cuda.live_graphs and world.cuda.current == [0]


def test_a_launch_that_fails_is_the_projects_error(world, work):
    launch = world.memory.capture(work.queue, work.enqueue)
    world.cuda.status["cuGraphLaunch"] = 700
    with pytest.raises(KernelFailed, match="a recorded graph on device 0: an illegal memory acc"):
        launch(work.queue)
    assert world.cuda.current == [0]


def test_a_graph_goes_with_its_function_and_keeps_what_it_reads(world, work):
    buffer = work.buffers[0].owner
    alive = weakref.ref(work)
    launch = world.memory.capture(work.queue, work.enqueue)
    queue = work.queue
    del work
    gc.collect()
    assert alive() is not None and buffer is alive().arrays[0]
    launch(queue)
    world.cuda.calls.clear()
    del launch
    gc.collect()
    assert world.cuda.calls.count("cuGraphExecDestroy") == 1 and not world.cuda.live_graphs
    assert world.cuda.current == [0]


def test_two_threads_record_and_launch(world, work):
    failures, launches = [], []

    def run():
        try:
            for _ in range(50):
                launch = world.memory.capture(work.queue, work.enqueue)
                launch(work.queue)
                launches.append(1)
        except BaseException as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures and len(launches) == len(world.cuda.graph_launches) == 100
    gc.collect()
    assert not world.cuda.live_graphs


def test_a_graph_is_launched_by_one_thread_at_a_time(world, work):
    inside, most = [], []

    def busy(executable, stream):
        inside.append(1)
        most.append(len(inside))
        threading.Event().wait(0.01)
        inside.pop()
        return 0

    driver()._c.cuGraphLaunch = busy
    slow = driver().launcher(0, 1)
    threads = [threading.Thread(target=slow, args=(0,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 4


# ---- Handles ----------------------------------------------------------------------------------


def use(world, stream):
    world.cupy.stream = stream
    queue = world.memory.queue_of(CuPyArray((1,), np.float32))
    return queue.handle, queue.blas_handle


def test_handles_of_queues_that_are_gone_are_lent_again(world):
    count = 4 * KEPT_QUEUES
    for stream in range(1, count + 1):
        handle, blas_handle = use(world, stream)
        assert handle.stream == world.blas.streams[blas_handle] == stream
    gc.collect()
    assert len(world.frontend.handles) <= KEPT_QUEUES + 1
    assert len(world.blas.handles) <= KEPT_QUEUES + 1
    lent = {id(use(world, stream)[0]) for stream in range(count - KEPT_QUEUES + 1, count + 1)}
    assert len(lent) == KEPT_QUEUES, "each queue has one of its own"


def test_no_handle_is_lent_twice_at_once(world):
    found, gate = [], threading.Barrier(8)
    world.cupy.stream = 5
    queue = world.memory.queue_of(CuPyArray((1,), np.float32))

    def ask():
        gate.wait()
        found.append((id(queue.handle), queue.blas_handle))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(world.frontend.handles) == len(world.blas.handles) == 1


def test_a_handle_that_isnt_made_is_asked_for_again(world):
    world.blas.status["cublasCreate_v2"] = 3
    with pytest.raises(OutOfMemory, match=r"cublasCreate_v2: the resource allocation failed \(3\)"):
        use(world, 7)
    world.blas.status.clear()
    assert use(world, 7)[1] == world.blas.handles[0]
    assert not queue_module.blas_handles._free[0]


# ---- Measuring --------------------------------------------------------------------------------


def workload_of(world):
    problem = dispatch.explain(dispatch.neg, CuPyArray((5,), np.float32)).decision.problem
    kernel = registry_module.registry().find("cudnn.neg.map.f32")
    return prepare(kernel, problem, arrays_of(problem))


def test_kernels_are_timed_as_they_are_recorded(world):
    """One by one this process takes longer to start them than most take."""
    made = workload_of(world)
    world.cuda.graph_launches.clear()
    world.cuda.launches.clear()
    made.seconds(2 * RECORDED + 3)
    graphs = [executable for executable, _ in world.cuda.graph_launches]
    assert len(graphs) == 2 + 3 and len(set(graphs)) == 2
    assert len(world.cuda.launches) == 2 * RECORDED + 3


def test_with_cold_caches_the_sweep_is_at_work_while_a_run_is_enqueued(world):
    made = workload_of(world)
    world.cuda.calls.clear()
    made.cold_seconds(1)
    calls = [name for name in world.cuda.calls if not name.startswith("cuCtx")]
    sweep, first = calls.index("cuLaunchKernel"), calls.index("cuEventRecord")
    assert sweep < first < calls.index("cuGraphLaunch")
    assert "cuStreamSynchronize" not in calls[sweep:first]
