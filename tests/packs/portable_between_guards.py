"""Runs depthwise kernels with each buffer beside a page that can't be touched; a crash is a fault.

A program of its own, which `test_portable` starts.
"""

import numpy as np
from guard_pages import guarded

import dispatch

WIDTHS = (*range(1, 45), 63, 64, 65, 66)
CHANNELS = 19  # more than a vector's lanes, and no multiple of them


def main() -> None:
    rng = np.random.default_rng(0)
    for width in WIDTHS:
        x = rng.standard_normal((1, CHANNELS, 7, width)).astype(np.float32)
        for size in (3, 5, 7):
            w = rng.standard_normal((CHANNELS, 1, size, size)).astype(np.float32)
            for strides in (1, 2):
                attributes = {"strides": strides, "pads": size // 2, "groups": CHANNELS}
                expected = dispatch.conv2d(x, w, **attributes)
                for at_end in (False, True):
                    print(width, size, strides, at_end, flush=True)
                    y = guarded(np.full_like(expected, np.nan), at_end)
                    with dispatch.using(packs="portable"):
                        dispatch.conv2d(guarded(x, at_end), guarded(w, at_end), out=y, **attributes)
                    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4)
    print("done")


if __name__ == "__main__":
    main()
