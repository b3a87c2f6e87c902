import re
from pathlib import Path

import numpy as np
import pytest

from bench.case import cases_of, shape_sets
from bench.check import check, expect
from bench.errors import CaseError, WrongResult
from bench.quantized import PRODUCTS
from dispatch.errors import InvalidArgument
from dispatch.layouts import from_layout, to_layout
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.quantized import reference_arguments
from dispatch.tensor import TensorSpec
from dispatch.tuning.values import arrays_of

SETS = [(name, operator) for name, ops in shape_sets().items() for operator in ops]


@pytest.mark.parametrize(("name", "operator"), SETS)
def test_every_set_makes_problems(name: str, operator: str) -> None:
    cases = cases_of(operator, name, "u8" if operator in PRODUCTS else "float32")
    assert cases
    assert len({c.name for c in cases}) == len(cases)
    assert all(operators()[operator].bytes_moved(c.problem) > 0 for c in cases)


@pytest.mark.parametrize(
    ("name", "convolutions", "gigaflops"),
    [
        ("resnet50", 53, 8.2),
        ("mobilenet_v2", 52, 0.6),
        ("vgg19", 16, 39.0),
        ("squeezenet", 26, 0.7),
    ],
)
def test_the_models_have_their_convolutions(name: str, convolutions: int, gigaflops: float) -> None:
    cases = cases_of("conv2d", name)
    flops = operators()["conv2d"].flops
    assert sum(c.count for c in cases) == convolutions
    total = sum(c.count * flops(c.problem) for c in cases) / 1e9
    assert total == pytest.approx(gigaflops, rel=0.05)


def test_resnet_as_products_costs_the_same() -> None:
    totals = [
        sum(c.count * operators()[op].flops(c.problem) for c in cases_of(op, "resnet50"))
        for op in ("conv2d", "matmul")
    ]
    assert totals[0] == pytest.approx(totals[1])


def test_arrays_are_the_same_for_the_same_seed() -> None:
    problem = cases_of("conv2d", "tiny")[0].problem
    first, again, other = arrays_of(problem, 1), arrays_of(problem, 1), arrays_of(problem, 2)
    for a, b, c in zip(first, again, other, strict=True):
        assert a is not None
        assert b is not None
        assert c is not None
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)


def test_a_set_may_be_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[conv2d]\nconstant = ["w"]\nlayers = [{ count = 3, x = [2, 4, 6, 6], '
        'w = [8, 4, 3, 3], residual = true, activation = ["clip", 0.0, 6.0] }]\n'
    )
    (case,) = cases_of("conv2d", str(path), "bf16")
    assert case.count == 3
    assert [s.name for s in case.problem.epilogue] == ["add", "clip"]
    assert case.problem.dtype == "bfloat16"
    weights = case.problem.inputs[1]
    assert weights is not None
    assert weights.constant


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("conv3d", "resnet50"), "op: expected one of"),
        (("conv2d", "resnet51"), "shapes: expected one of"),
        (("conv2d", "elementwise"), "none of conv2d"),
        (("conv2d", "resnet50", "f33"), "dtype: expected one of"),
    ],
)
def test_what_there_is_not_is_named(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CaseError, match=words):
        cases_of(*arguments)


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        ("x = [1, 4, 6, 6], w = [8, 4, 3, 3], stride = 2", CaseError, "has no stride"),
        ("x = [1, 4, 6, 6], w = [8, 5, 3, 3]", InvalidArgument, "channels"),
        ("x = [1, 4, 6, 6", CaseError, "expected TOML"),
    ],
)
def test_a_wrong_layer_is_named(
    tmp_path: Path, layer: str, error: type[Exception], words: str
) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[conv2d]\nlayers = [{{ {layer} }}]\n")
    with pytest.raises(error, match=words):
        cases_of("conv2d", str(path))


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "nChw16c", "nChw8c"])
@pytest.mark.parametrize("channels", [3, 16, 20])
def test_layouts_turn_back(layout: str, channels: int) -> None:
    array = np.random.default_rng(0).random((2, channels, 4, 5), np.float32)
    spec = TensorSpec("float32", array.shape, layout)
    stored = to_layout(array, spec)
    assert stored.nbytes == spec.nbytes
    np.testing.assert_array_equal(from_layout(stored.reshape(-1), spec), array)


