"""Arrays of other libraries, through DLPack."""

import gc

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


DTYPES = [*"bBhHiIlLefd", "?", ml_dtypes.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 4), (2, 3, 4, 5)])
def test_capsules_round_trip_over_the_same_memory(dtype, shape) -> None:
    array = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
    back = dlpack.import_capsule(Foreign(array))
    assert back.dtype == array.dtype
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)
    if array.size:
        assert np.shares_memory(back, array)


def test_strides_pass_through() -> None:
    array = np.arange(24.0).reshape(4, 6)[::-2, ::3]
    np.testing.assert_array_equal(dlpack.import_capsule(Foreign(array)), array)


def test_memory_is_released_when_the_last_array_is_gone() -> None:
    array = np.ones(5, np.float32)
    view = dlpack.import_capsule(Foreign(array))[1:]
    held = len(dlpack._alive)
    gc.collect()
    assert len(dlpack._alive) == held
    del view
    gc.collect()
    assert len(dlpack._alive) == held - 1


def test_a_capsule_that_nobody_takes_is_released() -> None:
    before = len(dlpack._alive)
    capsule = dlpack.Exported(np.ones(3)).__dlpack__()
    assert len(dlpack._alive) == before + 1
    del capsule
    gc.collect()
    assert len(dlpack._alive) == before


def test_an_array_on_another_device_is_refused() -> None:
    class OnDevice(Foreign):
        def __dlpack_device__(self) -> tuple[int, int]:
            return (10, 0)  # kDLROCM, which no pack here serves

    with pytest.raises(dispatch.InvalidArgument, match="relu: x: expected an array in the CPU's"):
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
