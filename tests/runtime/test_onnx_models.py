"""Whole ONNX models: outputs against ONNX Runtime's, and no operator without a kernel."""

from __future__ import annotations

import importlib.util
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


# ---- Recurrent layers ----------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 7])
def test_voice(steps: int) -> None:
    """A float LSTM that carries its state from call to call."""
    path = packaged_model("silero_vad")
    if path is None:
        pytest.skip("silero-vad isn't installed")
    rng = np.random.default_rng(2)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    replay = runtime.from_onnx(path).compile()
    ours = theirs = [np.zeros((1, 1, 128), np.float32)] * 2
    for _ in range(3):
        sound = (0.3 * rng.standard_normal((steps, 576))).astype(np.float32)
        got = replay(sound, *ours)
        want = session.run(None, dict(zip(("input", "h", "c"), (sound, *theirs), strict=True)))
        for g, w in zip(got, want, strict=True):
            assert (g.shape, g.dtype) == (w.shape, w.dtype)
            np.testing.assert_allclose(g, w, atol=2e-5)
        ours, theirs = list(got[1:]), list(want[1:])
    assert "lstm" in {row.operator for row in replay.explain(input=(steps, 576)).rows}


def characters(model: Path) -> list[str]:
    """Return what the reader's outputs stand for: a list of its package, which isn't imported."""
    spec = importlib.util.spec_from_file_location("charsets", model.parent / "charsets.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.CHARSET_OLD)


def draw_text(text: str) -> Any:
    """Return a line of text in grey, 64 pixels high, as the reader takes it."""
    image, draw, font = (pytest.importorskip(f"PIL.Image{n}") for n in ("", "Draw", "Font"))
    letters = font.load_default(44)
    page = image.new("L", (int(letters.getlength(text)) + 30, 64), 250)
    draw.Draw(page).text((15, 6), text, font=letters, fill=20)
    return (np.asarray(page, np.float32) / 255)[None, None]


def read_text(scores: Any, alphabet: list[str]) -> str:
    """Return the likeliest character of each step, repetitions and blanks left out."""
    steps = scores[:, 0].argmax(-1)
    starts = np.flatnonzero(np.diff(steps, prepend=0))
    return "".join(alphabet[steps[at]] for at in starts if steps[at])


def test_a_quantised_reader_reads() -> None:
    """Dynamic quantisation, integer products and a quantised LSTM, by ONNX Runtime's operators."""
    path = packaged_model("ddddocr")
    if path is None:
        pytest.skip("ddddocr isn't installed")
    alphabet = characters(path)
    trace = runtime.from_onnx(path)
    replay = trace.compile()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for text in ("dispatch", "harbour", "3f7k9"):
        picture = draw_text(text)
        (got,), (want,) = replay(picture), session.run(None, {"input1": picture})
        assert got.shape == want.shape
        # The runtime quantises the LSTM's activations, 8 bits of them; here they are real.
        assert np.abs(got - want).max() <= 0.02 * np.abs(want).max()
        assert read_text(got, alphabet) == read_text(want, alphabet) == text
    check_kernels(trace, replay, picture)
    operators = {row.operator for row in replay.explain(input1=picture.shape).rows}
    assert {"dynamic_quantize_linear", "conv_integer", "matmul_integer", "lstm"} <= operators
    assert not {"conv2d", "matmul"} & operators
