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
from runtime.onnx.coverage import coverage
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
    "AffineGrid": (1,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "Compress": (1,),
    "If": (0,),
    "Loop": (0, 1),
    "NonZero": (0,),
    "SequenceAt": (1,),
    "SequenceInsert": (2,),
    "SplitToSequence": (1,),
    "Unique": (0,),
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
    r"(averagepool|maxpool|convtranspose|lppool)_3d|col2im_5d": "windows of three dimensions",
    r"averagepool_2d_dilations$|lppool_2d_dilations": "sums of windows with dilations",
    r"maxpool_with_argmax": "MaxPool's second output",
    r"training_dropout": "training",
    r"resize_.*antialias": "Resize with antialiasing",
    r"resize_tf_crop": "Resize with cropping",
    r"(FLOAT8|FLOAT4|INT4|INT2)|_e8m0_": "element types of 8, 4 and 2 bits",
    r"quantizelinear_(e4m3fn|e5m2|u?int(2|4|16)|float4|blocked)": "other than 8 bits, or blocks",
    r"equal_string": "strings",
    r"if_opt|loop16_seq_none": "optional values",
    r"range_.*expanded": "loops whose length follows from elements",
    r"scan_sum$": "operator sets before 9, where Scan has batches",
    r"^test_not_\dd": "operator sets before 7",
    r"_irfft": "the inverse of half a transform",
    r"gridsample_volumetric": "samples of three dimensions",
    r"(affine_grid|center_crop_pad).*expanded": "a size that follows from elements",
    r"(hann|hamming|blackman)window.*expanded": "a size that follows from elements",
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
    "bits": ("BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor"),
    "attention and its state": (
        "FlexAttention",
    ),
    "optional values": ("Optional", "OptionalGetElement", "OptionalHasElement"),
    "strings and text": (
        "RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer",
        "LabelEncoder", "ArrayFeatureExtractor", "Binarizer", "TreeEnsemble",
    ),
    "training": (
        "Adagrad", "Adam", "Gradient", "Momentum",
    ),
    "random numbers": ("Bernoulli", "RandomUniformLike"),
    "shapes that follow from elements": ("NonMaxSuppression",),
    "indices and sorting": ("MaxUnpool", "RoiAlign"),
    "others": (
        "CumProd", "Det",
        "ImageDecoder", "MelWeightMatrix",
    ),
}  # fmt: skip
"""Operators that aren't served, by what they would need."""

SERVED = (
    *HANDLERS, "AffineGrid", "Attention", "BlackmanWindow", "CausalConvWithState", "CenterCropPad",
    "DynamicQuantizeLinear", "HammingWindow", "HannWindow", "If", "LinearAttention", "Loop",
    "MeanVarianceNormalization", "NegativeLogLikelihoodLoss", "RotaryEmbedding", "Scan",
    "SequenceMap", "Shrink", "SoftmaxCrossEntropyLoss", "SwiGLU",
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


def without_sequences(model: Any, inputs: Any, outputs: Any) -> tuple[Any, Any, Any]:
    """Return a case whose sequences are put together, and taken apart, within the model."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph, before, after = made.graph, [], []
    helper = onnx.helper
    flat_inputs, flat_outputs = [], []
    given, wanted = list(graph.input), list(graph.output)
    del graph.input[:], graph.output[:]
    for info, value in zip(given, inputs, strict=False):
        if not isinstance(value, list):
            graph.input.append(info)
            flat_inputs.append(value)
            continue
        names = [f"{info.name}[{i}]" for i in range(len(value))]
        kind = "SequenceConstruct" if names else "SequenceEmpty"
        before.append(helper.make_node(kind, names, [info.name]))
        for name, element in zip(names, value, strict=True):
            number = helper.np_dtype_to_tensor_dtype(element.dtype)
            graph.input.append(helper.make_tensor_value_info(name, number, element.shape))
            flat_inputs.append(element)
    for info, value in zip(wanted, outputs, strict=True):
        if not isinstance(value, list):
            graph.output.append(info)
            flat_outputs.append(value)
            continue
        length = f"{info.name}.length"
        after.append(helper.make_node("SequenceLength", [info.name], [length]))
        graph.output.append(helper.make_tensor_value_info(length, onnx.TensorProto.INT64, ()))
        flat_outputs.append(np.array(len(value), np.int64))
        for i, element in enumerate(value):
            place, name = f"{info.name} {i}", f"{info.name}[{i}]"
            graph.initializer.append(onnx.numpy_helper.from_array(np.array(i, np.int64), place))
            after.append(helper.make_node("SequenceAt", [info.name, place], [name]))
            graph.output.append(onnx.ValueInfoProto(name=name))
            flat_outputs.append(element)
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    return made, flat_inputs, flat_outputs


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
    for given_inputs, wanted in case.data_sets:
        model, inputs, outputs = without_sequences(case.model, given_inputs, wanted)
        names = [i.name for i in model.graph.input]
        feeds = dict(zip(names, map(array, inputs), strict=False))
        held = {name: feeds[name] for name in constants_of(model) if name in feeds}
        trace = runtime.from_onnx(model, constants=held)
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


def test_the_listing_says_what_the_cases_say() -> None:
    listed = {entry.operator: entry for entry in coverage() if not entry.domain}
    unserved = {name for names in UNSERVED.values() for name in names}
    served = {name for name in SERVED if "::" not in name}
    for name, entry in listed.items():
        assert entry.imported == (name not in unserved) or name not in cases(), name
        assert entry.imported or not entry.how or set(entry.how.split(", ")) <= unserved
    assert served <= {name for name, entry in listed.items() if entry.imported}
