"""References and shape inference against ONNX's reference evaluator and ONNX Runtime."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from dispatch.conformance.bounds import differences, expect
from dispatch.conformance.runner import conformance_cases, questions
from dispatch.operators import operators

from .onnx_forms import ONNX_DTYPES, REDUCTIONS, SAME_NAME, WRITERS, model

NAMES = sorted(name for name in operators() if name in {*SAME_NAME, *REDUCTIONS, *WRITERS})


def _questions(name, dtype, count=12):
    operator = operators()[name]
    for question in questions(operator, dtype, "cpu", conformance_cases(operator, count)):
        small = all(a is None or a.size < 20000 for a in question.arrays)
        served = all(o.dtype in ONNX_DTYPES for o in question.problem.outputs)
        present = all(a is None or a.dtype.name in ONNX_DTYPES for a in question.arrays)
        # ONNX Runtime loses NaN in places where ONNX's text and NumPy keep it.
        sure = all(
            a is None or a.dtype.kind != "f" or np.isfinite(a).all() for a in question.arrays
        )
        # ONNX Runtime has no Where of bool.
        present = present and not (name == "where" and question.arrays[1].dtype == bool)
        if small and served and present and sure and not question.problem.epilogue:
            yield question


def _first_dtype(name):
    if name == "mod":
        return "int64"  # of floating dtypes ONNX has the other remainder alone
    return "float32" if "float32" in operators()[name].dtypes else operators()[name].dtypes[0]


RECURRENT = {
    ("evaluator", "lengths"): "it doesn't read them",
    ("runtime", "lengths and a state"): "a sequence without steps loses its state",
    ("runtime", "(0, "): "it aborts without steps",
    ("runtime", "(3, 0, "): "it aborts without sequences",
    ("runtime", "(3, 2, 0, "): "it aborts without inputs",
}
"""What an engine does otherwise in gru, lstm and rnn: (engine, how the case's label begins)."""

# (operator, engine, how the case's label begins) that an engine does otherwise, and why.
EXCEPTIONS = {
    ("max_pool2d", "", "elements in the padding alone"): "ONNX's text leaves it open",
    ("log_softmax", "evaluator", "far apart"): "it takes the logarithm of 0",
    ("lrn", "evaluator", ""): "its window is one channel short",
    ("max_pool2d", "evaluator", "same_lower"): "its explicit padding exchanges height and width",
    ("conv_transpose2d", "evaluator", "depthwise"): "adds up over groups",
    ("conv_transpose2d", "evaluator", "random"): "adds up over groups",
    ("grid_sample", "evaluator", "cubic, border"): "moves the place to the edge, not its pixels",
    ("grid_sample", "evaluator", "random"): "moves the place to the edge, not its pixels",
    ("resize", "", "nearest, half_pixel_symmetric, scales"): "a tie in float32",
    ("resize", "evaluator", "nearest, pytorch_half_pixel, to one"): "-0.5 for ONNX's 0",
    ("resize", "evaluator", "linear, pytorch_half_pixel, to one"): "-0.5 for ONNX's 0",
    ("resize", "evaluator", "cubic, pytorch_half_pixel, to one"): "-0.5 for ONNX's 0",
    ("resize", "evaluator", "nearest, align_corners, scales"): "takes the extent unrounded",
    ("resize", "evaluator", "linear, align_corners, scales"): "takes the extent unrounded",
    ("resize", "evaluator", "cubic, align_corners, scales"): "takes the extent unrounded",
    ("resize", "", "random"): "ties in float32",
    **{(name, *case): why for name in ("gru", "lstm", "rnn") for case, why in RECURRENT.items()},
}
SLACK, ABSOLUTE = 32.0, 1e-6
"""The engines' own rounding, in units of the bound that kernels are held to, and beside it."""


def _excepted(name, engine, label):
    return any(
        n == name and e in ("", engine) and label.startswith(start) for n, e, start in EXCEPTIONS
    )


def _loosened(expected):
    if expected.bound is None:
        return expected
    return replace(expected, bound=expected.bound * SLACK + ABSOLUTE)


def runtime(proto, feed):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(proto.SerializeToString(), options).run(None, feed)


def evaluator(proto, feed):
    with np.errstate(all="ignore"):
        return ReferenceEvaluator(proto).run(None, feed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("run", [runtime, evaluator])
def test_reference_is_onnxs(name, run):
    compared, refused = 0, []
    for question in _questions(name, _first_dtype(name)):
        problem = question.problem
        if _excepted(name, run.__name__, question.case.label):
            continue
        proto, feed = model(name, list(question.arrays), dict(problem.attributes), problem.outputs)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                got = run(proto, feed)
        except Exception as error:  # noqa: BLE001  each engine refuses some cases, in its own way
            refused.append((question.case.label, error))
            continue
        for y, wanted in zip(got, expect(question, "highest"), strict=True):
            text = differences(np.asarray(y), _loosened(wanted))
            assert not text, (question.case.label, str(problem), text)
        compared += 1
    assert compared >= 8 or (name, run) == ("lrn", evaluator), refused
