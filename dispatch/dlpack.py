"""DLPack capsules to NumPy arrays and back, for all of the project's element types.

NumPy's own `from_dlpack` knows neither bfloat16 nor writable imports, hence this
module. Source: the DLPack specification, https://dmlc.github.io/dlpack/latest/.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from dispatch.dtypes import dtype_name, numpy_dtype
from dispatch.operator import Array

__all__ = ["CPU_DEVICES", "Exported", "import_capsule"]

CPU_DEVICES = (1, 3)
"""kDLCPU, and kDLCUDAHost, whose memory the CPU reads too."""


class _DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class _DLManagedTensor(ctypes.Structure):
    pass


_Deleter = ctypes.CFUNCTYPE(None, ctypes.POINTER(_DLManagedTensor))
_DLManagedTensor._fields_ = [
    ("tensor", _DLTensor),
    ("context", ctypes.c_void_p),
    ("deleter", _Deleter),
]

_NAME, _USED = b"dltensor", b"used_dltensor"
_CODES = {"i": 0, "u": 1, "f": 2, "b": 6}
_BFLOAT = 4
_DTYPES = {
    (code, bits): f"{stem}{bits}"
    for code, stem, sizes in (
        (0, "int", (8, 16, 32, 64)),
        (1, "uint", (8, 16, 32, 64)),
        (2, "float", (16, 32, 64)),
        (_BFLOAT, "bfloat", (16,)),
    )
    for bits in sizes
} | {(6, 8): "bool"}

_get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_get_pointer.restype, _get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_set_name = ctypes.pythonapi.PyCapsule_SetName
_set_name.restype, _set_name.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
_get_raw = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


class _Owner:
    """Gives an imported tensor back when the last array over it is gone."""

    def __init__(self, managed: Any, view: dict[str, Any]) -> None:
        self._managed = managed
        self.__array_interface__ = view

    def __del__(self) -> None:
        deleter = self._managed.contents.deleter
        if deleter:
            deleter(self._managed)


def import_capsule(value: Any) -> Array:
    """Return a NumPy array over the memory of an object with ``__dlpack__`` on the CPU.

    Raises
    ------
    BufferError
        If the exporter refuses, or the element type isn't one of the project's.
    """
    capsule = value.__dlpack__()
    managed = ctypes.cast(_get_pointer(capsule, _NAME), ctypes.POINTER(_DLManagedTensor))
    tensor = managed.contents.tensor
    name = _DTYPES.get((tensor.code, tensor.bits))
    if name is None or tensor.lanes != 1:
        raise BufferError(
            f"DLPack dtype code {tensor.code}, {tensor.bits} bits, {tensor.lanes} lanes: not served"
        )
    _set_name(capsule, _USED)
    dtype = numpy_dtype(name)
    shape = tuple(tensor.shape[i] for i in range(tensor.ndim))
    strides = None
    if tensor.strides:
        strides = tuple(tensor.strides[i] * dtype.itemsize for i in range(tensor.ndim))
    view = {
        "version": 3,
        "shape": shape,
        "strides": strides,
        # The interface has no word for bfloat16: pass the bits, then view them.
        "typestr": "<u2" if name == "bfloat16" else dtype.str,
        "data": ((tensor.data or 0) + tensor.byte_offset, False),
    }
    owner = _Owner(managed, view)
    if 0 in shape:
        return np.empty(shape, dtype)
    array = np.asarray(owner)
    return array.view(dtype) if name == "bfloat16" else array


_alive: dict[int, tuple[Any, ...]] = {}
"""What exported tensors point to, by their address, until their consumers are done."""


def _release(managed: Any) -> None:
    """Free an exported tensor: its consumer is done."""
    _alive.pop(ctypes.addressof(managed.contents), None)


def _drop_unused(capsule: int) -> None:
    """Free a capsule's tensor if nobody consumed it."""
    if _is_valid(capsule, _NAME):
        _alive.pop(_get_raw(capsule, _NAME) or 0, None)


_release_in_c = _Deleter(_release)
_drop_unused_in_c = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(_drop_unused)


class Exported:
    """A NumPy array that other libraries' ``from_dlpack`` take, bfloat16 too."""

    def __init__(self, array: Array) -> None:
        self._array = array

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return the CPU."""
        return (1, 0)

    def __dlpack__(self, **_: Any) -> Any:
        """Return a capsule over the array's memory, which lives as long as its consumer wants."""
        array = self._array
        name = dtype_name(array.dtype)
        extents = (ctypes.c_int64 * max(1, array.ndim))(*array.shape)
        steps = (ctypes.c_int64 * max(1, array.ndim))(
            *(stride // array.itemsize for stride in array.strides)
        )
        managed = _DLManagedTensor()
        tensor = managed.tensor
        tensor.data = array.__array_interface__["data"][0]
        tensor.device_type = 1
        tensor.ndim = array.ndim
        tensor.code = _BFLOAT if name == "bfloat16" else _CODES[array.dtype.kind]
        tensor.bits, tensor.lanes = array.itemsize * 8, 1
        tensor.shape, tensor.strides = extents, steps
        managed.deleter = _release_in_c
        address = ctypes.addressof(managed)
        _alive[address] = (managed, extents, steps, array)
        return _new(address, _NAME, ctypes.cast(_drop_unused_in_c, ctypes.c_void_p).value)
