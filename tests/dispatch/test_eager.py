"""Calls that C serves because an earlier one was like them: which do, and which never may."""

import gc
import sys
import threading

import numpy as np
import pytest

import dispatch
from dispatch import _eager, remembered
from dispatch.call import call
from dispatch.ops.relu import OPERATOR as RELU


@pytest.fixture
def in_python(monkeypatch):
    """Return a list that grows by each call that Python serves after the first of its kind."""
    remembered.clear()
    seen: list[str] = []

    def told(key, entry, inputs, keep=remembered.remember):
        run = entry.run
        entry = keep(key, entry, inputs)
        first = [True]

        def counted(inputs, out):
            if not first.pop() if first else True:
                seen.append(key[0].name)
            return run(inputs, out)

        entry.run = counted
        return entry

    monkeypatch.setattr("dispatch.call.remember", told)
    yield seen
    remembered.clear()


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_a_call_like_an_earlier_one_is_served_without_python(in_python) -> None:
    x, w = floats(1, 4, 5, 5), dispatch.constant(floats(4, 4, 3, 3))
    bias, residual = floats(4), floats(1, 4, 5, 5)
    for _ in range(3):
        for n in (x, -x):
            np.testing.assert_array_equal(dispatch.relu(n), np.maximum(n, 0))
            np.testing.assert_array_equal(dispatch.add(n, x), n + x)
            y = dispatch.conv2d(n, w, bias, pads=1, activation=("clip", 0, 1), residual=residual)
            expected = dispatch.conv2d(n, w, pads=1) + bias[:, None, None] + residual
            np.testing.assert_allclose(y, expected.clip(0, 1), rtol=1e-5, atol=1e-5)
    assert in_python == []
    remembered.clear()
    dispatch.relu(x)
    _eager.forget()
    dispatch.relu(x)
    assert in_python == ["relu"]
    dispatch.relu(x)
    assert in_python == ["relu"], "what was forgotten isn't served again"


def test_what_differs_is_told_apart(in_python) -> None:
    x = floats(2, 6)
    for _ in range(2):
        assert dispatch.relu(x.reshape(3, 4)).shape == (3, 4)
        assert dispatch.relu(x).dtype == np.float32
        assert dispatch.relu(x.astype(np.float64)).dtype == np.float64
        assert dispatch.transpose(x, (1, 0)).shape == (6, 2)
        assert dispatch.transpose(x, (0, 1)).shape == (2, 6)
        np.testing.assert_array_equal(dispatch.sum(x, 0, keepdims=False), x.sum(0))
        np.testing.assert_allclose(dispatch.sum(x, 1, keepdims=False), x.sum(1), rtol=1e-6)
        np.testing.assert_array_equal(dispatch.clip(x, 0.0, 0.5), x.clip(0, 0.5))
        np.testing.assert_array_equal(dispatch.clip(x, 0.0, 0.25), x.clip(0, 0.25))
    with dispatch.using(packs="portable"):
        np.testing.assert_array_equal(dispatch.relu(x), np.maximum(x, 0))
    assert in_python == []


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x[:, ::-1],
        lambda x: np.asfortranarray(x),
        lambda x: np.broadcast_to(x[0], (3, 4)),
    ],
)
def test_views_that_are_not_dense_are_left_to_python(in_python, change) -> None:
    x = floats(3, 4)
    dispatch.relu(x)
    for _ in range(2):
        np.testing.assert_array_equal(dispatch.relu(change(x)), np.maximum(change(x), 0))
    assert in_python == ["relu"]


def test_a_dtype_with_metadata_is_told_apart_and_served(in_python) -> None:
    x = floats(3, 4)
    dispatch.relu(x)
    y = x.view(np.dtype(np.float32, metadata={"unit": "m"}))
    for _ in range(2):
        np.testing.assert_array_equal(dispatch.relu(y), np.maximum(x, 0))


