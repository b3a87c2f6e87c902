"""Eager calls on arrays in a device's own memory, which is a fake one here."""

from __future__ import annotations

import numpy as np
import pytest

import dispatch
from dispatch import context
from dispatch import registry as registry_module
from dispatch.answer import Yes
from dispatch.errors import MemoryMismatch
from dispatch.memory import memory_of_device, place_of
from dispatch.registry import Registry
from dispatch.remembered import clear
from tests.dispatch.device_fakes import Array, Kernel, Pack, Queue, TensorAnywhere
from tests.dispatch.fakes import FakeKernel, FakePack


@pytest.fixture
def pack(monkeypatch):
    clear()
    made = Pack(
        Kernel("fake.add.map.f32", Yes(1e-6, may_overwrite=frozenset({0}))),
        Kernel("fake.relu.map.f32", Yes(1e-6, scratch_bytes=64)),
        Kernel("fake.exp.map.f32", Yes(1e-6, scratch_bytes=640)),
        Kernel("fake.matmul.gemm.f32", Yes(1e-6, packed_bytes=(0, 24, 0))),
        Kernel("fake.transpose.move.f32"),
    )
    host = FakePack("cpu", (FakeKernel("cpu.relu.plain.f32"), FakeKernel("cpu.add.plain.f32")))
    entries = ((made, "tests"), (host, "tests"))
    monkeypatch.setattr(registry_module, "_registry", Registry(entries))
    # Settings remember that a device is here.
    monkeypatch.setattr(context, "_interned", {})
    yield made
    clear()


@pytest.fixture
def queue():
    return Queue()


def kernel(pack, operator):
    return next(k for k in pack.kernels if f".{operator}." in k.name)


X = np.array([[-1.0, 2.0, -3.0], [4.0, -5.0, 6.0]], np.float32)


def test_a_call_enqueues_and_gives_the_callers_kind(pack, queue):
    y = dispatch.relu(Array(queue, X))
    assert type(y) is Array and y.queue is queue
    assert (y.hidden == 77).all(), "nothing ran before somebody asked"
    np.testing.assert_array_equal(y.get(), np.maximum(X, 0))


def test_a_call_like_an_earlier_one_prepares_nothing(pack, queue):
    for _ in range(3):
        dispatch.relu(Array(queue, X))
    assert kernel(pack, "relu").prepared == 1
    dispatch.relu(Array(Queue(), X))
    assert kernel(pack, "relu").prepared == 2


def test_arrays_are_known_by_their_module_or_by_dlpack(pack, queue):
    assert place_of(Array(queue, X)).device == "opencl"
    assert place_of(TensorAnywhere(queue, X)).memory is pack.memory
    assert place_of(X) is None
    assert place_of(3.0) is None
    assert memory_of_device("opencl") is pack.memory
    assert memory_of_device("intel") is None
    y = dispatch.relu(TensorAnywhere(queue, X))
    assert type(y) is TensorAnywhere


def test_scratch_is_one_buffer_for_each_queue(pack, queue):
    for _ in range(2):
        dispatch.relu(Array(queue, X))
        dispatch.exp(Array(queue, X))
    assert kernel(pack, "relu").scratch == [64, 640]
    assert kernel(pack, "exp").scratch == [640, 640]
    assert pack.memory.allocated == 2
    dispatch.relu(Array(Queue(), X))
    assert pack.memory.allocated == 3


def test_constants_are_packed_once_and_outlive_their_source(pack, queue):
    source = Array(queue, X.T.copy())
    w = dispatch.constant(source)
    queue.finish()
    source.hidden[:] = 0
    for _ in range(2):
        np.testing.assert_array_equal(dispatch.matmul(Array(queue, X), w).get(), X @ X.T)
    assert kernel(pack, "matmul").packed == [1]
    assert (w.shape, w.dtype) == ((3, 2), np.float32)


