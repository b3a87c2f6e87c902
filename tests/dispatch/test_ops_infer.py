"""Operators refuse what is wrong, by name, and their parts agree with each other."""

from __future__ import annotations

import inspect
import itertools

import numpy as np
import pytest

from dispatch.conformance.problems import ask
from dispatch.errors import InvalidArgument, UnsupportedDtype
from dispatch.operator import REQUIRED
from dispatch.operators import functions, operators
from dispatch.problem import OPERANDS
from dispatch.quantized import reference_arguments
from dispatch.tensor import TensorSpec


def spec(*shape, dtype="float32"):
    return TensorSpec(dtype, shape)


IMAGE = spec(1, 6, 8, 8)
INDICES = spec(4, 2, dtype="int64")
HUGE = 2**40

WRONG = [
    ("conv2d", (spec(6, 8, 8), spec(4, 6, 3, 3), None), {}, "x: expected 4 dimensions, got 3"),
    ("conv2d", (IMAGE, spec(4, 6, 3), None), {}, "w: expected 4 dimensions, got 3"),
    ("conv2d", (IMAGE, spec(4, 5, 3, 3), None), {}, "w: expected 6 channels"),
    (
        "conv2d",
        (IMAGE, spec(4, 3, 3, 3), None),
        {"groups": 4},
        "groups: expected a divisor of x's 6",
    ),
    (
        "conv2d",
        (IMAGE, spec(5, 3, 3, 3), None),
        {"groups": 2},
        "groups: expected a divisor of w's 5",
    ),
    (
        "conv2d",
        (IMAGE, spec(4, 6, 3, 3), None),
        {"groups": 0},
        "groups: expected at least 1, got 0",
    ),
    ("conv2d", (IMAGE, spec(4, 6, 3, 3), spec(5)), {}, "bias: expected shape (4,), got (5,)"),
    ("conv2d", (IMAGE, spec(4, 6, 9, 9), None), {}, "at least the window's 9, got 8"),
    ("conv2d", (IMAGE, spec(4, 6, 0, 3), None), {}, "w: expected a kernel of at least 1x1"),
    ("conv2d", (IMAGE, spec(4, 6, 3, 3), None), {"strides": 0}, "strides: expected at least 1"),
    ("conv2d", (IMAGE, spec(4, 6, 3, 3), None), {"strides": 1.5}, "strides: expected"),
    (
        "conv2d",
        (IMAGE, spec(4, 6, 3, 3), None),
        {"pads": (1, 2, 3)},
        "pads: expected 4 entries, got 3",
    ),
    ("conv2d", (IMAGE, spec(4, 6, 3, 3), None), {"pads": -1}, "pads: expected at least 0, got -1"),
    ("conv2d", (IMAGE, spec(4, 6, 3, 3), None), {"pads": "full"}, "pads: expected 'same'"),
    ("conv2d", (IMAGE, spec(4, 6, 3, 3), None), {"pads": HUGE}, "at most 2**62 bytes"),
    (
        "conv_transpose2d",
        (IMAGE, spec(5, 4, 2, 2), None),
        {},
        "w: expected 6 channels as x has, got 5",
    ),
    ("conv_transpose2d", (IMAGE, spec(6, 4, 2, 2), None), {"pads": 9}, "pads: expected at most"),
    (
        "conv_transpose2d",
        (IMAGE, spec(6, 4, 2, 2), None),
        {"output_padding": 1},
        "output_padding: expected less than the stride",
    ),
    ("conv_transpose2d", (IMAGE, spec(6, 4, 2, 2), None), {"strides": HUGE}, "at most 2**62 bytes"),
    ("channel_shuffle", (IMAGE,), {"groups": 4}, "groups: expected a divisor of x's 6 channels"),
    ("channel_shuffle", (IMAGE,), {"groups": 0}, "groups: expected at least 1, got 0"),
    ("channel_shuffle", (spec(6),), {"groups": 2}, "x: expected channels along axis 1"),
    ("matmul", (spec(3, 4), spec(5, 6), None), {}, "b: expected 4 rows"),
    (
        "matmul",
        (spec(2, 3, 4), spec(3, 4, 5), None),
        {},
        "b: shape (3,) doesn't broadcast with a (2,)",
    ),
    ("matmul", (spec(3), spec(3, 5), None), {}, "a: expected at least 2 dimensions"),
    ("matmul", (spec(3, 4), spec(4, 6), spec(5)), {}, "bias: expected shape (6,)"),
    ("matmul", (spec(3, 4), spec(4, 6), None), {"alpha": "x"}, "alpha: expected a number"),
    ("matmul", (spec(3, 4), spec(4, 6), None), {"transpose_a": 2}, "transpose_a: expected True or"),
    ("matmul", (spec(HUGE, 1), spec(1, HUGE), None), {}, "at most 2**62 bytes"),
    ("linear", (spec(3, 4), spec(6, 5), None), {}, "w: expected 4 columns"),
    ("linear", (spec(3, 4), spec(4), None), {}, "w: expected 2 dimensions"),
    ("max_pool2d", (IMAGE,), {"kernel_shape": 9}, "at least the window's 9"),
    (
        "max_pool2d",
        (IMAGE,),
        {"kernel_shape": 2, "pads": 2},
        "pads: expected less than the window's",
    ),
    ("max_pool2d", (IMAGE,), {"kernel_shape": 0}, "kernel_shape: expected at least 1"),
    ("max_pool2d", (spec(1, 2, 0, 4),), {"kernel_shape": 1}, "x: expected pixels"),
    ("avg_pool2d", (spec(8, 8),), {"kernel_shape": 2}, "x: expected 4 dimensions"),
    (
        "avg_pool2d",
        (IMAGE,),
        {"kernel_shape": 2, "ceil_mode": 3},
        "ceil_mode: expected True or False",
    ),
    ("global_avg_pool2d", (spec(1, 2, 0, 3),), {}, "x: expected pixels"),
    ("batch_norm", (spec(5), *[spec(5)] * 4), {}, "x: expected at least 2 dimensions"),
    ("batch_norm", (IMAGE, spec(5), *[spec(6)] * 3), {}, "scale: expected shape (6,)"),
    ("batch_norm", (IMAGE, *[spec(6)] * 4), {"epsilon": -1.0}, "epsilon: expected at least 0"),
    ("layer_norm", (spec(2, 5), spec(4), None), {}, "scale: expected shape (5,)"),
    ("softmax", (spec(2, 5),), {"axis": 2}, "axis: expected an axis from -2 to 1, got 2"),
    ("softmax", (spec(),), {}, "axis: expected an axis"),
    ("add", (spec(2, 3), spec(2, 4)), {}, "b: shape (2, 4) doesn't broadcast"),
    ("add", (spec(HUGE, 1), spec(1, HUGE)), {}, "at most 2**62 bytes"),
    ("prelu", (spec(2, 3), spec(4, 2, 3)), {}, "slope: expected a shape that broadcasts"),
    ("clip", (spec(3),), {"minimum": float("nan")}, "minimum: expected a number, got NaN"),
    ("clip", (spec(3, dtype="int32"),), {"maximum": 0.5}, "maximum: expected a whole number"),
    ("gelu", (spec(3),), {"approximate": "erf"}, "approximate: expected 'none' or 'tanh'"),
    ("sum", (spec(2, 3),), {"axes": (0, 0)}, "axes: expected different axes"),
    ("sum", (spec(2, 3),), {"axes": 5}, "axes: expected an axis from -2 to 1"),
    ("argmax", (spec(2, 0),), {"axis": 1}, "x: expected elements along axis 1"),
    ("cumsum", (spec(2, 3),), {"axis": 2}, "axis: expected an axis from -2 to 1"),
    ("cumsum", (spec(3),), {"reverse": 2}, "reverse: expected True or False"),
    ("top_k", (spec(2, 3),), {"k": 4}, "k: expected at most 3, x's extent along axis 1, got 4"),
    ("top_k", (spec(2, 3),), {"k": -1}, "k: expected at least 0"),
    ("top_k", (spec(2, 3),), {"k": 1.5}, "k: expected an integer"),
    ("top_k", (spec(),), {"k": 1}, "axis: expected an axis"),
    ("concat", (spec(2, 3), spec(2, 4)), {"axis": 0}, "xs[1]: expected xs[0]'s shape (2, 3)"),
    ("concat", (), {"axis": 0}, "xs: expected one or more arrays"),
    ("split", (spec(1025),), {"sizes": 1025}, "sizes: expected at most 1024 arrays, got 1025"),
    ("concat", (spec(1),) * 1025, {"axis": 0}, "xs: expected at most 1024 arrays, got 1025"),
    ("split", (spec(5),), {"sizes": (2, 2)}, "sizes: expected numbers that add up to 5"),
    (
        "slice",
        (spec(5),),
        {"starts": (0,), "ends": (5,), "steps": (0,)},
        "steps: expected other than 0",
    ),
    ("slice", (spec(5),), {"starts": (0,), "ends": (5, 6)}, "ends: expected 1 entries"),
    ("slice", (spec(5),), {"starts": (0, 0), "ends": (5, 5), "axes": (0, -1)}, "different axes"),
    ("pad", (spec(5),), {"pads": (1,)}, "pads: expected 2 entries"),
    ("pad", (spec(5),), {"pads": (1, 1), "mode": "mirror"}, "mode: expected 'constant'"),
    ("pad", (spec(0),), {"pads": (1, 1), "mode": "edge"}, "x: expected elements along axis 0"),
    (
        "pad",
        (spec(5, dtype="uint8"),),
        {"pads": (1, 1), "value": -1},
        "value: expected a value of uint8",
    ),
    ("transpose", (spec(2, 3),), {"permutation": (0, 0)}, "permutation: expected each"),
    ("reshape", (spec(2, 3),), {"shape": (4, -1)}, "shape: expected extents that divide"),
    ("reshape", (spec(2, 3),), {"shape": (-1, -1)}, "shape: expected -1 at most once"),
    ("reshape", (spec(2, 3),), {"shape": (5,)}, "shape: expected 6 elements"),
    ("reshape", (spec(2, 3),), {"shape": (2, 3, 0)}, "shape: expected no 0 beyond"),
    ("expand", (spec(2, 3),), {"shape": (4,)}, "doesn't broadcast"),
    ("gather", (spec(0, 3), spec(2, dtype="int64")), {}, "x: expected elements along axis 0"),
    (
        "gather_elements",
        (spec(0, 3), spec(2, 3, dtype="int64")),
        {},
        "x: expected elements along axis 0",
    ),
    (
        "gather_elements",
        (spec(2, 3), spec(2, dtype="int64")),
        {},
        "indices: expected 2 dimensions, got 1",
    ),
    (
        "gather_elements",
        (spec(2, 3), spec(1, 4, dtype="int64")),
        {},
        "indices: expected at most x's extents (2, 3) but for axis 0",
    ),
    ("gather_nd", (spec(2, 3), INDICES), {"batch_dims": 2}, "x: expected at least 3 dimensions"),
    ("gather_nd", (spec(5, 3), INDICES), {"batch_dims": -1}, "batch_dims: expected at least 0"),
    ("gather_nd", (spec(3), INDICES), {}, "indices: expected a last axis of 1 to 1 indices"),
    (
        "gather_nd",
        (spec(5, 3, 3), INDICES),
        {"batch_dims": 1},
        "indices: expected x's first extents (5,), got shape (4, 2)",
    ),
    ("gather_nd", (spec(2, 0), INDICES), {}, "x: expected elements along the axes that"),
    ("scatter_nd", (spec(2, 3), INDICES, spec(3)), {}, "updates: expected shape (4,), got (3,)"),
    (
        "scatter_nd",
        (spec(2, 3), INDICES, spec(4)),
        {"reduction": "sum"},
        "reduction: expected 'none' or 'add'",
    ),
    (
        "scatter_elements",
        (spec(2, 3), spec(1, 2, dtype="int64"), spec(2, 2)),
        {},
        "updates: expected shape (1, 2), got (2, 2)",
    ),
    ("resize", (IMAGE,), {}, "sizes: expected sizes or scales"),
    ("resize", (IMAGE,), {"sizes": (1, 2)}, "sizes: expected a number for each of x's 4 axes"),
    ("resize", (IMAGE,), {"scales": (1.0, 1.0, 0.0, 1.0)}, "scales: expected numbers above 0"),
    ("resize", (IMAGE,), {"sizes": (1, 6, 4, 4), "mode": "area"}, "mode: expected 'nearest'"),
    ("resize", (IMAGE,), {"sizes": (1, 6, HUGE, HUGE)}, "at most 2**62 bytes"),
    ("grid_sample", (spec(1, 2, 3, 4, 5), spec(1, 3, 3, 3, 3)), {}, "x: expected 4 dimensions"),
    ("grid_sample", (IMAGE, spec(3, 2)), {}, "grid: expected 4 dimensions"),
    ("grid_sample", (spec(2, 3, 4, 4), spec(1, 3, 3, 2)), {}, "grid: expected shape (2, height,"),
    ("grid_sample", (spec(2, 3, 4, 4), spec(2, 3, 3, 3)), {}, "grid: expected shape (2, height,"),
    ("grid_sample", (spec(2, 3, 0, 4), spec(2, 3, 3, 2)), {}, "x: expected a height and a width"),
    (
        "grid_sample",
        (spec(2, 3, 4, 4), spec(2, 3, 3, 2)),
        {"mode": "bilinear"},
        "mode: expected 'nearest' or 'linear' or 'cubic'",
    ),
    ("lrn", (IMAGE,), {"size": 0}, "size: expected at least 1"),
]


