"""pyopencl's arrays in eager calls: results, errors, queues, memory, constants, threads."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import dispatch
from dispatch.errors import KernelFailed, MemoryMismatch, OutOfMemory
from dispatch.remembered import clear, entries
from tests.packs.opencl_devices import CALLERS, each_device, float32, pyopencl

cl = pyopencl
pytestmark = pytest.mark.filterwarnings("ignore::pyopencl.CompilerWarning")


@pytest.fixture(autouse=True)
def _fresh():
    clear()
    yield
    clear()


@pytest.fixture
def rng():
    return np.random.default_rng(20261128)


def record(name):
    """Return what pyopencl's exceptions hold."""
    return cl._cl._ErrorRecord("", getattr(cl.status_code, name), name)


@each_device
def test_results_are_of_the_callers_kind_on_his_queue(caller, rng):
    x = float32(rng, 3, 5)
    y = dispatch.relu(caller.to_device(x))
    assert type(y) is cl.array.Array
    assert y.queue == caller.queue
    assert y.dtype == np.float32 and y.shape == (3, 5)
    np.testing.assert_array_equal(y.get(), np.maximum(x, 0))


@each_device
def test_conv2d_and_matmul_agree_with_the_hosts(caller, rng):
    x, w, bias = float32(rng, 2, 5, 9, 8), float32(rng, 7, 5, 3, 3), float32(rng, 7)
    given = {"pads": 1, "strides": 2, "activation": "relu"}
    on_device = dispatch.conv2d(*map(caller.to_device, (x, w, bias)), **given)
    wide = dispatch.conv2d(*(a.astype(np.float64) for a in (x, w, bias)), **given)
    np.testing.assert_allclose(on_device.get(), wide, rtol=0, atol=45 * 16 * 2.0**-23)
    a, b = float32(rng, 33, 17), float32(rng, 17, 40)
    product = dispatch.matmul(caller.to_device(a), caller.to_device(b)).get()
    np.testing.assert_allclose(product, a.astype(np.float64) @ b, rtol=0, atol=17 * 16 * 2.0**-23)


@each_device
def test_explain_names_the_devices_kernels(caller, rng):
    x = caller.to_device(float32(rng, 1, 4, 5, 5))
    w = caller.to_device(float32(rng, 4, 1, 3, 3))
    explanation = dispatch.explain(dispatch.conv2d, x, w, groups=4)
    assert explanation.decision.kernel.name == "opencl.conv2d.depthwise.f32"
    problem = explanation.decision.problem
    assert (problem.device, problem.device_id) == ("opencl", caller.device_id)
    assert explanation.to_dict()["problem"]["device_type"] == 4
    with dispatch.using(kernel="opencl.conv2d.tiled_32x32.f32"):
        pinned = dispatch.conv2d(x, w, groups=4)
    free = dispatch.conv2d(x, w, groups=4)
    np.testing.assert_allclose(pinned.get(), free.get(), atol=1e-5)


@each_device
def test_numbers_become_arrays_on_the_device(caller, rng):
    x = float32(rng, 4)
    y = dispatch.add(caller.to_device(x), 2.5)
    np.testing.assert_array_equal(y.get(), x + np.float32(2.5))
    whole = dispatch.mul(3, caller.to_device(np.arange(4, dtype=np.int64)))
    np.testing.assert_array_equal(whole.get(), [0, 3, 6, 9])
    with pytest.raises(dispatch.UnsupportedDtype, match="add: b: expected an integer"):
        dispatch.add(caller.to_device(np.arange(4)), 0.5)


@each_device
@pytest.mark.parametrize(
    "other", [np.ones(4, np.float32), dispatch.constant(np.ones(4, np.float32))]
)
def test_host_and_device_dont_mix(caller, rng, other):
    x = caller.to_device(float32(rng, 4))
    with pytest.raises(MemoryMismatch, match=r"got a in OpenCL device .* and b in the host's mem"):
        dispatch.add(x, other)
    with pytest.raises(MemoryMismatch, match=r"got a in the host's memory and b in OpenCL device"):
        dispatch.add(other, x)


