"""Arrays of other libraries, through DLPack."""

import ctypes
import gc
import threading
import weakref

import ml_dtypes
import numpy as np
import pytest

import dispatch
from dispatch import dlpack
from dispatch.arrays import from_numpy, to_numpy


class Foreign:
    """An array library of one class, which speaks DLPack alone."""

    __module__ = "tests.foreign"

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __dlpack__(self, **keywords):
        return dlpack.Exported(self.array).__dlpack__(**keywords)


class Watched(np.ndarray):
    """An array whose end can be seen."""


class Tensor(ctypes.Structure):
    """The head of a capsule's tensor."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
    )


def changed(capsule, **fields):
    """Change a capsule's tensor in place."""
    pointer = ctypes.pythonapi.PyCapsule_GetPointer
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    tensor = Tensor.from_address(pointer(capsule, b"dltensor"))
    for name, value in fields.items():
        if isinstance(value, tuple):
            for index, each in enumerate(value):
                getattr(tensor, name)[index] = each
        else:
            setattr(tensor, name, value)
    return capsule


DTYPES = [*"bBhHiIlLefd", "?", ml_dtypes.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 4), (2, 3, 4, 5)])
def test_capsules_round_trip_over_the_same_memory(dtype, shape) -> None:
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    back = dlpack.from_capsule(Foreign(array).__dlpack__())
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    if array.size:
        assert np.shares_memory(back, array)


def test_strides_pass_through() -> None:
    array = np.arange(24.0).reshape(4, 6)[::-2, ::3]
    np.testing.assert_array_equal(dlpack.from_capsule(Foreign(array).__dlpack__()), array)


def test_memory_is_released_when_the_last_array_is_gone() -> None:
    array = Watched((5,), np.float32)
    gone = weakref.ref(array)
    view = dlpack.from_capsule(Foreign(array).__dlpack__())[1:]
    del array
    gc.collect()
    assert gone() is not None
    del view
    gc.collect()
    assert gone() is None


def test_a_capsule_that_nobody_takes_is_released() -> None:
    array = Watched((3,))
    gone = weakref.ref(array)
    capsule = dlpack.Exported(array).__dlpack__()
    del array
    gc.collect()
    assert gone() is not None
    del capsule
    assert gone() is None


def test_a_capsule_is_used_once() -> None:
    capsule = Foreign(np.ones(3)).__dlpack__()
    first = dlpack.from_capsule(capsule)
    for _ in range(2):
        with pytest.raises(ValueError, match="PyCapsule_GetPointer"):
            dlpack.from_capsule(capsule)
    assert first.tolist() == [1, 1, 1]


def test_what_is_imported_may_be_written() -> None:
    array = np.zeros(3)
    dlpack.from_capsule(Foreign(array).__dlpack__())[1] = 5
    assert array.tolist() == [0, 5, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ndim": 33}, "33 dimensions: 0 to 32"),
        ({"ndim": -1}, "-1 dimensions"),
        ({"code": 5}, "dtype code 5, 32 bits, 1 lanes"),
        ({"bits": 24}, "24 bits"),
        ({"lanes": 4}, "4 lanes"),
        ({"data": None}, "without memory"),
        ({"shape": None}, "without extents"),
        ({"shape": (-2, 3)}, "negative or too large"),
        ({"shape": (2**40, 2**40)}, "negative or too large"),
        ({"strides": (2**62, 1)}, "negative or too large"),
        ({"device_type": 2}, "on DLPack device 2"),
    ],
)
def test_a_damaged_capsule_is_refused_and_released(changes, message) -> None:
    array = Watched((2, 3), np.float32)
    gone = weakref.ref(array)
    capsule = changed(Foreign(array).__dlpack__(), **changes)
    del array
    with pytest.raises(BufferError, match=message):
        dlpack.from_capsule(capsule)
    gc.collect()
    assert gone() is not None
    del capsule
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (np.zeros(3, np.complex64), BufferError),
        (np.zeros(3, ">f4"), BufferError),
        (np.zeros(2, [("a", "i1"), ("b", "f4")])["b"], BufferError),
        ([1.0], TypeError),
    ],
)
def test_what_dlpack_has_no_word_for_is_refused(value, error) -> None:
    with pytest.raises(error):
        dlpack.Exported(value).__dlpack__()


def test_other_threads_may_release_what_was_given_away() -> None:
    torch = torch_or_skip()
    array = Watched((4,))
    gone = weakref.ref(array)
    tensors = [torch.from_dlpack(dlpack.Exported(array))]
    del array
    thread = threading.Thread(target=tensors.clear)
    thread.start()
    thread.join()
    gc.collect()
    assert gone() is None


def test_an_array_on_another_device_is_refused() -> None:
    class OnDevice(Foreign):
        def __dlpack_device__(self) -> tuple[int, int]:
            return (10, 0)  # kDLROCM, which no pack here serves

        def __dlpack__(self, **keywords):
            return changed(super().__dlpack__(**keywords), device_type=10)

    with pytest.raises(dispatch.InvalidArgument, match=r"relu: x: expected .* on DLPack device 10"):
        dispatch.relu(OnDevice(np.ones(3, np.float32)))


def test_an_exporter_that_refuses_is_quoted() -> None:
    class Refuses(Foreign):
        def __dlpack__(self, **_):
            raise BufferError("requires grad")

    with pytest.raises(dispatch.InvalidArgument, match="requires grad"):
        dispatch.relu(Refuses(np.ones(3, np.float32)))


torch_missing = "PyTorch is not installed (pip install kernel-dispatch[torch])"


def torch_or_skip():
    return pytest.importorskip("torch", reason=torch_missing)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
def test_pytorch_tensors_in_and_out(dtype) -> None:
    torch = torch_or_skip()
    x = torch.arange(-6, 6).to(getattr(torch, dtype)).reshape(3, 4)
    y = dispatch.relu(x.T)
    assert isinstance(y, torch.Tensor)
    assert torch.equal(y, torch.relu(x.T))
    out = torch.empty_like(x)
    assert dispatch.relu(x, out=out) is out
    assert torch.equal(out, torch.relu(x))


def test_pytorch_memory_is_not_copied() -> None:
    torch = torch_or_skip()
    x = torch.zeros(4)
    view = to_numpy(x, "x")
    view[2] = 7
    assert x[2] == 7
    assert from_numpy(view, x).data_ptr() == x.data_ptr()


def test_pytorch_mixes_with_numpy_and_numbers() -> None:
    torch = torch_or_skip()
    y = dispatch.add(torch.ones(3), np.ones(3, np.float32))
    assert isinstance(y, torch.Tensor)
    assert dispatch.add(torch.ones(3), 2.0).tolist() == [3, 3, 3]


def test_a_pytorch_tensor_that_requires_grad_is_refused() -> None:
    torch = torch_or_skip()
    with pytest.raises(dispatch.InvalidArgument, match="grad"):
        dispatch.relu(torch.ones(3, requires_grad=True))
