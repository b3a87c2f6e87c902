"""Replays on a device with memory of its own, which is a fake one here."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import dispatch
import runtime
from dispatch import context
from dispatch import registry as registry_module
from dispatch.answer import Yes
from dispatch.errors import DeviceUnavailable, InvalidArgument, MemoryMismatch, UnsupportedDtype
from dispatch.registry import Registry
from dispatch.remembered import clear
from runtime.errors import ArtifactError
from runtime.plan.options import forget
from tests.dispatch.device_fakes import Array, Kernel, Memory, Pack, Queue, RecordingMemory
from tests.dispatch.fakes import FakeKernel, FakePack

OPERATORS = ("add", "relu", "exp", "conv2d", "concat", "split", "transpose", "max_pool2d", "mul")


def make_pack(monkeypatch, memory):
    clear()
    forget()
    kernels = [Kernel(f"fake.{name}.plain.f32", Yes(1e-6)) for name in OPERATORS]
    kernels.append(Kernel("fake.matmul.gemm.f32", Yes(1e-6, packed_bytes=(0, 24, 0))))
    kernels.append(Kernel("fake.neg.plain.f32", Yes(1e-6, scratch_bytes=640)))
    kernels += [Kernel(f"fake.{n}.plain.u8") for n in ("dequantize_linear", "lookup")]
    kernels += [Kernel(f"fake.{n}.plain.f32") for n in ("quantize_linear", "reorder")]
    made = Pack(*kernels, memory=memory)
    host = FakePack("cpu", (FakeKernel("cpu.relu.plain.f32"), FakeKernel("cpu.add.plain.f32")))
    monkeypatch.setattr(registry_module, "_registry", Registry(((made, "tests"), (host, "tests"))))
    # Settings remember that a device is here.
    monkeypatch.setattr(context, "_interned", {})
    return made


@pytest.fixture
def pack(monkeypatch):
    yield make_pack(monkeypatch, Memory())
    clear()
    forget()


@pytest.fixture
def recording(monkeypatch):
    yield make_pack(monkeypatch, RecordingMemory())
    clear()
    forget()


@pytest.fixture
def queue():
    return Queue()


def kernel(pack, operator):
    return next(k for k in pack.kernels if f".{operator}." in k.name)


def counts(pack, operator):
    """Return how often a kernel was bound, and run unbound."""
    found = kernel(pack, operator)
    return found.bound, found.runs


X = np.array([[-1.0, 2.0, -3.0], [4.0, -5.0, 6.0]], np.float32)
W = np.array([[1.0, -2.0], [0.5, 3.0], [-1.0, 1.0]], np.float32)


def network(x):
    product = dispatch.matmul(x, W)
    return dispatch.exp(-dispatch.relu(product)), product + 1.0


def expected(x):
    product = x.astype(np.float64) @ W
    return np.exp(-np.maximum(product, 0)), product + 1


def agree(results, x):
    for result, wanted in zip(results, expected(x), strict=True):
        np.testing.assert_allclose(result.get(), wanted, rtol=1e-6)


def test_results_are_new_arrays_of_the_callers_kind_and_nothing_waits(pack, queue):
    replay = runtime.trace(network, X).compile("opencl")
    given = Array(queue, X)
    first, second = replay(given), replay(Array(queue, 2 * X))
    assert all(type(y) is Array and y.queue is queue for y in (*first, *second))
    assert all((y.hidden == 77).all() for y in (*first, *second)), "nothing ran yet"
    agree(first, X)
    agree(second, 2 * X)


def test_what_works_on_the_replays_own_memory_is_bound_once(pack, queue):
    replay = runtime.trace(network, X).compile("opencl")
    for _ in range(3):
        replay(Array(queue, X))
    assert [(kernel(pack, n).bound, kernel(pack, n).runs) for n in ("relu", "neg")] == [(1, 0)] * 2
    # These read the input or write an output, which are others each time.
    assert [(kernel(pack, n).bound, kernel(pack, n).runs) for n in ("matmul", "exp")] == [
        (0, 3)
    ] * 2


def test_constants_are_copied_and_packed_once_for_a_context(pack, queue):
    replay = runtime.trace(network, X).compile("opencl")
    other, apart = Queue(), Queue(0, "another context")
    agree(replay(Array(queue, X)), X)
    written = pack.memory.written
    agree(replay(Array(other, X)), X)
    assert kernel(pack, "matmul").packed == [1]
    assert pack.memory.written == written
    agree(replay(Array(apart, X)), X)
    assert kernel(pack, "matmul").packed == [1, 1]
    assert pack.memory.written == 2 * written


def test_a_second_queue_waits_for_what_the_first_packs(pack, queue):
    replay = runtime.trace(network, X).compile("opencl")
    replay(Array(queue, X))
    assert queue.work, "the packing is still to be done"
    agree(replay(Array(Queue(), X)), X)


def test_plans_are_shared_by_queues_and_made_for_each_shape_and_device(pack, queue):
    replay = runtime.trace(network, X).compile("opencl", cache_size=2)
    for given in (Array(queue, X), Array(Queue(), X), Array(queue, X)):
        agree(replay(given), X)
    assert replay.cache_info()[:3] == (3, 1, 0)
    long = np.concatenate([X, X])
    agree(replay(Array(queue, long)), long)
    agree(replay(Array(Queue(1, "d"), X)), X)
    assert replay.cache_info() == (3, 3, 1, 2, 2)


def test_memory_is_used_again_by_what_comes_later_only(pack, queue):
    def chain(x):
        for _ in range(6):
            x = dispatch.relu(dispatch.exp(-x) + 1.0)
        return x

    replay = runtime.trace(chain, X).compile("opencl")
    assert replay.explain().memory["arena_bytes"] <= 3 * 128
    x = np.full_like(X, -2.0)
    y = replay(Array(queue, x)).get()
    wanted = x.astype(np.float64)
    for _ in range(6):
        wanted = np.exp(-wanted) + 1
    np.testing.assert_allclose(y, wanted, rtol=1e-5)


@pytest.mark.parametrize(("columns", "joined"), [(32, True), (3, False)])
def test_parts_begin_where_the_device_lets_buffers_begin(pack, queue, columns, joined):
    def parts(x):
        a, b = dispatch.split(x + 1.0, axis=0, sizes=(1, 1))
        whole = dispatch.concat([dispatch.relu(a), dispatch.exp(b)], axis=0)
        return dispatch.mul(whole, whole)

    x = np.linspace(-1, 1, 2 * columns, dtype=np.float32).reshape(2, columns)
    replay = runtime.trace(parts, x).compile("opencl")
    steps = [row.operator for row in replay.explain().rows]
    assert ("concat" in steps, "split" in steps) == (not joined, not joined)
    wide = x.astype(np.float64) + 1
    wanted = np.stack([np.maximum(wide[0], 0), np.exp(wide[1])]) ** 2
    np.testing.assert_allclose(replay(Array(queue, x)).get(), wanted, rtol=1e-5)


def test_constants_and_what_isnt_dense_as_inputs(pack, queue):
    replay = runtime.trace(lambda x, y: x + y, X, X).compile("opencl")
    constant = dispatch.constant(Array(queue, X.copy()))
    np.testing.assert_array_equal(replay(Array(queue, X), constant).get(), 2 * X)
    np.testing.assert_array_equal(replay(constant, constant).get(), 2 * X)
    turned = Array(queue, X.T.copy())
    turned.hidden = turned.hidden.T
    np.testing.assert_array_equal(replay(turned, Array(queue, X)).get(), 2 * X)


def test_python_numbers_travel_as_kernels_arguments(pack, queue):
    scale = np.float32(3)
    trace = runtime.trace(lambda x, n: dispatch.mul(x, n), X, scale)
    replay = trace.compile("opencl")
    np.testing.assert_array_equal(replay(Array(queue, X), 3).get(), 3 * X)
    with pytest.raises(InvalidArgument, match="at least one array in the memory of device"):
        trace.compile("opencl")(3, 3)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda q: (X, X), MemoryMismatch, "x: expected an array in the memory of device 'opencl'"),
        (
            lambda q: (Array(q, X), X),
            MemoryMismatch,
            "y: .*got ndarray in the host's memory; nothing is copied",
        ),
        (
            lambda q: (Array(q, X), Array(Queue(), X)),
            MemoryMismatch,
            "arrays of one queue.* got x on fake device 0, context c and y on another",
        ),
        (
            lambda q: (Array(q, X), dispatch.constant(Array(Queue(1, "d"), X))),
            MemoryMismatch,
            "one device and context, got x on fake device 0.* and y on fake device 1",
        ),
        (
            lambda q: (Array(q, X.astype(np.float64)), Array(q, X)),
            UnsupportedDtype,
            "x: expected dtype float32, got float64",
        ),
        (lambda q: (Array(q, X),), InvalidArgument, "y is missing"),
        (lambda q: (), InvalidArgument, "x, y is missing"),
        (
            lambda q: (Array(q, X[0]), Array(q, X)),
            runtime.PlanError,
            "x: expected 2 dimensions, got 1",
        ),
        (
            lambda q: (dispatch.quantized(Array(q, X.astype(np.uint8)), 0.5), Array(q, X)),
            InvalidArgument,
            "x: expected a plain array, got ",
        ),
    ],
)
def test_inputs_that_dont_fit(pack, queue, make, error, text):
    replay = runtime.trace(lambda x, y: x + y, X, X).compile("opencl")
    with pytest.raises(error, match=text):
        replay(*make(queue))
    np.testing.assert_array_equal(replay(Array(queue, X), Array(queue, X)).get(), 2 * X)


def test_one_of_several_devices(pack, queue):
    trace = runtime.trace(lambda x: dispatch.relu(x), X)
    second = trace.compile("opencl:1")
    assert second.plan().options[0].problem.device_id == 1
    y = second(Array(Queue(1, "d"), X))
    np.testing.assert_array_equal(y.get(), np.maximum(X, 0))
    with pytest.raises(MemoryMismatch, match="'opencl:1', got Array in fake device 0"):
        second(Array(queue, X))
    with pytest.raises(DeviceUnavailable, match=r"opencl:0 \(first\), opencl:1 \(second\)"):
        trace.compile("opencl:2")
    with pytest.raises(InvalidArgument, match="a number behind 'opencl:'"):
        trace.compile("opencl:one")
    with pytest.raises(InvalidArgument, match="expected 'cpu', got 'cpu:1'"):
        trace.compile("cpu:1")
    with dispatch.using(device="opencl:1"):
        with pytest.raises(MemoryMismatch, match=r"'opencl:1', as the settings say.*'opencl:0'"):
            dispatch.relu(Array(queue, X))
        dispatch.relu(Array(Queue(1, "d"), X))


def test_a_replay_on_the_host_refuses_arrays_of_a_device(pack, queue):
    replay = runtime.trace(lambda x: dispatch.relu(x), X).compile()
    with pytest.raises(MemoryMismatch, match=r"x: .* in the host's memory, got Array"):
        replay(Array(queue, X))


def test_traces_take_examples_and_constants_that_lie_on_a_device(pack, queue):
    w = Array(queue, W.copy())
    bias = dispatch.constant(Array(queue, np.float32([1, -1])))

    def f(x):
        return dispatch.add(dispatch.matmul(x, w), bias)

    trace = runtime.trace(f, Array(queue, X))
    assert trace.graph.inputs[0].dtype == "float32"
    assert trace.graph.inputs[0].example == (2, 3)
    w.hidden[...] = 0
    y = trace.compile("opencl")(Array(queue, X))
    np.testing.assert_allclose(y.get(), X @ W + [1, -1])


def test_quantised_inputs_and_outputs(pack, queue):
    integers = np.array([[0, 1, 255], [128, 127, 3]], np.uint8)

    def f(x):
        real = dispatch.dequantize_linear(x)
        return dispatch.quantize_linear(real, 0.25, 128, dtype="uint8")

    replay = runtime.trace(f, dispatch.quantized(integers, 0.5, 128)).compile("opencl")
    y = replay(dispatch.quantized(Array(queue, integers), 0.5, 128))
    assert (y.scale, y.zero_point) == (0.25, 128)
    wanted = np.clip(2 * (integers.astype(int) - 128) + 128, 0, 255)
    np.testing.assert_array_equal(y.array.get(), wanted)
    bound = replay.bind(dispatch.quantized(Array(queue, integers), 0.5, 128))
    np.testing.assert_array_equal(bound().array.get(), wanted)
    with pytest.raises(InvalidArgument, match="x: expected a quantised array of"):
        replay(dispatch.quantized(Array(queue, integers), 0.5, 127))


def test_structures_of_results(pack, queue):
    single = runtime.trace(lambda x: dispatch.relu(x), X).compile("opencl")
    assert type(single(Array(queue, X))) is Array
    named = runtime.trace(lambda x: {"a": dispatch.relu(x), "b": x}, X).compile("opencl")
    results = named(Array(queue, X))
    np.testing.assert_array_equal(results["b"].get(), X)
    np.testing.assert_array_equal(results["a"].get(), np.maximum(X, 0))


def test_empty_tensors(pack, queue):
    replay = runtime.trace(lambda x: dispatch.exp(dispatch.relu(x)), X).compile("opencl")
    y = replay(Array(queue, np.empty((0, 3), np.float32)))
    assert y.get().shape == (0, 3)


def test_threads_on_one_queue_dont_mix_their_steps(pack):
    class Locked(Queue):
        def enqueue(self, function):
            with lock:
                self.work.append(function)

    lock, queue = threading.Lock(), Locked()
    replay = runtime.trace(network, X).compile("opencl")
    replay(Array(queue, X))
    results = []

    def call(number):
        for turn in range(20):
            x = (number + turn) * X / 16
            results.append((x, replay(Array(queue, x.astype(np.float32)))))

    threads = [threading.Thread(target=call, args=(n,)) for n in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    queue.finish()
    assert len(results) == 80
    for x, result in results:
        agree(result, x.astype(np.float32))


def test_explain_and_profile(pack, queue):
    replay = runtime.trace(network, X).compile("opencl")
    explanation = replay.explain()
    assert [r.kernel.split(".")[1] for r in explanation.rows] == [
        "matmul", "relu", "neg", "exp", "add",
    ]  # fmt: skip
    assert explanation.memory["scratch_bytes"] == 640
    profile = replay.profile(Array(queue, X), repeats=2)
    assert [r.seconds for r in profile.rows] == [1e-3] * 5
    with pytest.raises(MemoryMismatch, match="in the host's memory"):
        replay.profile(X)


def test_files_hold_no_plans_whose_kernels_need_python(pack, tmp_path):
    trace = runtime.trace(network, X)
    replay = trace.compile("opencl")
    with pytest.raises(ArtifactError, match=r"plans: 'gpu': pack fake's kernels need Python"):
        trace.save(tmp_path / "t.safetensors", {"gpu": replay})
    assert not (tmp_path / "t.safetensors").exists()


# ---- Bound replays ---------------------------------------------------------------------------


def test_a_bound_replay_reads_and_writes_the_same_arrays(pack, queue):
    replay = runtime.trace(network, X).compile("opencl")
    x = Array(queue, X.copy())
    bound = replay.bind(x)
    assert bound.inputs == (x,)
    counts = kernel(pack, "matmul").runs
    agree(bound(), X)
    x.hidden[...] = 3 * X
    assert bound() is bound.outputs
    agree(bound.outputs, 3 * X)
    assert kernel(pack, "matmul").runs == counts, "all was bound beforehand"


def test_a_bound_replay_writes_where_the_caller_says(pack, queue):
    replay = runtime.trace(network, X).compile("opencl")
    out = tuple(Array(queue, np.zeros((2, 2), np.float32)) for _ in range(2))
    bound = replay.bind(Array(queue, X), out=out)
    assert bound() == out
    agree(out, X)


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda q, x: x, InvalidArgument, "out: expected a tuple of 2 arrays"),
        (lambda q, x: (x,), InvalidArgument, "out: expected a tuple of 2 arrays"),
        (lambda q, x: (x, x), InvalidArgument, r"out: output_0: expected shape \(2, 2\)"),
        (
            lambda q, x: [Array(q, np.zeros((2, 2))) for _ in range(2)],
            UnsupportedDtype,
            "out: output_0: expected dtype float32, got float64",
        ),
        (
            lambda q, x: [np.zeros((2, 2), np.float32)] * 2,
            MemoryMismatch,
            "out: output_0: .*got ndarray in the host's memory",
        ),
        (
            lambda q, x: [Array(Queue(), np.zeros((2, 2), np.float32)) for _ in range(2)],
            MemoryMismatch,
            "out: output_0: expected an array on the inputs' queue",
        ),
        (
            lambda q, x: [Array(q, np.zeros((2, 2), np.float32))] * 2,
            InvalidArgument,
            "out: expected arrays apart",
        ),
        (
            lambda q, x: [Array(q, x.hidden.reshape(-1)[i : i + 4].reshape(2, 2)) for i in (0, 2)],
            InvalidArgument,
            "out: expected arrays apart",
        ),
        (
            lambda q, x: [Array(q, np.zeros((2, 4), np.float32)[:, ::2]) for _ in range(2)],
            InvalidArgument,
            "expected dense, aligned arrays",
        ),
    ],
)
def test_outputs_that_dont_fit(pack, queue, make, error, text):
    replay = runtime.trace(network, X).compile("opencl")
    x = Array(queue, X.copy())
    with pytest.raises(error, match=text):
        replay.bind(x, out=make(queue, x))


# ---- Recorded work ---------------------------------------------------------------------------


def test_a_device_that_records_starts_all_at_once(recording, queue):
    memory = recording.memory
    replay = runtime.trace(network, X).compile("opencl")
    for factor in (1, 2, 3):
        agree(replay(Array(queue, factor * X)), factor * X)
    assert (memory.records, memory.launches) == (1, 3)
    assert memory.copies == 3 * 3, "an input and two outputs each time"
    assert kernel(recording, "matmul").runs == 0


def test_results_of_earlier_launches_stay(recording, queue):
    replay = runtime.trace(network, X).compile("opencl")
    first, second = replay(Array(queue, X)), replay(Array(queue, -X))
    agree(second, -X)
    agree(first, X)


def test_two_queues_have_records_of_their_own(recording, queue):
    replay = runtime.trace(network, X).compile("opencl")
    other = Queue()
    first, second = replay(Array(queue, X)), replay(Array(other, -X))
    agree(second, -X)
    agree(first, X)
    assert recording.memory.records == 2


def test_bound_arrays_arent_copied_on_a_device_that_records(recording, queue):
    memory = recording.memory
    replay = runtime.trace(network, X).compile("opencl")
    x = Array(queue, X.copy())
    bound = replay.bind(x)
    for factor in (1, 2):
        x.hidden[...] = factor * X
        agree(bound(), factor * X)
    assert (memory.records, memory.launches, memory.copies) == (1, 2, 0)


@pytest.mark.parametrize("records", [False, True])
def test_a_dropped_replay_goes_at_once_with_all_that_it_held(monkeypatch, queue, records):
    make_pack(monkeypatch, RecordingMemory() if records else Memory())
    replay = runtime.trace(network, X).compile("opencl")
    replay(Array(queue, X))
    bound = replay.bind(Array(queue, X))
    bound()
    queue.finish()
    held = replay._device_store._held
    assert len(held) > 0
    gc.collect()
    gc.disable()  # no cycle keeps a device's memory
    try:
        del replay, bound
        assert len(held) == 0
    finally:
        gc.enable()
