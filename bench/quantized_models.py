"""8-bit forms of the standard models, as ONNX Runtime's quantiser writes them."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import platformdirs

from bench.engines.base import require
from bench.samples import samples_of
from dispatch.operator import Array

__all__ = ["FORMS", "TOLERANCE", "quantized_model_path", "split_form"]

FORMS = ("qdq", "qoperator", "dynamic")
"""Pairs of conversions around real operators; operators on integers; ranges found at each run."""

VERSION = 2
"""Of what `quantized_model_path` makes."""

TOLERANCE = 0.1
"""Largest difference between two engines' outputs, as a part of the output, each by the root of its
mean square: each layer's roundings are decided otherwise, and add up."""

SAMPLES = 4
OPSET = 13  # the first with scales for each channel


def split_form(name: str) -> tuple[str, str]:
    """Return a model's name and the form that follows it after a hyphen, "" if none does."""
    base, hyphen, form = name.rpartition("-")
    return (base, form) if hyphen and form in FORMS else (name, "")


def quantized_model_path(
    name: str, source: Path, form: str, inputs: Sequence[tuple[str, str, tuple[int, ...]]]
) -> Path:
    """Return the file of a quantised model; made on first use, then kept.

    Parameters
    ----------
    name
        The model's.
    source
        Its ONNX file in float32.
    form
        One of `FORMS`.
    inputs
        Each input's name, dtype and shape, for the samples.

    Raises
    ------
    MissingExtra
        If ONNX Runtime or the package onnx isn't installed.
    """
    require("onnx", "peers")
    require("onnxruntime", "peers")
    folder = Path(platformdirs.user_cache_dir("kernel-dispatch")) / "models"
    path = folder / f"{name}-{form}-{VERSION}.onnx"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            samples = samples_of(name, inputs, SAMPLES)
            _quantize(source, form, samples, Path(scratch)).replace(path)
    return path


def _quantize(source: Path, form: str, samples: Iterator[dict[str, Array]], scratch: Path) -> Path:
    import onnx
    from onnx import version_converter
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    logging.getLogger().setLevel(logging.ERROR)  # the quantiser gives advice there
    model = onnx.load(source)
    if model.opset_import[0].version < OPSET:
        model = version_converter.convert_version(model, OPSET)
    names = {i.name for i in model.graph.initializer}
    kept = [i for i in model.graph.input if i.name not in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    plain, prepared, made = (scratch / f"{n}.onnx" for n in ("plain", "prepared", "made"))
    onnx.save(model, plain)
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    if form == "dynamic":
        quantization.quantize_dynamic(str(prepared), str(made))
        return made
    reader: Any = _Reader(samples)
    forms = {"qdq": quantization.QuantFormat.QDQ, "qoperator": quantization.QuantFormat.QOperator}
    quantization.quantize_static(
        str(prepared),
        str(made),
        reader,
        quant_format=forms[form],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return made


class _Reader:
    """Samples as the quantiser asks for them."""

    def __init__(self, samples: Iterator[dict[str, Array]]) -> None:
        self._samples = samples

    def get_next(self) -> dict[str, Array] | None:
        """Return the next sample."""
        return next(self._samples, None)