@each_device
def test_out_lies_on_the_inputs_queue(caller, rng):
    x = caller.to_device(float32(rng, 4))
    with pytest.raises(MemoryMismatch, match=r"out: .* got ndarray in the host's memory"):
        dispatch.relu(x, out=np.empty(4, np.float32))
    elsewhere = caller.to_device(np.empty(4, np.float32), caller.other_queue())
    with pytest.raises(MemoryMismatch, match="out: expected an array on the inputs' queue"):
        dispatch.relu(x, out=elsewhere)
    with pytest.raises(dispatch.InvalidArgument, match=r"out: expected shape \(4,\), got \(5,\)"):
        dispatch.relu(x, out=caller.to_device(np.empty(5, np.float32)))
    with pytest.raises(dispatch.UnsupportedDtype, match="out: expected dtype float32, got int32"):
        dispatch.relu(x, out=caller.to_device(np.empty(4, np.int32)))
    with pytest.raises(dispatch.InvalidArgument, match="out: expected 1 arrays, got 2"):
        dispatch.relu(x, out=(x, x))


@each_device
def test_a_host_array_on_a_device_that_was_asked_for_is_refused(caller):
    with (
        dispatch.using(device="opencl"),
        pytest.raises(MemoryMismatch, match="relu: x: expected an array in the memory of device"),
    ):
        dispatch.relu(np.ones(3, np.float32))


@each_device
def test_a_device_that_isnt_the_arrays_is_refused(caller):
    x = caller.to_device(np.ones(3, np.float32))
    family = "intel" if dispatch.devices()[1].available else "arm"
    with (
        dispatch.using(device=family),
        pytest.raises(MemoryMismatch, match="as the settings say, got some in the memory"),
    ):
        dispatch.relu(x)


@each_device
def test_arrays_of_two_queues_and_of_two_contexts_are_refused(caller, rng):
    x = caller.to_device(float32(rng, 4))
    y = caller.to_device(float32(rng, 4), caller.other_queue())
    with pytest.raises(MemoryMismatch, match="one queue, since nothing orders two, got a and b"):
        dispatch.add(x, y)
    context = cl.Context(caller.context.devices)
    stranger = cl.array.to_device(cl.CommandQueue(context), float32(rng, 4))
    with pytest.raises(MemoryMismatch, match="one device and context, got a on OpenCL device"):
        dispatch.add(x, stranger)


@pytest.mark.skipif(len(CALLERS) < 2, reason="needs two OpenCL devices")
def test_arrays_of_two_devices_are_refused(rng):
    x, y = (caller.to_device(float32(rng, 4)) for caller in CALLERS[:2])
    with pytest.raises(MemoryMismatch, match=r"on OpenCL device 0 .* and b on OpenCL device 1"):
        dispatch.add(x, y)
    constant = dispatch.constant(y)
    with pytest.raises(MemoryMismatch, match="one device and context"):
        dispatch.add(x, constant)


@each_device
def test_arrays_that_no_kernel_can_take_are_refused(caller):
    x = caller.to_device(np.ones(4, np.float32))
    with pytest.raises(dispatch.InvalidArgument, match=r"array\.with_queue\(queue\)"):
        dispatch.relu(x.with_queue(None))
    with pytest.raises(dispatch.InvalidArgument, match=r"expected a pyopencl\.array\.Array, got"):
        dispatch.relu(x.data)
    with pytest.raises(dispatch.UnsupportedDtype, match="expected a dtype of the project"):
        dispatch.relu(caller.to_device(np.ones(4, np.complex64)))
    if caller.context.devices[0].svm_capabilities & cl.device_svm_capabilities.COARSE_GRAIN_BUFFER:
        allocator = cl.tools.SVMAllocator(caller.context, queue=caller.queue)
        shared = cl.array.to_device(caller.queue, np.ones(4, np.float32), allocator=allocator)
        with pytest.raises(dispatch.InvalidArgument, match="expected an array in an OpenCL buffer"):
            dispatch.relu(shared)
    properties = cl.command_queue_properties.OUT_OF_ORDER_EXEC_MODE_ENABLE
    disordered = cl.CommandQueue(caller.context, properties=properties)
    if disordered.properties & properties:
        with pytest.raises(dispatch.InvalidArgument, match="runs in order"):
            dispatch.relu(x.with_queue(disordered))


