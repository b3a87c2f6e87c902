"""QNNPACK called without the contract, for ``bench run --direct``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from cffi import FFI

from dispatch.errors import InvalidArgument, PackUnavailable
from dispatch.operator import Array
from dispatch.problem import Problem
from dispatch.tensor import TensorSpec
from kernels.qnnpack import options

__all__ = ["DirectProduct", "prepare"]

SLACK = 16
"""Bytes before an image, and values behind a list of scales, that the library may read."""

ffi = FFI()
ffi.cdef(
    """
    int pytorch_qnnp_initialize(void);
    int pytorch_qnnp_create_convolution2d_nhwc_q8(
        uint32_t pad_height, uint32_t pad_width, uint32_t kernel_height, uint32_t kernel_width,
        uint32_t stride_height, uint32_t stride_width, uint32_t dilation_height,
        uint32_t dilation_width, uint32_t groups, size_t group_inputs, size_t group_outputs,
        uint8_t x_zero, const uint8_t *w_zeros, const uint8_t *w, const int32_t *bias,
        uint8_t y_zero, uint8_t y_low, uint8_t y_high, uint32_t flags, const float *multipliers,
        _Bool per_channel, void **made);
    int pytorch_qnnp_setup_convolution2d_nhwc_q8(
        void *made, size_t batch, size_t height, size_t width, const uint8_t *x,
        size_t x_pixel_stride, uint8_t *y, size_t y_pixel_stride, void *threads);
    int pytorch_qnnp_run_operator(void *made, void *threads);
    int pytorch_qnnp_delete_operator(void *made);
    """
)


class DirectProduct:
    """An operator of the library, set up on its buffers.

    Attributes
    ----------
    implementation : str
        The library's function.
    function, handle : int
        Addresses of ``pytorch_qnnp_run_operator`` and of its first argument; its second, the
        threads, is NULL.
    """

    implementation = "pytorch_qnnp_convolution2d_nhwc_q8"

    def __init__(self, lib: Any, made: Any, kept: Sequence[Any]) -> None:
        self._made, self._kept = ffi.gc(made, lib.pytorch_qnnp_delete_operator), kept
        run = ffi.addressof(lib, "pytorch_qnnp_run_operator")
        self.function = int(ffi.cast("uintptr_t", run))
        self.handle = int(ffi.cast("uintptr_t", made))


def prepare(problem: Problem, buffers: Sequence[Array | None]) -> DirectProduct:
    """Set the library up for a problem.

    Parameters
    ----------
    problem
        A quantised convolution of images that lie channels last, padded alike on both sides, or a
        quantised product; all of uint8 but the weights.
    buffers
        Its inputs, then its output, in the problem's layouts; used by every run.

    Raises
    ------
    InvalidArgument
        If it is a problem that isn't served this way.
    PackUnavailable
        If the library isn't here.
    """
    x, w, y = problem.inputs[0], problem.inputs[1], problem.outputs[0]
    if problem.operator not in ("qconv2d", "qmatmul") or x is None or w is None:
        raise InvalidArgument("direct calls of QNNPACK: only qconv2d and qmatmul are served")
    if {x.dtype, y.dtype} != {"uint8"} or problem.epilogue or problem.threads != 1:
        raise InvalidArgument("direct calls of QNNPACK: one thread, uint8 and no epilogue")
    try:
        lib = ffi.dlopen(options()["library"])
    except OSError as error:
        raise PackUnavailable(f"direct calls of QNNPACK: {error}") from error
    check(lib.pytorch_qnnp_initialize(), "initialize")
    image, weights, attributes = _as_convolution(problem, x, w, buffers)
    outputs, taps_h, taps_w, inputs = weights.shape
    groups = attributes["groups"]
    scales, zeros = _channels(x, w, y, outputs)
    bias = buffers[2] if buffers[2] is not None else np.zeros(outputs, np.int32)
    assert x.quantization is not None and y.quantization is not None
    slot = ffi.new("void **")
    check(
        lib.pytorch_qnnp_create_convolution2d_nhwc_q8(
            *attributes["pads"][:2], taps_h, taps_w, *attributes["strides"],
            *attributes["dilations"], groups, inputs, outputs // groups,
            x.quantization.zero_points[0], _pointer("uint8_t *", zeros),
            _pointer("uint8_t *", weights), _pointer("int32_t *", bias),
            y.quantization.zero_points[0], 0, 255, 0, _pointer("float *", scales), True, slot,
        ),
        "create_convolution2d_nhwc_q8",
    )  # fmt: skip
    batch, height, width, channels = image.shape
    result = buffers[len(problem.inputs)]
    check(
        lib.pytorch_qnnp_setup_convolution2d_nhwc_q8(
            slot[0], batch, height, width, _pointer("uint8_t *", image), channels,
            _pointer("uint8_t *", result), outputs, ffi.NULL,
        ),
        "setup_convolution2d_nhwc_q8",
    )  # fmt: skip
    return DirectProduct(lib, slot[0], (image, scales, zeros, *buffers))


def check(status: int, call: str) -> None:
    """Raise unless a call of the library succeeded."""
    if status:
        raise InvalidArgument(f"direct calls of QNNPACK: {call}: status {status}")


def _as_convolution(
    problem: Problem, x: TensorSpec, w: TensorSpec, buffers: Sequence[Array | None]
) -> tuple[Array, Array, dict[str, Any]]:
    """Return the image behind slack, the weights as the library orders them, the attributes."""
    values, weights = buffers[0], buffers[1]
    assert values is not None and weights is not None
    flipped = weights.reshape(w.shape).view(np.uint8) ^ (0x80 if w.dtype == "int8" else 0)
    if problem.operator == "qmatmul":
        if flipped[..., 0, 0].size != 1:
            raise InvalidArgument("direct calls of QNNPACK: b: expected one matrix")
        shape: tuple[int, ...] = (1, int(np.prod(x.shape[:-1])), 1, x.shape[-1])
        one = {"pads": (0, 0), "strides": (1, 1), "dilations": (1, 1), "groups": 1}
        flipped = flipped.reshape(w.shape[-2:]).T[:, None, None, :]
        return _behind_slack(values, shape), np.ascontiguousarray(flipped), one
    attributes: dict[str, Any] = dict(problem.attributes)
    pads = attributes["pads"]
    if x.layout != "nhwc" or pads[:2] != pads[2:]:
        raise InvalidArgument("direct calls of QNNPACK: nhwc, and padding alike on both sides")
    n, c, h, wide = x.shape
    image = _behind_slack(values, (n, h, wide, c))
    return image, np.ascontiguousarray(flipped.transpose(0, 2, 3, 1)), attributes


def _behind_slack(values: Array, shape: tuple[int, ...]) -> Array:
    """Return the image: the caller's memory, or a copy where the library reads before it."""
    if shape[-1] >= SLACK:
        return values.reshape(shape)
    copy = np.zeros(SLACK + values.size, np.uint8)[SLACK:]
    copy[:] = values.reshape(-1)
    return copy.reshape(shape)


def _channels(x: TensorSpec, w: TensorSpec, y: TensorSpec, outputs: int) -> tuple[Array, Array]:
    """Return multiplier and zero point of each output channel."""
    assert x.quantization is not None and w.quantization is not None and y.quantization is not None
    scales, zeros = np.ones(outputs + SLACK, np.float32), np.zeros(outputs + SLACK, np.uint8)
    product = np.float32(x.quantization.scales[0]) * np.array(w.quantization.scales, np.float32)
    scales[:outputs] = product / np.float32(y.quantization.scales[0])
    zeros[:outputs] = np.asarray(w.quantization.zero_points) + (128 if w.dtype == "int8" else 0)
    return scales, zeros


def _pointer(kind: str, array: Array | None) -> Any:
    assert array is not None
    return ffi.cast(kind, array.__array_interface__["data"][0])
