"""Work that threads take from each other: the same bits, whoever does it and however many."""

from collections.abc import Callable

import numpy as np
import pytest

import dispatch
from dispatch.operator import Array

THREADS = (2, 3, 5, 8)

RNG = np.random.default_rng(7)


def drawn(*shape: int) -> Array:
    return RNG.standard_normal(shape, np.float32)


def integers(dtype: type, *shape: int) -> Array:
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max + 1, shape).astype(dtype)


X = drawn(1, 64, 57, 55)
"""Extents that no number of parts divides."""
X_WITH_INFINITY = X.copy()
X_WITH_INFINITY[0, ::9, 31, 20] = np.inf
"""What is added up again in doubles must not depend on what is worked on together."""
Q = dispatch.quantized(integers(np.uint8, 1, 64, 57, 55), 0.05, 128)

FILTERS = {
    "dense": (64, 64, 3, 3),
    "pointwise": (96, 64, 1, 1),
    "depthwise": (64, 1, 3, 3),
}
W = {name: dispatch.constant(drawn(*shape)) for name, shape in FILTERS.items()}
QW = {
    name: dispatch.constant(dispatch.quantized(integers(np.int8, *shape), 0.04))
    for name, shape in FILTERS.items()
}
SCALE = drawn(55)
A, B = drawn(3, 211, 130), dispatch.constant(drawn(130, 353))
TRANSPOSED = dispatch.constant(drawn(64, 24, 3, 3))


def qconv2d(name: str, groups: int = 1) -> Array:
    y = dispatch.qconv2d(Q, QW[name], scale=3.0, zero_point=120, pads="same", groups=groups)
    return np.asarray(y.values)


CASES: tuple[tuple[str, str, Callable[[], Array]], ...] = (
    ("conv2d", "implicit_gemm.f32", lambda: dispatch.conv2d(X, W["dense"], pads=1)),
    ("conv2d", "implicit_gemm.f32", lambda: dispatch.conv2d(X, W["pointwise"])),
    ("conv2d", "winograd.f32", lambda: dispatch.conv2d(X, W["dense"], pads=1)),
    ("conv2d", "depthwise_rows.f32", lambda: dispatch.conv2d(X, W["depthwise"], pads=1, groups=64)),
    (
        "conv2d",
        "depthwise_direct.f32",
        lambda: dispatch.conv2d(X, W["depthwise"], pads=1, groups=64),
    ),
    ("conv_transpose2d", "gemm.f32", lambda: dispatch.conv_transpose2d(X, TRANSPOSED, strides=2)),
    ("matmul", "gemm.f32", lambda: dispatch.matmul(A, B)),
    ("qconv2d", "gemm.u8", lambda: qconv2d("dense")),
    ("qconv2d", "gemm.u8", lambda: qconv2d("pointwise")),
    ("qconv2d", "depthwise.u8", lambda: qconv2d("depthwise", groups=64)),
    ("gelu", "simd.f32", lambda: dispatch.gelu(X)),
    ("softmax", "simd.f32", lambda: dispatch.softmax(X)),
    (
        "avg_pool2d",
        "direct.f32",
        lambda: dispatch.avg_pool2d(X_WITH_INFINITY, kernel_shape=3, pads=1),
    ),
    ("mean", "simd.f32", lambda: dispatch.mean(X_WITH_INFINITY, axes=(2, 3))),
    ("mean", "simd.f32", lambda: dispatch.mean(X_WITH_INFINITY, axes=1)),
    ("layer_norm", "simd.f32", lambda: dispatch.layer_norm(X, SCALE)),
    ("max_pool2d", "direct.f32", lambda: dispatch.max_pool2d(X, kernel_shape=3)),
)


@pytest.mark.parametrize(("operator", "kernel", "call"), CASES)
def test_results_have_the_same_bits_on_any_number_of_threads(
    operator: str, kernel: str, call: Callable[[], Array]
) -> None:
    pinned = f"portable.{operator}.{kernel}"
    with dispatch.using(kernel=pinned, threads=1):
        expected = call()
    for threads in THREADS:
        with dispatch.using(kernel=pinned, threads=threads):
            for _ in range(3):
                np.testing.assert_array_equal(call(), expected)
