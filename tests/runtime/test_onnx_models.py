"""Whole ONNX models: outputs against ONNX Runtime's, and no operator without a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import runtime
from bench.demo.detection import network_input
from bench.demo.picture import draw_picture
from bench.standard_models import LIGHT, light_model_path, packaged_model

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

LARGE = ("bvlc_alexnet", "vgg19", "zfnet512")
"""Models of hundreds of megabytes."""

EPSILON = float(np.finfo(np.float32).eps)


def bound(model: Any) -> float:
    """Return the largest difference allowed, as a part of the output's largest element.

    Each layer adds an error of some roundings of its sums, and they add up like
    a random walk: 64 roundings a layer times the root of the number of layers.
    Two engines differ by at most twice that.
    """
    layers = sum(n.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul") for n in model.graph.node)
    return 2 * 64 * EPSILON * float(np.sqrt(max(layers, 1)))


def with_logits(path: Path) -> Any:
    """Return the model with what its last softmax takes as a further output.

    Probabilities hide differences: where one is 1, the others are 0.
    """
    model = onnx.load(path)
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        kind = onnx.TensorProto.FLOAT
        model.graph.output.append(onnx.helper.make_tensor_value_info(last.input[0], kind, None))
    return model


def compare(model: Any, trace: runtime.Trace, replay: runtime.Replay, x: Any) -> None:
    """Compare a replay with ONNX Runtime on one input."""
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    expected = session.run(None, {session.get_inputs()[0].name: x})
    results = replay(x)
    assert len(results) == len(expected)
    for got, want in zip(results, expected, strict=True):
        assert got.shape == want.shape
        scale = float(np.abs(want).max())
        # The largest of a thousand equal probabilities is a thousandth too.
        assert float(np.ptp(want)) > 1e-3
        assert float(np.abs(got - want).max()) <= bound(model) * scale
    check_kernels(trace, replay, x)


def check_kernels(trace: runtime.Trace, replay: runtime.Replay, x: Any) -> None:
    """Check that every step has a kernel that serves its operator."""
    rows = replay.explain(**{trace.graph.inputs[0].name: x.shape}).rows
    assert rows
    for row in rows:
        _, operator, *_ = row.kernel.split(".")
        assert operator == row.operator.partition("+")[0]


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in LIGHT]
)
def test_light_models(name: str) -> None:
    model = with_logits(light_model_path(name))
    trace = runtime.from_onnx(model)
    x = np.random.default_rng(3).standard_normal((1, 3, 224, 224), np.float32)
    compare(model, trace, trace.compile(), x)


def picture(shape: tuple[int, ...]) -> Any:
    """Return a part of the demonstration's picture: a detector must have text to see."""
    pytest.importorskip("PIL")
    height, width = shape[2:]
    pixels = draw_picture().pixels[40 : 40 + height, 50 : 50 + width]
    return np.repeat(network_input(pixels), shape[0], axis=0)


@pytest.mark.parametrize(
    ("name", "shapes"),
    [
        ("ppocr_det", [(1, 3, 320, 320), (1, 3, 96, 256), (2, 3, 160, 320)]),
        ("ppocr_rec", [(1, 3, 48, 320), (3, 3, 48, 100)]),
        ("ppocr_cls", [(1, 3, 48, 192), (4, 3, 48, 192)]),
    ],
)
def test_models_with_dynamic_shapes(name: str, shapes: list[tuple[int, ...]]) -> None:
    path = packaged_model(name)
    if path is None:
        pytest.skip("rapidocr-onnxruntime isn't installed")
    model = onnx.load(path)
    trace = runtime.from_onnx(path)
    replay = trace.compile()
    for shape in shapes:
        compare(model, trace, replay, picture(shape))


def test_file_types() -> None:
    path = packaged_model("magika")
    if path is None:
        pytest.skip("magika isn't installed")
    model = onnx.load(path)
    trace = runtime.from_onnx(path)
    replay = trace.compile()
    rng = np.random.default_rng(0)
    for count in (1, 3):
        x = rng.integers(0, 257, (count, 2048)).astype(np.int32)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (want,) = session.run(None, {session.get_inputs()[0].name: x})
        (got,) = replay(x)
        assert np.abs(got - want).max() <= bound(model) * np.abs(want).max()
        check_kernels(trace, replay, x)