def test_out_is_written_where_the_kernel_may(in_python) -> None:
    x = floats(3, 4)
    expected = np.maximum(x, 0)
    dispatch.relu(x)
    out = np.full_like(x, np.nan)
    assert dispatch.relu(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    own = x.copy()
    assert dispatch.relu(own, out=own) is own
    np.testing.assert_array_equal(own, expected)
    assert in_python == []


def test_out_that_the_kernel_may_not_write_is_left_to_python(in_python) -> None:
    memory = floats(20)
    x = memory[:12].reshape(3, 4)
    expected = np.maximum(x, 0)
    dispatch.relu(x)
    strided = np.empty((4, 3), np.float32).T
    dispatch.relu(x, out=strided)
    np.testing.assert_array_equal(strided, expected)
    read_only = np.empty((3, 4), np.float32)
    read_only.flags.writeable = False
    with pytest.raises(dispatch.InvalidArgument, match="writable"):
        dispatch.relu(x, out=read_only)
    with pytest.raises(dispatch.InvalidArgument, match="shape"):
        dispatch.relu(x, out=np.empty((4, 3), np.float32))
    with pytest.raises(dispatch.UnsupportedDtype, match="dtype"):
        dispatch.relu(x, out=np.empty((3, 4)))
    w = floats(4, 4)
    product = x @ w
    dispatch.matmul(x, w)
    overlapping = memory[4:16].reshape(3, 4)
    dispatch.matmul(x, w, out=overlapping)
    np.testing.assert_allclose(overlapping, product, rtol=1e-5, atol=1e-6)
    assert in_python == ["relu", "relu", "relu", "relu", "matmul"]


def test_a_sum_that_broadcasts_never_overwrites_what_it_still_reads(in_python) -> None:
    row, table = floats(1, 4), floats(3, 4)
    expected = row + table
    for _ in range(2):
        held = table.copy()
        dispatch.add(row, held, out=held)
        np.testing.assert_array_equal(held, expected)
        memory = np.zeros((3, 4), np.float32)
        memory[0] = row
        dispatch.add(memory[:1], table, out=memory)
        np.testing.assert_array_equal(memory, expected)


def test_quantised_arrays_are_served_with_their_scales(in_python) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    half, third = dispatch.quantized(values, 0.5), dispatch.quantized(values, 0.25, 3)
    for _ in range(2):
        for x, zero in ((half, 0), (third, 3)):
            y = dispatch.qadd(x, x, scale=0.125, zero_point=1)
            real = x.scale * (values.astype(np.float64) - zero) * 2
            np.testing.assert_array_equal(
                y.array, (np.rint(real / 0.125) + 1).clip(0, 255).astype(np.uint8)
            )
            assert (y.scale, y.zero_point) == (0.125, 1)
    assert in_python == []


def test_the_dead_constants_address_is_no_key(in_python) -> None:
    x = floats(2, 3)
    for n in range(50):
        w = dispatch.constant(np.full((2, 3), n, np.float32))
        np.testing.assert_array_equal(dispatch.add(x, w), x + np.float32(n))
        np.testing.assert_array_equal(dispatch.add(x, w), x + np.float32(n))
        del w
    gc.collect()
    assert in_python == []


class Eccentric(int):
    """A number that does something when it is compared."""

    does = staticmethod(remembered.clear)

    def __hash__(self) -> int:
        return int.__hash__(self)

    def __eq__(self, other: object) -> bool:
        type(self).does()
        return int.__eq__(self, other)


def test_comparing_attributes_may_forget_everything_or_fail() -> None:
    x = floats(4, 3)
    for number in (1, Eccentric(1), Eccentric(1), 1, Eccentric(0)):
        expected = x.sum(int(number))
        np.testing.assert_allclose(dispatch.sum(x, number), expected, rtol=1e-6)

    class Failing(Eccentric):
        @staticmethod
        def does() -> None:
            raise ZeroDivisionError

        __hash__ = int.__hash__

    dispatch.sum(x, 1)
    with pytest.raises(ZeroDivisionError):  # from the comparison in Python, which comes next
        dispatch.sum(x, Failing(1))


def test_threads_forget_what_others_run() -> None:
    x, w = floats(64, 64), dispatch.constant(floats(64, 64))
    expected = dispatch.matmul(x, w)
    ends = threading.Event()
    wrong: list[str] = []

    def work() -> None:
        while not ends.is_set():
            if not np.array_equal(dispatch.matmul(x, w), expected):
                wrong.append("another result")

    def forget() -> None:
        for _ in range(300):
            _eager.forget()
            remembered.clear()
        ends.set()

    with dispatch.using(threads=1):
        threads = [threading.Thread(target=t) for t in (work, work, forget)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert ends.is_set()
    assert wrong == []


def test_nothing_is_leaked(in_python) -> None:
    x = floats(3, 4)
    quantised = dispatch.quantized(np.ones((3, 4), np.uint8), 0.1)
    attributes = (0.0, 2.0**70)
    held = (x.dtype, attributes, RELU, quantised.quantization, None)

    def counts() -> list[int]:
        remembered.clear()
        gc.collect()
        return [sys.getrefcount(each) for each in held]

    def calls() -> None:
        dispatch.relu(x)
        dispatch.relu(x, out=np.empty_like(x))
        dispatch.qadd(quantised, quantised, scale=0.2)
        with pytest.raises(dispatch.InvalidArgument):
            dispatch.relu(x, out=np.empty(3, np.float32))
        call(dispatch.ops.clip.OPERATOR, (x,), attributes)

    calls()
    before = counts()
    for _ in range(1000):
        calls()
    assert all(abs(now - then) < 100 for now, then in zip(counts(), before, strict=True))


@pytest.mark.parametrize(
    "arguments",
    [(), (RELU,), (RELU, (), (), None, None, None), (RELU, [], ()), (RELU, (), [])],
)
def test_arguments_of_another_form_are_refused(arguments) -> None:
    with pytest.raises(TypeError, match="call: expected an operator"):
        _eager.call(*arguments)


def test_what_is_kept_must_fit() -> None:
    x = floats(2)
    setting = object()
    with pytest.raises(ValueError, match="fixed: expected as many"):
        _eager.keep(RELU, setting, (x,), (), (), 1, (), x, 0, None, None)
    with pytest.raises(ValueError, match="handle: expected an address"):
        _eager.keep(RELU, setting, (x,), (), (), 0, (0,), x, 0, None, None)
    with pytest.raises(TypeError):
        _eager.keep(RELU, setting, (x,), (), (), "1", (0,), x, 0, None, None)
    before = sys.getrefcount(setting)
    many = floats(*[1] * 9)
    _eager.keep(RELU, setting, (many,), (), (), 1, (0,), x, 0, None, None)
    _eager.keep(RELU, setting, (x,) * 6, (), (), 1, (0,) * 6, x, 0, None, None)
    _eager.keep(RELU, setting, ("x",), (), (), 1, (0,), x, 0, None, None)
    assert sys.getrefcount(setting) == before
