"""Problems of 8-bit integers that QNNPACK serves, and running them."""

from dataclasses import replace

import numpy as np

from dispatch.answer import Yes
from dispatch.problem import Problem
from dispatch.tensor import Quantization, TensorSpec


def images(shape, dtype="uint8", layout="nhwc"):
    return TensorSpec(dtype, shape, layout, quantization=Quantization((0.04,), (120,)))


def convolution(
    channels=16, filters=24, size=9, kernel=(3, 3), groups=1, pads=(1, 1, 1, 1), strides=(1, 1),
    layout="nhwc", result=2.0, threads=1, constant=True, dtype="uint8", batch=1,
):  # fmt: skip
    x = images((batch, channels, size, size), dtype, layout)
    w = TensorSpec(
        "int8",
        (filters, channels // groups, *kernel),
        constant=constant,
        quantization=Quantization(
            tuple(0.01 * (1 + i % 5) for i in range(filters)), (0,) * filters, 0
        ),
    )
    extents = [
        (size + pads[i] + pads[i + 2] - kernel[i]) // strides[i] + 1 for i in range(2)
    ]  # fmt: skip
    y = TensorSpec(
        dtype, (batch, filters, *extents), layout, quantization=Quantization((result,), (110,))
    )
    bias = TensorSpec("int32", (filters,), constant=True)
    attributes = (("dilations", (1, 1)), ("groups", groups), ("pads", pads), ("strides", strides))
    return Problem(
        "qconv2d", (x, w, bias), (y,), attributes, num_operator_inputs=3, threads=threads
    )


def transposed(
    channels=16, filters=12, size=5, kernel=(3, 3), groups=1, pads=(1, 1, 0, 1), strides=(2, 2),
    layout="nhwc", threads=1,
):  # fmt: skip
    x = images((2, channels, size, size), layout=layout)
    per_group = filters // groups
    w = TensorSpec(
        "int8",
        (channels, per_group, *kernel),
        constant=True,
        quantization=Quantization(
            tuple(0.01 * (1 + i % 5) for i in range(per_group)), (0,) * per_group, 1
        ),
    )
    extents = [
        (size - 1) * strides[i] + kernel[i] + 1 - pads[i] - pads[i + 2] for i in range(2)
    ]  # fmt: skip
    y = replace(x, shape=(2, filters, *extents), quantization=Quantization((2.0,), (110,)))
    bias = TensorSpec("int32", (filters,), constant=True)
    attributes = (
        ("dilations", (1, 1)), ("groups", groups), ("output_padding", (1, 1)), ("pads", pads),
        ("strides", strides),
    )  # fmt: skip
    return Problem(
        "qconv_transpose2d", (x, w, bias), (y,), attributes, num_operator_inputs=3, threads=threads
    )


def product(rows=7, inner=20, columns=11, threads=1):
    a = TensorSpec("uint8", (rows, inner), quantization=Quantization((0.04,), (120,)))
    b = TensorSpec(
        "uint8", (inner, columns), constant=True, quantization=Quantization((0.02,), (125,))
    )
    y = TensorSpec("uint8", (rows, columns), quantization=Quantization((1.0,), (110,)))
    return Problem("qmatmul", (a, b, None), (y,), num_operator_inputs=3, threads=threads)


def pooling(channels=16, size=9, kernel=(3, 3), pads=(1, 1, 1, 1), dilations=(1, 1), threads=1):
    extents = [
        (size + pads[i] + pads[i + 2] - (kernel[i] - 1) * dilations[i] - 1) // 2 + 1
        for i in range(2)
    ]
    x = TensorSpec("uint8", (2, channels, size, size), "nhwc")
    y = TensorSpec("uint8", (2, channels, *extents), "nhwc")
    attributes = (
        ("ceil_mode", False), ("dilations", dilations), ("kernel_shape", kernel), ("pads", pads),
        ("strides", (2, 2)),
    )  # fmt: skip
    return Problem("max_pool2d", (x,), (y,), attributes, threads=threads)


def addition(shape=(2, 9, 3, 5), layout="nhwc", scale=0.06, threads=1):
    a = images(shape, layout=layout)
    b = replace(a, quantization=Quantization((0.03,), (7,)))
    y = replace(a, quantization=Quantization((scale,), (130,)))
    return Problem("qadd", (a, b), (y,), threads=threads)


def averaging(
    channels=16, size=9, kernel=(3, 3), pads=(1, 1, 1, 1), layout="nhwc", include=True, threads=1
):
    extents = [(size + pads[i] + pads[i + 2] - kernel[i]) // 2 + 1 for i in range(2)]
    x = images((2, channels, size, size), layout=layout)
    y = replace(
        x, shape=(2, channels, *extents), quantization=Quantization((0.03,), (100,))
    )  # fmt: skip
    attributes = (
        ("ceil_mode", False), ("count_include_pad", include), ("kernel_shape", kernel),
        ("pads", pads), ("strides", (2, 2)),
    )  # fmt: skip
    return Problem("qavg_pool2d", (x,), (y,), attributes, threads=threads)


def averaging_all(channels=16, size=7, layout="nhwc", threads=1):
    x = images((2, channels, size, size), layout=layout)
    y = replace(x, shape=(2, channels, 1, 1), quantization=Quantization((0.03,), (100,)))
    return Problem("qglobal_avg_pool2d", (x,), (y,), threads=threads)


def bounded(shape=(2, 9, 3, 5), low=10.0, high=200.0, threads=1):
    x = TensorSpec("uint8", shape, "nhwc")
    attributes = (("maximum", high), ("minimum", low))
    return Problem("clip", (x,), (x,), attributes, threads=threads)


def shuffling(channels=12, groups=3, size=5, layout="nhwc", threads=1):
    x = TensorSpec("uint8", (2, channels, size, size), layout)
    return Problem("channel_shuffle", (x,), (x,), (("groups", groups),), threads=threads)


def sharing(shape=(2, 9, 3, 5), axis=1, layout="nhwc", result=1.0 / 256.0, threads=1):
    x = images(shape, layout=layout)
    y = replace(x, quantization=Quantization((result,), (0,)))
    return Problem("qsoftmax", (x,), (y,), (("axis", axis),), threads=threads)


def stored_shape(spec):
    n, *rest = spec.shape
    return (n, *rest[1:], rest[0]) if spec.layout == "nhwc" else spec.shape


def draw(rng, spec):
    """Return random stored values, in the spec's layout; None for an absent tensor."""
    if spec is None:
        return None
    low, high = (-2000, 2000) if spec.dtype == "int32" else np.array([0, 256])
    if spec.dtype == "int8":
        low, high = -128, 128
    return rng.integers(low, high, stored_shape(spec)).astype(spec.dtype)


def serving(pack, problem):
    """Return the kernel that says yes; exactly one does."""
    (found,) = [
        k
        for k in pack.kernels
        if k.name.split(".")[1] == problem.operator and isinstance(k.query(problem), Yes)
    ]
    return found


def prepared(pack, problem, seed=0):
    """Return a prepared kernel and its inputs."""
    rng = np.random.default_rng(seed)
    arrays = [draw(rng, spec) for spec in problem.inputs]
    constants = [
        a if s is not None and s.constant else None
        for s, a in zip(problem.inputs, arrays, strict=True)
    ]
    return serving(pack, problem).prepare(problem, constants), arrays


def output(problem):
    return np.full(stored_shape(problem.outputs[0]), 77, problem.outputs[0].dtype)


def result(made, arrays, problem):
    y = output(problem)
    made.run([*arrays, y])
    return y


PROBLEMS = {
    "gemm": convolution(kernel=(1, 1), pads=(0, 0, 0, 0)),
    "implicit gemm": convolution(),
    "stem": convolution(channels=3),
    "asymmetric": convolution(pads=(0, 1, 2, 0)),
    "grouped": convolution(channels=24, groups=3),
    "depthwise": convolution(channels=24, filters=24, groups=24),
    "depthwise 5x5": convolution(
        channels=24, filters=24, groups=24, kernel=(5, 5), pads=(2, 2, 2, 2)
    ),
    "channels first": convolution(layout="nchw"),
    "transposed": transposed(),
    "transposed, grouped": transposed(channels=24, groups=3),
    "transposed, channels first": transposed(channels=3, layout="nchw"),
    "product": product(),
    "short product": product(inner=5),
    "pool": pooling(),
    "dilated pool": pooling(dilations=(2, 1)),
    "sum": addition(),
    "average": averaging(),
    "average of few channels": averaging(channels=3, pads=(0, 1, 1, 1)),
    "global average": averaging_all(),
    "bounds": bounded(),
    "shuffle": shuffling(),
    "softmax": sharing(),
}
