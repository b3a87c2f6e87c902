"""What the driver itself holds callers to."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any

from tests.packs.cuda_for_tests import loaded
from tests.packs.libcuda_checks.common import (
    POISON,
    check,
)

CAPTURE_UNSUPPORTED, CAPTURE_INVALIDATED, CAPTURE_UNJOINED, CAPTURE_IMPLICIT = 900, 901, 904, 906


class Raw:
    """The driver's functions with plain numbers, each a status; handles are 64 bits."""

    def __init__(self) -> None:
        self._c = loaded()
        assert self.cuInit(0) == 0
        assert self.cuCtxSetCurrent(self.made("cuDevicePrimaryCtxRetain", 0)) == 0

    def __getattr__(self, name: str) -> Callable[..., int]:
        function = getattr(self._c, name)

        def call(*arguments: Any) -> int:
            wide = (ctypes.c_uint64(a) if isinstance(a, int) else a for a in arguments)
            return int(function(*wide))

        return call

    def made(self, name: str, *arguments: Any) -> int:
        """Return what a function makes, by its first parameter."""
        handle = ctypes.c_uint64()
        assert getattr(self, name)(ctypes.byref(handle), *arguments) == 0
        return handle.value

    def capturing(self, mode: int = 1, flags: int = 1) -> int:
        stream = self.made("cuStreamCreate", flags)
        assert self.cuStreamBeginCapture_v2(stream, mode) == 0
        return stream

    def ended(self, stream: int) -> int:
        """End a capture; return its status."""
        return self.cuStreamEndCapture(stream, ctypes.byref(ctypes.c_uint64()))


@check
def memory_is_poisoned_and_guarded() -> None:
    raw = Raw()
    start = raw.made("cuMemAlloc_v2", 1000)
    assert start % 512 == 0
    host = (ctypes.c_ubyte * 1000)()
    address = ctypes.addressof(host)
    assert raw.cuMemcpyDtoH_v2(address, start, 1000) == 0 and set(host) == {POISON}
    for function, *arguments in (
        ("cuMemcpyDtoH_v2", address, start, 1001),
        ("cuMemcpyHtoD_v2", start + 1, address, 1000),
        ("cuMemcpyHtoD_v2", start - 1, address, 1),
        ("cuMemsetD8_v2", start + 999, 0, 2),
        ("cuMemFree_v2", start + 8),
        ("cuMemFree_v2", address),
    ):
        assert getattr(raw, function)(*arguments) == 1, function
    assert raw.cuMemsetD32_v2(start, 0x01020304, 250) == 0
    assert raw.cuMemcpyDtoH_v2(address, start, 1000) == 0 and [*host[:5]] == [4, 3, 2, 1, 4]
    assert raw.cuMemFree_v2(start) == 0
    assert raw.cuMemFree_v2(start) == 1 and raw.cuMemcpyDtoH_v2(address, start, 1) == 1
    start = raw.made("cuMemAlloc_v2", 1000)
    ctypes.memset(start + 1000, 0, 1)
    assert raw.cuMemFree_v2(start) == 700, "what lies behind an allocation was written to"


@check
def captures_keep_the_rules() -> None:
    raw = Raw()
    start, event = raw.made("cuMemAlloc_v2", 64), raw.made("cuEventCreate", 2)
    other = raw.made("cuStreamCreate", 1)
    host = ctypes.addressof((ctypes.c_ubyte * 64)())
    assert raw.cuStreamBeginCapture_v2(0, 1) == CAPTURE_UNSUPPORTED
    for name, *arguments in (
        ("cuMemAlloc_v2", ctypes.byref(ctypes.c_uint64()), 64),
        ("cuMemFree_v2", start),
        ("cuCtxSynchronize",),
        ("cuStreamSynchronize", other),
        ("cuMemcpyHtoD_v2", start, host, 8),
    ):
        for mode, status in ((0, CAPTURE_UNSUPPORTED), (1, CAPTURE_UNSUPPORTED)):
            stream = raw.capturing(mode)
            assert getattr(raw, name)(*arguments) == status, name
            assert raw.cuMemsetD8Async(start, 0, 8, stream) == CAPTURE_INVALIDATED
            assert raw.ended(stream) == CAPTURE_INVALIDATED
    stream = raw.capturing()
    assert raw.cuStreamSynchronize(stream) == CAPTURE_UNSUPPORTED
    assert raw.ended(stream) == CAPTURE_INVALIDATED
    stream = raw.capturing(mode=2)  # relaxed
    assert raw.cuMemFree_v2(raw.made("cuMemAlloc_v2", 64)) == 0 and raw.ended(stream) == 0
    stream = raw.capturing(flags=0)  # one that the default stream waits for
    assert raw.cuMemsetD8Async(start, 0, 8, 0) == CAPTURE_IMPLICIT
    assert raw.ended(stream) == CAPTURE_INVALIDATED
    stream = raw.capturing()
    assert raw.cuMemsetD8Async(start, 0, 8, 0) == 0 and raw.ended(stream) == 0
    for joins, status in ((True, 0), (False, CAPTURE_UNJOINED)):
        stream = raw.capturing()
        assert raw.cuMemsetD8Async(start, 1, 8, stream) == 0
        assert raw.cuEventRecord(event, stream) == 0
        assert raw.cuStreamWaitEvent(other, event, 0) == 0
        assert raw.cuMemsetD8Async(start, 2, 8, other) == 0
        if joins:
            assert raw.cuEventRecord(event, other) == 0
            assert raw.cuStreamWaitEvent(stream, event, 0) == 0
        assert raw.ended(other) != 0 or joins
        assert raw.ended(stream) in (status, CAPTURE_INVALIDATED)


@check
def another_threads_capture_stops_no_one() -> None:
    raw = Raw()
    stream, statuses = raw.capturing(), []

    def works() -> None:
        mine = Raw()
        statuses.append(mine.cuMemFree_v2(mine.made("cuMemAlloc_v2", 64)))
        statuses.append(mine.ended(stream))

    thread = threading.Thread(target=works)
    thread.start()
    thread.join()
    assert statuses == [0, 908]
    assert raw.ended(stream) == CAPTURE_INVALIDATED


@check
def what_is_recorded_runs_when_it_is_launched() -> None:
    raw = Raw()
    start, stream = raw.made("cuMemAlloc_v2", 4), raw.capturing()
    host = ctypes.c_uint32(5)
    address = ctypes.addressof(host)
    assert raw.cuMemsetD32Async(start, 9, 1, stream) == 0
    assert raw.cuMemcpyDtoHAsync_v2(address, start, 4, stream) == 0
    graph = ctypes.c_uint64()
    assert raw.cuStreamEndCapture(stream, ctypes.byref(graph)) == 0 and host.value == 5
    executable = raw.made("cuGraphInstantiateWithFlags", graph.value, 0)
    assert raw.cuGraphDestroy(graph.value) == 0
    for number in (1, 2):
        host.value = number
        assert raw.cuGraphLaunch(executable, stream) == 0 and host.value == 9
    assert raw.cuMemFree_v2(start) == 0
    assert raw.cuGraphLaunch(executable, stream) == 700, "what it sets is gone"
    assert raw.cuCtxSynchronize() == 700, "and the device is lost"