def test_blocked_layouts_keep_channels_together_and_fill_with_zeros() -> None:
    array = np.arange(2 * 20 * 3 * 3, dtype=np.float32).reshape(2, 20, 3, 3) + 1
    stored = to_layout(array, TensorSpec("float32", array.shape, "nChw16c"))
    np.testing.assert_array_equal(stored[1, 0, 2, 1], array[1, :16, 2, 1])
    np.testing.assert_array_equal(stored[1, 1, 2, 1, :4], array[1, 16:, 2, 1])
    assert not stored[1, 1, 2, 1, 4:].any()


@pytest.fixture(params=["conv2d", "matmul", "relu", "max_pool2d"])
def checked(request: pytest.FixtureRequest):
    problem = cases_of(request.param, "tiny")[0].problem
    expected = expect(problem, arrays_of(problem))
    return problem, expected, [y.astype(np.float32) for y in expected.outputs]


def test_a_right_result_passes(checked) -> None:
    problem, expected, outputs = checked
    assert check("e", problem, outputs, expected) < 1


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e3])
def test_one_wrong_element_is_found(checked, value: float) -> None:
    problem, expected, outputs = checked
    outputs[0].reshape(-1)[5] += value
    where = tuple(map(int, np.unravel_index(5, outputs[0].shape)))
    with pytest.raises(WrongResult, match=re.escape(f"wrong at {where}: expected")):
        check("e", problem, outputs, expected)


def test_infinity_and_nan_are_right_where_they_are_expected_alone() -> None:
    spec = TensorSpec("float32", (3,))
    problem = Problem("log", (spec,), (spec,))
    x = np.array([0.0, -1.0, 1.0], np.float32)
    expected = expect(problem, [x])
    right = np.array([-np.inf, np.nan, 0.0], np.float32)
    assert check("e", problem, [right], expected) == 0
    for wrong in ([np.inf, np.nan, 0], [-np.inf, 0, 0], [-np.inf, np.nan, np.nan]):
        with pytest.raises(WrongResult):
            check("e", problem, [np.array(wrong, np.float32)], expected)


def test_a_slightly_wrong_convolution_is_found() -> None:
    problem = cases_of("conv2d", "tiny")[0].problem
    arrays = arrays_of(problem)
    expected = expect(problem, arrays)
    bias = arrays[2]
    assert bias is not None
    arrays[2] = bias + np.float32(1e-3)
    shifted = expect(problem, arrays).outputs[0].astype(np.float32)
    with pytest.raises(WrongResult):
        check("e", problem, [shifted], expected)


def test_another_shape_is_wrong(checked) -> None:
    problem, expected, outputs = checked
    with pytest.raises(WrongResult, match="shape"):
        check("e", problem, [outputs[0].reshape(-1)], expected)
    with pytest.raises(WrongResult, match="outputs"):
        check("e", problem, [], expected)


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_quantised_convolutions_are_the_plain_ones_without_what_they_cant_fuse(dtype):
    plain, quantized = cases_of("conv2d", "resnet50"), cases_of("qconv2d", "resnet50", dtype)
    assert [c.count for c in quantized] == [c.count for c in plain]
    for case, like in zip(quantized, plain, strict=True):
        x, w, bias = case.problem.inputs
        assert [t.shape for t in (x, w, bias)] == [t.shape for t in like.problem.inputs[:3]]
        assert (w.dtype, bias.dtype, w.quantization.axis) == ("int8", "int32", 0)
        assert x.dtype == case.problem.outputs[0].dtype == {"u8": "uint8", "i8": "int8"}[dtype]
        assert [s.name for s in case.problem.epilogue] == [
            s.name for s in like.problem.epilogue if s.name in ("relu", "clip")
        ]


def test_a_quantised_result_uses_most_of_its_range():
    case = next(c for c in cases_of("qconv2d", "tiny", "u8") if not c.problem.epilogue)
    operator = operators()["qconv2d"]
    given, attributes = reference_arguments(case.problem, arrays_of(case.problem))
    (stored,) = operator.reference(given, attributes)
    assert len(np.unique(stored)) > 40


def test_a_plain_dtype_of_a_quantised_product_is_an_error():
    with pytest.raises(CaseError, match="expects u8 or i8, got 'float32'"):
        cases_of("qconv2d", "resnet50")


def test_quantised_products_have_constant_second_matrices():
    plain, quantized = cases_of("matmul", "resnet50"), cases_of("qmatmul", "resnet50", "u8")
    for case, like in zip(quantized, plain, strict=True):
        (a, b), (y,) = case.problem.inputs[:2], case.problem.outputs
        first, second = like.problem.inputs[:2]
        assert (a.constant, b.constant) == (False, True)
        assert (a.shape, b.shape) == (second.shape[::-1], first.shape[::-1])
        assert y.shape == like.problem.outputs[0].shape[::-1]
