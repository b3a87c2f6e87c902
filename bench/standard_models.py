"""The standard models: onnx's light ones with seeded random weights, and those of packages."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from bench.engines.base import require
from dispatch.files import replacing

LIGHT = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
"""ONNX's own models whose weights were taken out; all take float32 [1, 3, 224, 224]."""

VERSION = 3
"""Of the weights that `light_model` makes."""

HEAD_GAIN = {"resnet50": 2.0**-8, "shufflenet": 2.0**-10, "inception_v2": 2.0**4}
"""Model → factor of its last layer's weights, without which one probability would be 1, or all
the same: differences would be hidden."""

PACKAGED = {
    "ppocr_det": ("rapidocr-onnxruntime", "ch_PP-OCRv4_det_infer.onnx"),
    "ppocr_rec": ("rapidocr-onnxruntime", "ch_PP-OCRv4_rec_infer.onnx"),
    "ppocr_cls": ("rapidocr-onnxruntime", "ch_ppocr_mobile_v2.0_cls_infer.onnx"),
    "magika": ("magika", "model.onnx"),
    "ddddocr": ("ddddocr", "common_old.onnx"),
    "silero_vad": ("silero-vad", "silero_vad_16k_sequence.onnx"),
}
"""Models that lie in packages: the distribution and the file's name."""


def packaged_model(name: str) -> Path | None:
    """Return where a packaged model lies, None where its distribution isn't installed."""
    distribution, file_name = PACKAGED[name]
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(str(f.locate())) for f in files if f.name == file_name), None)


def light_model_path(name: str) -> Path:
    """Return the file of a light model with weights; made on first use, then kept."""
    folder = Path(platformdirs.user_cache_dir("kernel-dispatch")) / "models"
    path = folder / f"{name}-{VERSION}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            file.write(light_model(name).SerializeToString())
    return path


def light_model(name: str) -> Any:
    """Return a light model with seeded random weights under which its outputs stay moderate.

    Raises
    ------
    MissingExtra
        If the package onnx isn't installed.
    """
    onnx = require("onnx", "onnx")
    from onnx import numpy_helper

    folder = Path(str(onnx.__file__)).parent / "backend" / "test" / "data" / "light"
    model = onnx.load(folder / f"light_{name}.onnx")
    graph = model.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer if i.data_type == 7}
    uses = _uses(graph)
    rng = np.random.default_rng(sum(map(ord, name)))
    head = next((n.input[1] for n in reversed(graph.node) if n.op_type == "Gemm"), "")
    kept = []
    for node in graph.node:
        if node.op_type != "ConstantOfShape":
            kept.append(node)
            continue
        shape = tuple(int(n) for n in shapes[node.input[0]])
        weights = _weights(uses[node.output[0]], shape, rng)
        if node.output[0] == head:
            weights = weights * np.float32(HEAD_GAIN.get(name, 1.0))
        graph.initializer.append(numpy_helper.from_array(weights, node.output[0]))
    used = {i for node in kept for i in node.input}
    initializers = [i for i in graph.initializer if i.name in used]
    names = {i.name for i in initializers}
    inputs = [i for i in graph.input if i.name in used and i.name not in names]
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(kept)
    graph.initializer.extend(initializers)
    graph.input.extend(inputs)
    model.ir_version = 4  # from it on, weights needn't be inputs
    return model


def _uses(graph: Any) -> dict[str, tuple[str, int]]:
    """Return the operator that takes a value, and as which input; Unsqueeze is looked through."""
    uses: dict[str, tuple[str, int]] = {}
    for node in reversed(graph.node):
        for index, name in enumerate(node.input):
            through = node.op_type in ("Unsqueeze", "Reshape") and index == 0
            uses[name] = uses.get(node.output[0], ("", 0)) if through else (node.op_type, index)
    return uses


def _weights(use: tuple[str, int], shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    """Draw weights for their use: products keep their inputs' variance."""
    operator, index = use
    if index == 1 and operator == "Conv":
        fan_in = int(np.prod(shape[1:]))
        return rng.standard_normal(shape, np.float32) * np.float32((2 / fan_in) ** 0.5)
    if index == 1 and operator in ("Gemm", "MatMul"):
        return rng.standard_normal(shape, np.float32) * np.float32((1 / max(shape)) ** 0.5)
    low, high = (0.5, 1.0) if (operator, index) in SCALES else (-0.1, 0.1)
    return rng.uniform(low, high, shape).astype(np.float32)


SCALES = {("BatchNormalization", 1), ("BatchNormalization", 4), ("Mul", 1)}
