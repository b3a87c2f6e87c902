"""Runs kernels that add up or compare rows, each buffer beside a page that can't be touched.

A program of its own, which `test_portable` starts; a crash is a fault.
"""

import numpy as np
from guard_pages import guarded

import dispatch

WIDTHS = (*range(1, 36), 49, 63, 64, 65, 127, 129, 196, 197, 1023, 1025)

CALLS = {
    "softmax": (dispatch.softmax, {"axis": 1}),
    "softmax of columns": (dispatch.softmax, {"axis": 0}),
    "log_softmax": (dispatch.log_softmax, {"axis": 1}),
    "sum": (dispatch.sum, {"axes": 1}),
    "sum of columns": (dispatch.sum, {"axes": 0}),
    "max": (dispatch.max, {"axes": 1}),
    "min of columns": (dispatch.min, {"axes": 0}),
    "argmax": (dispatch.argmax, {"axis": 1}),
    "argmax of columns": (dispatch.argmax, {"axis": 0, "select_last_index": True}),
}
WINDOWS = (
    (1, 1, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1), ((1, 3), 2, 0), (4, 3, 1), (5, 1, 2), (6, 2, 0),
)  # fmt: skip


def check(label, function, arrays, attributes):
    """Compare a call between guards, at both ends, with one that isn't."""
    expected = function(*arrays, **attributes)
    for at_end in (False, True):
        print(label, *(a.shape for a in arrays), at_end, flush=True)
        y = guarded(np.zeros_like(expected), at_end)
        function(*(guarded(a, at_end) for a in arrays), out=y, **attributes)
        np.testing.assert_array_equal(y, expected)


def check_widths(rng):
    for width in WIDTHS:
        x = rng.standard_normal((5, width)).astype(np.float32)
        for label, (function, attributes) in CALLS.items():
            check(label, function, (x,), attributes)
        scale, bias = rng.standard_normal((2, width)).astype(np.float32)
        check("layer_norm", dispatch.layer_norm, (x, scale, bias), {})


def check_images(rng):
    for width in range(6, 36):
        x = rng.standard_normal((1, 3, 7, width)).astype(np.float32)
        check("global_avg_pool2d", dispatch.global_avg_pool2d, (x,), {})
        check("global_max_pool2d", dispatch.global_max_pool2d, (x,), {})
        for window, strides, pads in WINDOWS:
            attributes = {"kernel_shape": window, "strides": strides, "pads": pads}
            for function in (dispatch.max_pool2d, dispatch.avg_pool2d):
                check("window", function, (x,), attributes)


def main() -> None:
    rng = np.random.default_rng(0)
    with dispatch.using(packs="portable"):
        check_widths(rng)
        check_images(rng)
    print("done")


if __name__ == "__main__":
    main()