@pytest.mark.parametrize(("name", "specs", "attributes", "text"), WRONG)
def test_wrong_arguments_are_named(name, specs, attributes, text):
    operator = operators()[name]
    with pytest.raises(InvalidArgument) as caught:
        operator.infer(specs, {**operator.attributes, **attributes})
    assert str(caught.value).startswith(f"{name}: ")
    assert text in str(caught.value)


DIFFERENT = [
    ("conv2d", (IMAGE, spec(4, 6, 3, 3, dtype="float64"), None), {}, "w: expected dtype float32"),
    ("add", (spec(3), spec(3, dtype="int32")), {}, "b: expected dtype float32 as a has, got int32"),
    ("where", (spec(3), spec(3), spec(3)), {}, "condition: expected dtype bool, got float32"),
    ("gather", (spec(3), spec(2)), {}, "indices: expected dtype int64 or int32, got float32"),
    (
        "grid_sample",
        (spec(2, 3, 4, 4), spec(2, 3, 3, 2, dtype="float64")),
        {},
        "grid: expected dtype float32 as x has, got float64",
    ),
    ("gather_elements", (spec(3), spec(2)), {}, "indices: expected dtype int64 or int32"),
    (
        "scatter_nd",
        (spec(2, 3), INDICES, spec(4, dtype="int32")),
        {},
        "updates: expected dtype float32 as x has, got int32",
    ),
    (
        "scatter_nd",
        (spec(2, 3, dtype="bool"), INDICES, spec(4, dtype="bool")),
        {"reduction": "max"},
        "x: expected numbers for reduction 'max', got bool",
    ),
    ("cast", (spec(3),), {"dtype": "complex64"}, "dtype: expected one of"),
    ("cast", (spec(3),), {"dtype": object()}, "dtype: expected one of"),
    ("matmul", (spec(2, 2, dtype="int32"),) * 2 + (None,), {"alpha": 0.5}, "alpha: expected 1"),
]


