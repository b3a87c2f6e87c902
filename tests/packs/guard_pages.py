"""Buffers beside a page that can't be touched."""

import ctypes
import mmap

import numpy as np

PAGE = mmap.PAGESIZE
NO_ACCESS = 0

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded(array, at_end):
    """Return a copy that begins behind, or ends before, a page that can't be touched."""
    whole = -(-array.nbytes // PAGE) * PAGE
    access = mmap.PROT_READ | mmap.PROT_WRITE
    start = libc.mmap(
        None, whole + 2 * PAGE, access, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0
    )  # fmt: skip
    assert start not in (None, ctypes.c_void_p(-1).value)
    for edge in (start, start + PAGE + whole):
        assert libc.mprotect(edge, PAGE, NO_ACCESS) == 0
    first = start + PAGE + (whole - array.nbytes if at_end else 0)
    raw = (ctypes.c_uint8 * array.nbytes).from_address(first)
    copy = np.frombuffer(raw, np.uint8).view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy
