"""Runs QNNPACK's kernels on one set of addresses after another, which must allocate nothing.

A program of its own, which `test_qnnpack` starts with a library that counts allocations.
"""

import ctypes

import numpy as np
from qnnpack_problems import PROBLEMS, output, prepared

from dispatch.core import ffi, lib
from kernels.qnnpack import pack

RUNS = 4


def main() -> None:
    allocations = ctypes.CDLL(None).allocations
    opened = pack.open()
    for label, problem in PROBLEMS.items():
        made, arrays = prepared(opened, problem)
        buffers = [
            [*(None if a is None else a.copy() for a in arrays), output(problem)]
            for _ in range(RUNS)
        ]
        pointers = [
            ffi.new(
                "void *[]",
                [ffi.NULL if a is None else ffi.cast("void *", a.ctypes.data) for a in mine],
            )
            for mine in buffers
        ]
        statuses = [lib.core_call_run(made.call, pointers[0], ffi.NULL)]
        before = allocations()
        for mine in pointers[1:]:
            statuses.append(lib.core_call_run(made.call, mine, ffi.NULL))  # noqa: PERF401
        made_since = allocations() - before
        assert made_since == 0, (label, made_since)
        assert statuses == [0] * RUNS, (label, statuses)
        for mine in buffers[1:]:
            assert np.array_equal(mine[-1], buffers[0][-1]), label
    print("done")


if __name__ == "__main__":
    main()