@pytest.mark.parametrize(("name", "specs", "attributes", "text"), DIFFERENT)
def test_wrong_dtypes_are_named(name, specs, attributes, text):
    operator = operators()[name]
    with pytest.raises(UnsupportedDtype) as caught:
        operator.infer(specs, {**operator.attributes, **attributes})
    assert text in str(caught.value)


@pytest.mark.parametrize("name", functions())
def test_signature_follows_the_schema(name):
    operator, parameters = operators()[name], inspect.signature(functions()[name]).parameters
    for declared in operator.inputs:
        assert (parameters[declared.name].default is None) == declared.optional
    for key, default in operator.attributes.items():
        wanted = inspect.Parameter.empty if default is REQUIRED else default
        assert parameters[key].default == wanted
    extra = {"activation"} if operator.epilogue else set()
    extra |= {"residual"} if set(OPERANDS) & set(operator.epilogue) else set()
    names = {i.name for i in operator.inputs} | set(operator.attributes) | extra | {"out"}
    assert set(parameters) == names
    assert parameters["out"].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("name", functions())
def test_documentation_is_whole(name):
    text = inspect.getdoc(functions()[name])
    for section in ("Parameters", "Returns", "Raises"):
        assert f"\n{section}\n-" in text or name == "relu"
    for parameter in inspect.signature(functions()[name]).parameters:
        assert parameter in text.partition("Parameters")[2]


