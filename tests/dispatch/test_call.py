"""The eager call: every kind of array, `out`, errors, caching."""

import gc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dispatch
from dispatch import remembered


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", ml_dtypes.bfloat16])
def test_strange_memory_gives_the_same_answer(dtype) -> None:
    base = np.arange(-24, 24, dtype=np.float32).astype(dtype).reshape(4, 12)
    views = {
        "transposed": base.T,
        "negative strides": base[::-1, ::-2],
        "every other column": base[:, ::2],
        "broadcast": np.broadcast_to(base[0], (3, 12)),
        "zero-size": base[:0],
        "0-d": base[0, 0].reshape(()),
        "fortran order": np.asfortranarray(base),
    }
    raw = np.zeros(base.nbytes + 1, np.uint8)[1:]
    raw[:] = np.frombuffer(base.tobytes(), np.uint8)
    views["misaligned"] = raw.view(base.dtype).reshape(base.shape)
    read_only = base.copy()
    read_only.flags.writeable = False
    views["read-only"] = read_only
    for name, view in views.items():
        result = dispatch.relu(view)
        assert result.shape == view.shape, name
        assert result.dtype == view.dtype, name
        np.testing.assert_array_equal(result, np.maximum(view, view.dtype.type(0)), err_msg=name)


@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=7),
        elements=st.floats(-10, 10, width=32),
    ),
    st.data(),
)
def test_any_view_of_both_operands(array, data) -> None:
    def view() -> np.ndarray:
        index = tuple(
            slice(None, None, data.draw(st.sampled_from([1, -1]))) for _ in range(array.ndim)
        )
        return array[index]

    a, b = view(), view()
    np.testing.assert_array_equal(dispatch.add(a, b), a + b)


def test_out_is_written_and_returned() -> None:
    x = np.array([-1, 2], np.float32)
    out = np.full(2, np.nan, np.float32)
    assert dispatch.relu(x, out=out) is out
    assert out.tolist() == [0, 2]


def test_out_may_be_the_input_itself() -> None:
    x = np.array([-1, 2], np.float32)
    assert dispatch.relu(x, out=x) is x
    assert x.tolist() == [0, 2]


def test_out_that_overlaps_an_input_is_still_right() -> None:
    memory = np.arange(-4, 8, dtype=np.float32)
    x, out = memory[:10], memory[2:]
    expected = np.maximum(x.copy(), 0)
    dispatch.relu(x, out=out)
    np.testing.assert_array_equal(out, expected)


def test_out_of_any_strides() -> None:
    x = np.arange(-6, 6, dtype=np.float32).reshape(3, 4)
    out = np.zeros((4, 3), np.float32).T
    dispatch.relu(x, out=out)
    np.testing.assert_array_equal(out, np.maximum(x, 0))


def test_out_of_a_convolution_that_is_its_input() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 4, 6, 6), np.float32)
    w = rng.standard_normal((4, 4, 3, 3), np.float32)
    expected = dispatch.conv2d(x, w, pads=1)
    dispatch.conv2d(x, w, pads=1, out=x)
    np.testing.assert_allclose(x, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (np.zeros(3, np.float32), r"out: expected shape \(2,\), got \(3,\)"),
        (np.zeros(2, np.float64), "out: expected dtype float32, got float64"),
        ([0.0, 0.0], "out: expected an array"),
    ],
)
def test_a_wrong_out_is_named(out, message) -> None:
    with pytest.raises(dispatch.InvalidArgument, match=message):
        dispatch.relu(np.zeros(2, np.float32), out=out)


def test_a_read_only_out_is_refused() -> None:
    out = np.zeros(2, np.float32)
    out.flags.writeable = False
    with pytest.raises(dispatch.InvalidArgument, match="out: expected a writable array"):
        dispatch.relu(np.zeros(2, np.float32), out=out)


X = np.zeros((1, 4, 5, 5), np.float32)
W = np.zeros((6, 4, 3, 3), np.float32)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((X[0], W), {}, dispatch.InvalidArgument, "x: expected 4 dimensions, got 3"),
        ((X, W[:, :3]), {}, dispatch.InvalidArgument, "w: expected 4 channels"),
        ((X, W), {"groups": 3}, dispatch.InvalidArgument, "groups: expected a divisor of x's 4"),
        ((X, W), {"groups": 0}, dispatch.InvalidArgument, "groups: expected at least 1, got 0"),
        ((X, W), {"strides": 0}, dispatch.InvalidArgument, "strides: expected at least 1, got 0"),
        ((X, W), {"strides": (1, 1, 1)}, dispatch.InvalidArgument, "strides: expected 2 entries"),
        ((X, W), {"strides": "two"}, dispatch.InvalidArgument, "strides: expected"),
        ((X, W), {"pads": -1}, dispatch.InvalidArgument, "pads: expected at least 0, got -1"),
        ((X, W), {"pads": "full"}, dispatch.InvalidArgument, "pads: expected 'same'"),
        (
            (X, W),
            {"dilations": 4},
            dispatch.InvalidArgument,
            "padded height of at least .* 9, got 5",
        ),
        (
            (X, W),
            {"activation": "softmax"},
            dispatch.InvalidArgument,
            "activation: expected one of",
        ),
        ((X, W), {"residual": X}, dispatch.InvalidArgument, "residual: expected float32"),
        ((X, W, X[0, 0, 0]), {}, dispatch.InvalidArgument, r"bias: expected shape \(6,\)"),
        ((X, W.astype("f8")), {}, dispatch.UnsupportedDtype, "w: expected dtype float32"),
        ((X.astype("i4"), W.astype("i4")), {}, dispatch.UnsupportedDtype, "got int32"),
        ((X.astype("c8"), W), {}, dispatch.UnsupportedDtype, "complex64"),
        ((X.astype(">f4"), W), {}, dispatch.UnsupportedDtype, "byte order"),
        ((None, W), {}, dispatch.InvalidArgument, "x: expected an array, got None"),
        (("x", W), {}, dispatch.InvalidArgument, "x: expected an array"),
        (([[1.0]], W), {}, dispatch.InvalidArgument, "x: expected an array"),
    ],
)
def test_bad_arguments_are_named(arguments, keywords, error, message) -> None:
    with pytest.raises(error, match=message) as caught:
        dispatch.conv2d(*arguments, **keywords)
    assert "conv2d" in str(caught.value) or "activation" in keywords