def test_another_queue_waits_for_a_constant(pack, queue):
    w = dispatch.constant(Array(queue, X.T.copy()))
    other = Queue()
    y = dispatch.matmul(Array(other, X), w)
    assert queue.work, "the copy is still to be made"
    np.testing.assert_array_equal(y.get(), X @ X.T)


def test_numbers_become_arrays_there(pack, queue):
    np.testing.assert_array_equal(dispatch.add(Array(queue, X), 2).get(), X + 2)
    np.testing.assert_array_equal(dispatch.add(0.5, Array(queue, X)).get(), X + 0.5)


def test_what_isnt_dense_is_copied_on_the_device(pack, queue):
    np.testing.assert_array_equal(
        dispatch.relu(Array(queue, X)[:, ::2]).get(), np.maximum(X[:, ::2], 0)
    )
    assert pack.memory.copies == 1


def test_out(pack, queue):
    x, out = Array(queue, X.copy()), Array(queue, np.zeros_like(X))
    assert dispatch.add(x, x, out=out) is out
    np.testing.assert_array_equal(out.get(), 2 * X)
    assert pack.memory.copies == 0
    # The kernel may overwrite its first input, not its second.
    assert dispatch.add(x, out, out=x) is x
    np.testing.assert_array_equal(x.get(), 3 * X)
    assert pack.memory.copies == 0
    dispatch.add(out, x, out=x)
    np.testing.assert_array_equal(x.get(), 5 * X)
    assert pack.memory.copies == 1


def test_attributes_that_need_freezing(pack, queue):
    y = dispatch.transpose(Array(queue, X), [1, 0])
    np.testing.assert_array_equal(y.get(), X.T)


@pytest.mark.parametrize("swap", [False, True])
def test_memories_dont_mix(pack, queue, swap):
    pair = (Array(queue, X), X)
    a, b = pair[::-1] if swap else pair
    with pytest.raises(MemoryMismatch, match="the host's memory") as caught:
        dispatch.add(a, b)
    assert "fake device 0, context c" in str(caught.value)
    assert isinstance(caught.value, dispatch.InvalidArgument)


def test_host_constants_dont_mix_either(pack, queue):
    with pytest.raises(MemoryMismatch, match="b in the host's memory"):
        dispatch.add(Array(queue, X), dispatch.constant(X))


def test_queues_contexts_and_devices_dont_mix(pack, queue):
    x = Array(queue, X)
    with pytest.raises(MemoryMismatch, match="a and b on different queues"):
        dispatch.add(x, Array(Queue(), X))
    with pytest.raises(MemoryMismatch, match=r"context c and b on fake device 1, context d"):
        dispatch.add(x, Array(Queue(1, "d"), X))
    constant = dispatch.constant(Array(Queue(1, "d"), X))
    with pytest.raises(MemoryMismatch, match="one device and context"):
        dispatch.add(x, constant)
    with pytest.raises(MemoryMismatch, match="one device and context"):
        dispatch.add(constant, x)


def test_a_device_asked_for_and_arrays_elsewhere(pack, queue):
    with dispatch.using(device="opencl"):
        with pytest.raises(MemoryMismatch, match=r"relu: x: .* 'opencl', got one in the host's"):
            dispatch.relu(X)
        assert dispatch.relu(Array(queue, X)).queue is queue
    family = next(d.name for d in dispatch.devices()[1:] if d.available and d.name != "opencl")
    with (
        dispatch.using(device=family),
        pytest.raises(MemoryMismatch, match="as the settings say, got some in the memory"),
    ):
        dispatch.relu(Array(queue, X))


def test_the_problem_names_device_and_number(pack):
    explanation = dispatch.explain(dispatch.relu, Array(Queue(1), X))
    problem = explanation.decision.problem
    assert (problem.device, problem.device_id) == ("opencl", 1)
    assert dispatch.Problem.from_json(problem.to_json()) == problem
    assert explanation.decision.kernel is kernel(pack, "relu")


def test_arrays_of_the_host_still_go_to_the_host(pack):
    np.testing.assert_array_equal(dispatch.relu(X), np.maximum(X, 0))
    assert kernel(pack, "relu").prepared == 0
