"""ONNX's own conformance cases of single operators: import, plan, replay, compare."""

from __future__ import annotations

import collections
import functools
import re
import warnings
from typing import Any

import numpy as np
import pytest

import runtime
from runtime.onnx.handlers import HANDLERS

onnx = pytest.importorskip("onnx")

pytestmark = pytest.mark.xdist_group("onnx_nodes")

EXPANDED = "cases of several nodes"
"""Stands for functions whose nodes ONNX has put into the model."""

SETTINGS: dict[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Clip": (1, 2),
    "CumSum": (1,),
    "DFT": (1, 2),
    "Dropout": (1, 2),
    "Expand": (1,),
    "BlackmanWindow": (0,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "If": (0,),
    "OneHot": (1,),
    "Pad": (1, 2, 3),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "STFT": (1, 3),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Trilu": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
    **{name: (1,) for name in HANDLERS if name.startswith("Reduce")},
}
"""Inputs that decide an output's shape: the cases feed them, a trace holds them as constants."""

REFUSED: dict[str, str] = {
    r"averagepool_3d|maxpool_3d|convtranspose_3d": "windows of three dimensions",
    r"averagepool_2d_dilations$": "AveragePool with dilations",
    r"maxpool_with_argmax": "MaxPool's second output",
    r"training_dropout": "training",
    r"resize_.*antialias": "Resize with antialiasing",
    r"resize_tf_crop": "Resize with cropping",
    r"(FLOAT8|FLOAT4|INT4|INT2)|_e8m0_": "element types of 8, 4 and 2 bits",
    r"quantizelinear_(e4m3fn|e5m2|u?int(2|4|16)|float4|blocked)": "other than 8 bits, or blocks",
    r"equal_string": "strings",
    r"identity_(opt|sequence)|if_(opt|seq)": "sequences and optional values",
    r"^test_not_\dd": "operator sets before 7",
    r"_irfft": "the inverse of half a transform",
    r"gridsample_volumetric": "samples of three dimensions",
    r"affine_grid": "a size that follows from elements",
    r"(hann|hamming|blackman)window.*expanded": "a size that follows from elements",
    r"center_crop_pad": "padding that follows from shapes",
}
"""Cases of served operators that the importer refuses, each with its error."""

DIFFERENT: dict[str, str] = {
    r"dft_inverse": "the case wants zeros of sums that cancel in float64, ours are float32's",
    r"resize_downsample_scales_(linear|cubic)_align_corners": (
        "the case aligns the corners of an extent that isn't whole, 0.6 * 4"
    ),
}
"""Cases that ONNX's text and the case's values disagree on."""

UNSERVED: dict[str, tuple[str, ...]] = {
    "trigonometry": (
        "Acos", "Acosh", "Asin", "Asinh", "Atanh", "Cosh", "MelWeightMatrix", "Sinh",
    ),
    "bits": ("BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
    "attention and its state": (
        "FlexAttention", "LinearAttention", "TensorScatter",
    ),
    "loops": ("Loop", "Scan", "SequenceMap"),
    "sequences and optional values": (
        "ConcatFromSequence", "Optional", "OptionalGetElement", "OptionalHasElement", "SequenceAt",
        "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength",
        "SplitToSequence",
    ),
    "strings and text": (
        "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer",
        "LabelEncoder", "ArrayFeatureExtractor", "Binarizer", "TreeEnsemble",
    ),
    "training": (
        "Adagrad", "Adam", "Gradient", "Momentum", "NegativeLogLikelihoodLoss",
        "SoftmaxCrossEntropyLoss",
    ),
    "random numbers": ("Bernoulli", "RandomUniformLike"),
    "shapes that follow from elements": ("Compress", "NonMaxSuppression", "NonZero", "Unique"),
    "indices and sorting": ("MaxUnpool", "ReverseSequence", "RoiAlign"),
    "others": (
        "AffineGrid", "CenterCropPad", "Col2Im", "CumProd", "DeformConv", "Det",
        "EyeLike", "ImageDecoder", "LpPool",
    ),
}  # fmt: skip
"""Operators that aren't served, by what they would need."""

SERVED = (
    *HANDLERS, "Attention", "BlackmanWindow", "CausalConvWithState", "DynamicQuantizeLinear",
    "HammingWindow", "HannWindow", "If", "MeanVarianceNormalization", "RotaryEmbedding", "Shrink",
    "SwiGLU",
)  # fmt: skip
"""Operators with handlers, and those that ONNX defines by others and whose cases are run."""


@functools.cache
def cases() -> dict[str, list[Any]]:
    """Return ONNX's cases by operator."""
    from onnx.backend.test.case.node import collect_testcases

    found = collections.defaultdict(list)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = collect_testcases(None)
    for case in collected:
        nodes = case.model.graph.node
        found[nodes[0].op_type if len(nodes) == 1 else EXPANDED].append(case)
    return found


def matching(table: dict[str, str], name: str) -> str | None:
    """Return the pattern of a table that a case's name matches."""
    return next((pattern for pattern in table if re.search(pattern, name)), None)


def is_served(case: Any) -> bool:
    """Say whether all operators of a case's model are served."""
    unserved = {name for names in UNSERVED.values() for name in names}
    return not any(node.op_type in unserved for node in case.model.graph.node)


def array(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def constants_of(model: Any) -> set[str]:
    """Return the inputs that must be constants."""
    inputs = {i.name for i in model.graph.input}
    return {
        node.input[index]
        for node in model.graph.node
        for index in SETTINGS.get(node.op_type, ())
        if index < len(node.input) and node.input[index] in inputs
    }


def problem_with(case: Any) -> str:
    """Replay a case; return what is wrong, "" if nothing is."""
    constants = constants_of(case.model)
    names = [i.name for i in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        feeds = dict(zip(names, map(array, inputs), strict=False))
        held = {name: feeds[name] for name in constants if name in feeds}
        trace = runtime.from_onnx(case.model, constants=held)
        given = {n: np.asarray(x) for n, x in feeds.items() if n not in held}
        results = trace.compile()(**given)
        for got, want in zip(results, map(array, outputs), strict=True):
            text = difference(got, np.asarray(want), case.rtol, case.atol)
            if text:
                return text
    return ""


def difference(got: Any, want: Any, relative: float, absolute: float) -> str:
    """Say how a result differs from what the case wants."""
    if (got.dtype, got.shape) != (want.dtype, want.shape):
        return f"expected {want.dtype} {want.shape}, got {got.dtype} {got.shape}"
    if want.dtype.kind in "biu":
        wrong = got != want
    else:
        # A few roundings of float16 and bfloat16.
        coarse = {"float16": 5e-3, "bfloat16": 2e-2}.get(want.dtype.name, 0.0)
        wide_got, wide_want = got.astype(np.float64), want.astype(np.float64)
        wrong = ~np.isclose(
            wide_got, wide_want, max(relative, coarse), max(absolute, 1e-7), equal_nan=True
        )
    return f"{np.count_nonzero(wrong)} of {want.size} elements differ" if wrong.any() else ""


def failures_of(found: list[Any]) -> list[str]:
    """Run cases; return a line for each that fails."""
    failures = []
    for case in found:
        if not is_served(case) or matching(DIFFERENT, case.name):
            continue
        refused = matching(REFUSED, case.name)
        try:
            text = problem_with(case)
        except runtime.ModelError as error:
            text = "" if refused else f"ModelError: {error}"
        except Exception as error:  # noqa: BLE001 -- every case is reported
            text = f"{type(error).__name__}: {error}"
        else:
            if refused:
                text = f"passes, though the table says: {REFUSED[refused]}"
        if text:
            failures.append(f"{case.name}: {text[:300]}")
    return failures


@pytest.mark.parametrize("operator", [*sorted(SERVED), EXPANDED])
def test_cases(operator: str) -> None:
    assert failures_of(cases().get(operator, [])) == []


def test_every_case_is_accounted_for(record_property: Any) -> None:
    every = [case for found in cases().values() for case in found]
    known = {*SERVED, *(name for names in UNSERVED.values() for name in names)}
    operators = {case.model.graph.node[0].op_type for case in every}
    assert operators - known == set()
    for table in (REFUSED, DIFFERENT):
        unused = [p for p in table if not any(re.search(p, case.name) for case in every)]
        assert unused == []
    served = [case for case in every if is_served(case)]
    run = [c for c in served if not matching(REFUSED, c.name) and not matching(DIFFERENT, c.name)]
    record_property("onnx_cases_run", len(run))
    record_property("onnx_cases", len(every))
    assert len(run) >= 900