@each_device
def test_parts_of_arrays_are_taken_as_they_lie(caller, rng):
    x = float32(rng, 6, 64)
    on_device = caller.to_device(x)
    for part in (np.s_[2:], np.s_[:, 3:9], np.s_[1::2, ::3], np.s_[1:, :1]):
        got = dispatch.add(on_device[part], on_device[part]).get()
        np.testing.assert_array_equal(got, x[part] + x[part])


@each_device
def test_out_may_be_a_part_and_may_overlap(caller, rng):
    x = float32(rng, 4, 6)
    target = caller.to_device(np.full((4, 12), 7, np.float32))
    part = target[:, ::2]
    assert dispatch.relu(caller.to_device(x), out=part) is part
    expected = np.full((4, 12), 7, np.float32)
    expected[:, ::2] = np.maximum(x, 0)
    np.testing.assert_array_equal(target.get(), expected)
    y = caller.to_device(x)
    assert dispatch.neg(y, out=y) is y
    np.testing.assert_array_equal(y.get(), -x)
    square = caller.to_device(x[:, :4].copy())
    dispatch.transpose(square, out=square)
    np.testing.assert_array_equal(square.get(), x[:, :4].T)


@each_device
def test_tensors_without_elements(caller):
    empty = caller.to_device(np.empty((0, 3), np.float32))
    assert dispatch.relu(empty).shape == (0, 3)
    product = dispatch.matmul(
        caller.to_device(np.empty((2, 0), np.float32)),
        caller.to_device(np.empty((0, 3), np.float32)),
    )
    np.testing.assert_array_equal(product.get(), np.zeros((2, 3)))


@each_device
def test_several_results(caller, rng):
    x = float32(rng, 6, 4)
    parts = dispatch.split(caller.to_device(x), (1, 5))
    np.testing.assert_array_equal(parts[0].get(), x[:1])
    np.testing.assert_array_equal(parts[1].get(), x[1:])


@each_device
def test_constants_stay_on_the_device_and_dont_change(caller, rng):
    x, w = float32(rng, 4, 5), float32(rng, 5, 3)
    on_device = caller.to_device(w)
    constant = dispatch.constant(on_device)
    on_device.fill(0)
    expected = x.astype(np.float64) @ w
    got = dispatch.matmul(caller.to_device(x), constant).get()
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert "OpenCL device" in repr(constant)
    other = caller.other_queue()
    again = dispatch.matmul(caller.to_device(x, other), constant)
    assert again.queue == other
    np.testing.assert_allclose(again.get(), expected, atol=1e-5)


@each_device
def test_a_constant_that_dies_takes_its_calls_along(caller, rng):
    x = caller.to_device(float32(rng, 4))
    constant = dispatch.constant(x)
    dispatch.add(x, constant)
    assert len(entries) == 1
    del constant
    gc.collect()
    assert not entries


@each_device
def test_quantised_arrays(caller, rng):
    x = rng.integers(0, 256, (1, 3, 6, 6), dtype=np.uint8)
    w = rng.integers(-128, 128, (4, 3, 3, 3), dtype=np.int8)

    def convolve(make):
        image = dispatch.quantized(make(x), 0.02, 120)
        filters = dispatch.constant(dispatch.quantized(make(w), 0.01))
        return dispatch.qconv2d(image, filters, scale=0.1, zero_point=128)

    on_device, on_host = convolve(caller.to_device), convolve(np.asarray)
    np.testing.assert_array_equal(on_device.array.get(), on_host.array)
    assert on_device.quantization == on_host.quantization
    reals = on_device.dequantize()
    assert type(reals) is cl.array.Array
    np.testing.assert_array_equal(reals.get(), on_host.dequantize())


