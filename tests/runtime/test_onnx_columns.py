"""DeformConv and Col2Im beside what they are defined by, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import runtime
from runtime.errors import ModelError

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(8)


def result_of(operator: str, arrays: dict[str, Any], held: dict[str, Any], **settings: Any) -> Any:
    names = [n.strip("-") for n in (*arrays, *held)]
    made = helper.make_node(operator, names, ["y"], **settings)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in arrays.items()
        if x is not None
    ]
    constants = [numpy_helper.from_array(x, n) for n, x in held.items()]
    graph = helper.make_graph([made], "g", infos, [onnx.ValueInfoProto(name="y")], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    given = [x for x in arrays.values() if x is not None]
    return runtime.from_onnx(model).compile()(*given)[0]


def sampled(image: Any, y: float, x: float) -> float:
    """Sample bilinearly; beyond the image are zeros."""
    top, left = int(np.floor(y)), int(np.floor(x))
    value = 0.0
    for i, wy in ((top, top + 1 - y), (top + 1, y - top)):
        for j, wx in ((left, left + 1 - x), (left + 1, x - left)):
            if 0 <= i < image.shape[0] and 0 <= j < image.shape[1]:
                value += wy * wx * image[i, j]
    return value


def deformed(x, w, offset, bias, mask, strides, pads, dilations, group, offset_group):
    x, w, offset, mask = (a.astype("f8") for a in (x, w, offset, mask))
    (n, c, _, _), (m, _, kh, kw), (oh, ow) = x.shape, w.shape, offset.shape[2:]
    offset = offset.reshape(n, offset_group, kh, kw, 2, oh, ow)
    mask = mask.reshape(n, offset_group, kh, kw, oh, ow)
    y = np.zeros((n, m, oh, ow)) + bias.astype("f8")[:, None, None]
    for b, o, r, q in np.ndindex(n, m, oh, ow):
        first = o // (m // group) * (c // group)
        for k, i, j in np.ndindex(c // group, kh, kw):
            channel = first + k
            part = channel // (c // offset_group)
            down, right = offset[b, part, i, j, :, r, q]
            at = (
                r * strides[0] - pads[0] + i * dilations[0] + down,
                q * strides[1] - pads[1] + j * dilations[1] + right,
            )
            value = sampled(x[b, channel], *at) * mask[b, part, i, j, r, q]
            y[b, o, r, q] += w[o, k, i, j] * value
    return y


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize(
    ("kernel", "strides", "pads", "dilations", "group", "offset_group"),
    [
        ((3, 3), (1, 1), (1, 1, 1, 1), (1, 1), 1, 1),
        ((3, 2), (2, 1), (1, 0, 2, 1), (1, 2), 2, 1),
        ((2, 3), (1, 2), (0, 1, 0, 0), (2, 1), 1, 2),
        ((1, 1), (1, 1), (0, 0, 0, 0), (1, 1), 2, 4),
    ],
)
def test_deform_conv(dtype, kernel, strides, pads, dilations, group, offset_group) -> None:
    height, width, c, m = 6, 5, 4, 4
    out = [
        (e + pads[a] + pads[a + 2] - (kernel[a] - 1) * dilations[a] - 1) // strides[a] + 1
        for a, e in enumerate((height, width))
    ]
    taps = offset_group * kernel[0] * kernel[1]
    x = RNG.standard_normal((2, c, height, width)).astype(dtype)
    w = RNG.standard_normal((m, c // group, *kernel)).astype(dtype)
    offset = RNG.uniform(-3, 3, (2, 2 * taps, *out)).astype(dtype)
    bias, mask = RNG.standard_normal(m).astype(dtype), RNG.random((2, taps, *out)).astype(dtype)
    y = result_of(
        "DeformConv", {"x": x, "w": w, "offset": offset, "bias": bias, "mask": mask}, {},
        kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations, group=group,
        offset_group=offset_group,
    )  # fmt: skip
    expected = deformed(x, w, offset, bias, mask, strides, pads, dilations, group, offset_group)
    assert y.dtype == x.dtype
    bound = {"float32": 1e-5, "float64": 1e-11, "float16": 2e-2}[dtype]
    np.testing.assert_allclose(y.astype("f8"), expected, rtol=bound, atol=bound * 4)


@pytest.mark.parametrize(
    ("image", "block", "strides", "pads", "dilations"),
    [
        ((5, 6), (2, 3), (1, 1), (0, 0, 0, 0), (1, 1)),
        ((5, 6), (2, 2), (2, 2), (0, 0, 0, 0), (1, 1)),
        ((7, 5), (3, 2), (2, 1), (1, 0, 2, 1), (1, 2)),
        ((4, 4), (1, 1), (3, 2), (0, 1, 0, 0), (1, 1)),
    ],
)
def test_col2im(image, block, strides, pads, dilations) -> None:
    out = [
        (image[a] + pads[a] + pads[a + 2] - (block[a] - 1) * dilations[a] - 1) // strides[a] + 1
        for a in range(2)
    ]
    n, c = 2, 3
    x = RNG.standard_normal((n, c * block[0] * block[1], out[0] * out[1])).astype("f4")
    held = {"image": np.array(image, "i8"), "block": np.array(block, "i8")}
    y = result_of("Col2Im", {"x": x}, held, strides=strides, pads=pads, dilations=dilations)
    expected = np.zeros((n, c, *image))
    columns = x.astype("f8").reshape(n, c, *block, *out)
    for i, j, r, q in np.ndindex(*block, *out):
        at = (
            r * strides[0] - pads[0] + i * dilations[0],
            q * strides[1] - pads[1] + j * dilations[1],
        )
        if all(0 <= p < e for p, e in zip(at, image, strict=True)):
            expected[:, :, at[0], at[1]] += columns[:, :, i, j, r, q]
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    x, w = np.ones((1, 4, 5, 5), "f4"), np.ones((4, 4, 3, 3), "f4")
    with pytest.raises(ModelError, match="expected 18 channels for each of 1 groups"):
        result_of("DeformConv", {"x": x, "w": w, "offset": np.ones((1, 17, 3, 3), "f4")}, {})
    held = {"image": np.array([5, 5], "i8"), "block": np.array([2, 2], "i8")}
    with pytest.raises(ModelError, match="expected 16 columns of a multiple of 4 rows"):
        result_of("Col2Im", {"x": np.ones((1, 4, 15), "f4")}, held)
    with pytest.raises(ModelError, match="two known extents"):
        result_of("Col2Im", {"x": np.ones((1, 4, 15), "f4")},
                  {**held, "block": np.array([2, 2, 2], "i8")})  # fmt: skip
