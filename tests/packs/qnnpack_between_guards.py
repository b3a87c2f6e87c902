"""Runs QNNPACK's kernels with each buffer beside a page that can't be touched; a crash is a fault.

A program of its own, which `test_qnnpack` starts.
"""

from collections.abc import Iterator

import numpy as np
from guard_pages import guarded
from qnnpack_problems import (
    addition,
    averaging,
    averaging_all,
    bounded,
    convolution,
    output,
    pooling,
    prepared,
    product,
    result,
    sharing,
    shuffling,
    transposed,
)

from kernels.qnnpack import pack

WINDOWS = (((1, 1), (0, 0, 0, 0)), ((3, 3), (1, 1, 1, 1)), ((2, 3), (0, 1, 1, 2)))


def problems() -> Iterator:
    """Yield problems for every remainder of the library's vectors."""
    for count in (*range(1, 18), 24, 33):
        for kernel, pads in WINDOWS:
            for layout in ("nhwc", "nchw"):
                more = {"size": 5, "kernel": kernel, "pads": pads, "layout": layout}
                yield convolution(count, 9, **more)
                yield convolution(9, count, **more)
                yield convolution(3 * count, 6, groups=3, **more)
                yield convolution(count, count, groups=count, **more)
                yield transposed(count, 9, **more)
                yield transposed(9, count, **more)
                yield transposed(3 * count, 6, groups=3, **more)
        yield convolution(count, count, 6, (5, 5), groups=count, pads=(2, 2, 2, 2))
        for rows in (1, 2, 7, 8, 9):
            yield product(rows, count, 5)
            yield product(rows, 8, count)
        for kernel in ((1, 2), (3, 3), (4, 5)):
            yield pooling(count, 7, kernel, (0, 0, 0, 0))
            yield pooling(count, 7, kernel, (0, 1, 0, 0))
        for layout in ("nhwc", "nchw"):
            for kernel in ((1, 2), (3, 3), (4, 5)):
                yield averaging(count, 7, kernel, (0, 0, 0, 0), layout)
                yield averaging(count, 7, kernel, (0, 1, 0, 0), layout)
            for size in (1, 2, 3, 5):
                yield averaging_all(count, size, layout)
            yield addition((1, count, 1, 1), layout)
        yield bounded((1, count, 1, 1))
        yield sharing((3, count), layout="nchw")
        for groups in (2, 3, 4, 5, 8, 9):
            yield shuffling(count * groups, groups, 3)
        yield addition((1, count, 50, 60), threads=2)
        yield bounded((1, count, 150, 160), threads=2)
        yield shuffling(4 * count, 4, 60, threads=2)
        yield averaging(count, 60, threads=2)
        yield averaging_all(count, 60, threads=2)
        yield pooling(count, 60, (3, 3), threads=2)
        yield convolution(count, count, 40, threads=2)
        yield convolution(count, count, 60, groups=count, threads=2)
        yield transposed(count, count, 20, threads=2)
        yield product(900, 30, count, threads=2)


def main() -> None:
    opened = pack.open()
    for problem in problems():
        print(problem, flush=True)
        made, arrays = prepared(opened, problem)
        expected = result(made, arrays, problem)
        for at_end in (False, True):
            y = guarded(output(problem), at_end)
            made.run([*(None if a is None else guarded(a, at_end) for a in arrays), y])
            assert np.array_equal(y, expected), problem
    print("done")


if __name__ == "__main__":
    main()