@each_device
def test_results_come_from_the_callers_allocator(caller, rng):
    pool = cl.tools.MemoryPool(cl.tools.ImmediateAllocator(caller.queue))
    x = cl.array.to_device(caller.queue, float32(rng, 1000), allocator=pool)
    y = dispatch.relu(x)
    assert y.allocator is pool
    assert pool.active_blocks == 2


@each_device
def test_nothing_waits(caller, rng):
    gate = cl.UserEvent(caller.context)
    x = caller.to_device(float32(rng, 64))
    dispatch.constant(dispatch.add(dispatch.relu(x), 1.0)).array.get()  # everything is built
    cl.enqueue_barrier(caller.queue, wait_for=[gate])
    done = threading.Event()
    results = []

    def work():
        results.append(dispatch.add(dispatch.relu(x), 1.0))
        dispatch.constant(x)
        done.set()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    returned = done.wait(60)
    gate.set_status(cl.command_execution_status.COMPLETE)
    thread.join()
    assert returned
    np.testing.assert_array_equal(results[0].get(), np.maximum(x.get(), 0) + 1)


@each_device
def test_threads_share_a_prepared_kernel(caller, rng):
    arrays = [float32(rng, 9, 7) for _ in range(4)]
    queues = [caller.queue, caller.queue, caller.other_queue(), caller.other_queue()]
    errors = []

    def work(x, queue):
        try:
            for _ in range(20):
                a = caller.to_device(x, queue)
                got = dispatch.softmax(dispatch.add(a, a)).get()
                shifted = np.exp(2 * x - (2 * x).max(axis=-1, keepdims=True))
                expected = shifted / shifted.sum(axis=-1, keepdims=True)
                np.testing.assert_allclose(got, expected, rtol=1e-5)
        except Exception as error:  # noqa: BLE001  the main thread shows it
            errors.append(error)

    threads = [
        threading.Thread(target=work, args=pair) for pair in zip(arrays, queues, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


@each_device
def test_a_call_after_too_large_a_one_works(caller, rng, monkeypatch):
    x = caller.to_device(float32(rng, 4))

    def full(*_, **__):
        raise cl.MemoryError(record("MEM_OBJECT_ALLOCATION_FAILURE"))

    with monkeypatch.context() as patch:
        patch.setattr(cl, "Buffer", full)
        with pytest.raises(OutOfMemory, match=r"OpenCL: no memory for float32 \(4,\)"):
            dispatch.relu(x)
    np.testing.assert_array_equal(dispatch.relu(x).get(), np.maximum(x.get(), 0))


@each_device
def test_a_result_that_no_buffer_can_hold(caller):
    x = caller.to_device(np.ones(1))
    most = caller.context.devices[0].max_mem_alloc_size
    with pytest.raises(OutOfMemory, match="OpenCL: no memory for float64"):
        dispatch.expand(x, (most // 8 + 1000,))
    np.testing.assert_array_equal(dispatch.expand(x, (3,)).get(), np.ones(3))


@each_device
def test_a_launch_that_the_device_refuses_is_reported(caller, monkeypatch):
    x = caller.to_device(np.ones(4, np.float32))

    def lost(*_):
        raise cl.RuntimeError(record("DEVICE_NOT_AVAILABLE"))

    with monkeypatch.context() as patch:
        patch.setattr(cl, "enqueue_nd_range_kernel", lost)
        with pytest.raises(KernelFailed, match=r"a kernel on OpenCL device .*DEVICE_NOT_AVAILABLE"):
            dispatch.relu(x)
    clear()
    np.testing.assert_array_equal(dispatch.relu(x).get(), np.ones(4))


@each_device
def test_a_kernel_that_doesnt_build_says_why(caller, monkeypatch):
    from kernels.opencl import enqueue

    monkeypatch.setattr(enqueue, "program_text", lambda *_: "__kernel void map( { no such")
    monkeypatch.setattr(enqueue, "_programs", {})
    with pytest.raises(KernelFailed, match=r"map\.h wasn't built for OpenCL device(.|\n)*rror"):
        dispatch.relu(caller.to_device(np.ones(3, np.float32)))


@each_device
def test_a_bound_kernel_runs_again_and_again(caller, rng):
    from dispatch.memory import memory_of_device
    from dispatch.registry import registry

    x = caller.to_device(float32(rng, 5))
    y = cl.array.empty_like(x)
    memory = memory_of_device("opencl")
    queue = memory.queue_of(x)
    problem = dispatch.explain(dispatch.neg, x).decision.problem
    prepared = registry().find("opencl.neg.map.f32").prepare(problem, [None], queue)
    step = prepared.bind([x.data, y.data], queue, None)
    for value in (1.0, 2.0):
        x.fill(value)
        step()
        np.testing.assert_array_equal(y.get(), np.full(5, -value, np.float32))


def test_importing_dispatch_imports_no_device_library():
    code = (
        "import dispatch, sys, numpy as np; dispatch.relu(np.ones(3, np.float32)); "
        "sys.exit('pyopencl' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_a_driver_the_device_says_what_is_missing(tmp_path):
    code = (
        "import dispatch\n"
        "device = next(d for d in dispatch.devices() if d.name == 'opencl')\n"
        "assert not device.available\n"
        "assert 'pocl-opencl-icd' in device.missing, device.missing\n"
    )
    environment = {**os.environ, "OCL_ICD_VENDORS": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_without_pyopencl_the_device_says_what_is_missing():
    code = (
        "import sys; sys.modules['pyopencl'] = None\n"
        "import dispatch\n"
        "device = next(d for d in dispatch.devices() if d.name == 'opencl')\n"
        "assert not device.available\n"
        "assert 'pip install kernel-dispatch[opencl]' in device.missing, device.missing\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@each_device
def test_a_workload_leaves_results_and_the_devices_time(caller, rng):
    from dispatch.registry import registry
    from dispatch.tuning.workload import DeviceWorkload, prepare

    a, b = float32(rng, 20, 30), float32(rng, 30, 10)
    problem = dispatch.explain(
        dispatch.matmul, caller.to_device(a), dispatch.constant(caller.to_device(b))
    ).decision.problem
    workload = prepare(registry().find("opencl.matmul.tiled_4x32.f32"), problem, [a, b, None])
    assert isinstance(workload, DeviceWorkload)
    (y,) = workload.outputs()
    np.testing.assert_allclose(y.reshape(20, 10), a.astype(np.float64) @ b, atol=1e-5)
    assert 0 < workload.seconds(3) < 10


FORKING = """
import os, sys
import numpy as np, pyopencl as cl, pyopencl.array
import dispatch, runtime
from kernels.opencl.library import devices

context = cl.Context([devices()[0]])
x = cl.array.to_device(cl.CommandQueue(context), np.float32([-1, 2]))
replay = runtime.trace(lambda x: dispatch.exp(x), np.zeros(2, np.float32)).compile("opencl")
{used}
child = os.fork()
if child == 0:
    for call in (lambda: dispatch.relu(x), lambda: replay(x), lambda: replay.bind(x)):
        try:
            call()
            os._exit(1)
        except dispatch.ForkedProcessError as error:
            if "OpenCL: the driver was opened by process" not in str(error):
                os._exit(2)
    os._exit(0)
status = os.waitpid(child, 0)[1]
print(os.waitstatus_to_exitcode(status), dispatch.relu(x).get(), replay(x).get().shape)
"""


@pytest.mark.parametrize("used", ["dispatch.relu(x); replay(x)", "pass"])
def test_a_forked_child_is_told_that_the_driver_is_its_parents(used):
    done = subprocess.run(
        [sys.executable, "-c", FORKING.format(used=used)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "0 [0. 2.] (2,)\n"), done.stderr[-2000:]
