"""The text detector in 8 bits, made in every way, finds the text of a picture as in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import pytest

import runtime
from bench.demo.detection import find_boxes, match_boxes, network_input
from bench.demo.picture import draw_picture
from bench.quantized_models import quantized_model_path
from bench.samples import samples_of
from bench.standard_models import packaged_model

pytest.importorskip("onnx")
pytest.importorskip("PIL")
onnxruntime = pytest.importorskip("onnxruntime")

INPUTS = (("x", "float32", (1, 3, 640, 640)),)
OPERATORS = {"dynamic": "conv_integer", "qdq": "qconv2d", "qoperator": "qconv2d"}


@pytest.fixture(scope="module")
def detector() -> Path:
    path = packaged_model("ppocr_det")
    if path is None:
        pytest.skip("rapidocr-onnxruntime isn't installed")
    return path


def check_boxes(probability: Any) -> None:
    """Every line that was drawn has a box, and there is no other box."""
    boxes = find_boxes(probability[0, 0])
    drawn = draw_picture().boxes
    matches = match_boxes(drawn, boxes)
    assert len(boxes) == len(drawn)
    assert min(match.overlap for match in matches) > 0.5


@pytest.mark.parametrize("form", OPERATORS)
def test_as_the_runtimes_quantiser_writes_it(
    detector: Path, form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path))
    path = quantized_model_path("ppocr_det", detector, form, INPUTS)
    x = network_input(draw_picture().pixels)
    replay = runtime.from_onnx(path).compile()
    (got,) = replay(x)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (want,) = session.run(None, {"x": x})
    # At the letters' edges the map jumps from 0 to 1: single pixels may differ by all of it.
    assert np.abs(got - want).mean() <= 1e-3
    assert (np.abs(got - want) > 0.1).mean() <= 4e-3
    check_boxes(got)
    ran = [row.operator.partition("+")[0] for row in replay.explain(x=x.shape).rows]
    assert ran.count(OPERATORS[form]) >= 40
    assert "conv2d" not in ran


@pytest.mark.parametrize("method", ["minmax", "percentile"])
def test_as_we_quantise_it(detector: Path, method: str) -> None:
    trace = runtime.from_onnx(detector)
    samples = list(samples_of("ppocr_det", INPUTS, 4))
    small = runtime.quantize(trace, samples, method=method)
    x = network_input(draw_picture().pixels)
    replay = small.compile()
    check_boxes(replay(x)[0])
    check_boxes(trace.compile()(x)[0])
    ran = [row.operator.partition("+")[0] for row in replay.explain(x=x.shape).rows]
    assert ran.count("qconv2d") >= 40