def test_sizes_that_overflow_are_refused_before_any_memory_is_taken() -> None:
    x = np.broadcast_to(np.float32(1), (1, 1, 2**30, 2**30))
    w = np.ones((2**4, 1, 1, 1), np.float32)
    with pytest.raises(dispatch.InvalidArgument, match="at most"):
        dispatch.conv2d(x, w)


def test_lists_and_arrays_serve_as_attributes() -> None:
    x, w = np.ones((1, 1, 5, 5), np.float32), np.ones((1, 1, 3, 3), np.float32)
    expected = dispatch.conv2d(x, w, strides=(2, 1))
    np.testing.assert_array_equal(dispatch.conv2d(x, w, strides=[2, 1]), expected)
    np.testing.assert_array_equal(dispatch.conv2d(x, w, strides=np.array([2, 1])), expected)


def test_numbers_take_the_arrays_dtype() -> None:
    result = dispatch.add(np.array([1, 2], np.float16), 0.5)
    assert result.dtype == np.float16
    assert result.tolist() == [1.5, 2.5]
    with pytest.raises(dispatch.UnsupportedDtype, match="expected an integer"):
        dispatch.add(np.array([1, 2], np.int32), 0.5)


def test_a_constant_does_not_follow_its_source() -> None:
    source = np.array([1.0, 2.0], np.float32)
    constant = dispatch.constant(source)
    source[:] = 0
    assert dispatch.add(np.zeros(2, np.float32), constant).tolist() == [1, 2]
    assert dispatch.constant(constant) is constant


def test_calls_of_a_dead_constant_are_forgotten() -> None:
    gc.collect()
    constant = dispatch.constant(np.ones(3, np.float32))
    dispatch.add(np.zeros(3, np.float32), constant)
    token = constant.token
    assert token in remembered._keys_of
    before = len(remembered.entries)
    del constant
    gc.collect()
    assert token not in remembered._keys_of
    assert len(remembered.entries) == before - 1


def test_the_cache_of_calls_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(remembered, "CACHE_LIMIT", 8)
    remembered.clear()
    for n in range(1, 30):
        assert dispatch.relu(np.ones(n, np.float32)).shape == (n,)
    assert len(remembered.entries) <= 8


def test_settings_are_part_of_the_call() -> None:
    x = np.ones(3, np.float32)
    with dispatch.using(threads=1):
        assert dispatch.settings().threads == 1
        dispatch.relu(x)
    assert dispatch.settings().threads is None


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"device": "tpu"}, dispatch.InvalidArgument, "device: expected one of cpu"),
        ({"device": "nvidia"}, dispatch.DeviceUnavailable, "nvidia"),
        ({"packs": "acme"}, dispatch.InvalidArgument, "packs: expected names of installed packs"),
        ({"kernel": "relu"}, dispatch.RegistrationError, "kernel name"),
        ({"fallback": "never"}, dispatch.InvalidArgument, "fallback: expected 'allow'"),
        ({"precision": "low"}, dispatch.InvalidArgument, "precision: expected 'highest'"),
        ({"threads": 0}, dispatch.InvalidArgument, "threads: expected at least 1"),
    ],
)
def test_wrong_settings_are_named(keywords, error, message) -> None:
    with pytest.raises(error, match=message), dispatch.using(**keywords):
        pass


def test_settings_nest_and_end_with_an_exception() -> None:
    def nested() -> None:
        with dispatch.using(threads=2, precision="highest"):
            with dispatch.using(threads=1):
                assert dispatch.settings().precision == "highest"
                assert dispatch.settings().threads == 1
            assert dispatch.settings().threads == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        nested()
    assert dispatch.settings() == dispatch.Settings()


def test_a_misaligned_array_is_copied_before_a_kernel_sees_it() -> None:
    raw = np.zeros(4 * 4 + 1, np.uint8)
    raw[1:] = np.frombuffer(np.array([1, -2, 3, -4], np.float32).tobytes(), np.uint8)
    x = raw[1:].view(np.float32)
    assert not x.flags.aligned
    remembered.clear()
    dispatch.relu(np.ones(4, np.float32))  # the same call, aligned: the fast way is taken
    (entry,) = (
        e
        for k, e in remembered.entries.items()
        if k[0].name == "relu" and k[5] == (4,) and k[1].settings == dispatch.Settings()
    )
    seen: list[bool] = []
    runner = entry.run
    entry.run = lambda inputs, out: seen.append(True) or runner(inputs, out)
    assert dispatch.relu(x).tolist() == [1, 0, 3, 0]
    assert seen == [True]