def _wide(array):
    return array if array is None or array.dtype.kind in "iub" else array.astype(np.float64)


@pytest.mark.parametrize("name", operators())
def test_inference_reference_and_magnitude_agree(name):
    operator = operators()[name]
    labels = []
    for case in itertools.islice(operator.cases(np.random.default_rng(3)), 120):
        question = ask(operator, case, operator.dtypes[0], "cpu", 5)
        own = [_wide(a) for a in question.arrays[: question.problem.num_operator_inputs]]
        own, attributes = reference_arguments(question.problem, own)
        results = operator.reference(own, attributes)
        shapes = [spec.shape for spec in question.problem.outputs]
        assert [r.shape for r in results] == shapes, case.label
        with np.errstate(all="ignore"):
            magnitudes = operator.magnitude(own, attributes, results)
        assert [np.shape(m) for m in magnitudes] == shapes, case.label
        assert not any((m < 0).any() for m in magnitudes), case.label
        assert hash(question.problem) == hash(question.problem)
        labels.append(case.label)
    assert "random" in labels or len(labels) == 120


@pytest.mark.parametrize(
    ("a", "b", "shape"),
    [((4,), (4, 3), (3,)), ((2, 4), (4,), (2,)), ((4,), (4,), ()), ((5, 2, 4), (4,), (5, 2))],
)
def test_matmul_takes_vectors(a, b, shape):
    x, y = np.arange(np.prod(a), dtype=np.float32).reshape(a), np.ones(b, np.float32)
    got = functions()["matmul"](x, y)
    assert got.shape == shape
    np.testing.assert_allclose(got, x @ y)


def test_negative_padding_crops():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    got = functions()["pad"](x, (-1, 1, 0, -2), value=9.0)
    np.testing.assert_array_equal(got, np.pad(x[1:, :2], ((0, 0), (1, 0)), constant_values=9.0))
    with pytest.raises(InvalidArgument, match="cut off at most"):
        functions()["pad"](x, (-2, 0, -2, 0))


def test_split_into_a_number_of_parts():
    parts = functions()["split"](np.arange(7, dtype=np.float32), 3)
    assert [p.tolist() for p in parts] == [[0, 1, 2], [3, 4, 5], [6]]


def test_reshape_keeps_empty_extents():
    assert functions()["reshape"](np.zeros((0, 6), np.float32), (0, 2, -1)).shape == (0, 2, 3)
