"""Functions that are composed of others at import: near zero, near one, where they overflow."""

from __future__ import annotations

import numpy as np
import pytest

import runtime

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402

RNG = np.random.default_rng(2)
SMALL = 10.0 ** RNG.uniform(-35, 0, 400)
LARGE = 10.0 ** RNG.uniform(0, 38, 400)
WITHIN = np.concatenate([SMALL, RNG.uniform(0, 1, 400), 1 - SMALL, [0.0, 1.0]])
BEYOND = np.concatenate([1 + SMALL, LARGE, [1.0, 2.0, 3.4e38, np.inf]])
EXPONENTS = np.concatenate([SMALL, RNG.uniform(0, 89.4, 400), [0.0, 89.41, 90.0, np.inf]])


def both_signs(x: np.ndarray) -> np.ndarray:
    return np.concatenate([x, -x, [np.nan]])


FUNCTIONS = {
    "Acos": (np.arccos, both_signs(WITHIN)),
    "Acosh": (np.arccosh, BEYOND),
    "Asin": (np.arcsin, both_signs(WITHIN)),
    "Asinh": (np.arcsinh, both_signs(np.concatenate([WITHIN, BEYOND]))),
    "Atanh": (np.arctanh, both_signs(WITHIN)),
    "Cosh": (np.cosh, both_signs(EXPONENTS)),
    "Sinh": (np.sinh, both_signs(EXPONENTS)),
}


@pytest.mark.parametrize("operator", FUNCTIONS)
def test_functions_lose_nothing(operator: str) -> None:
    function, numbers = FUNCTIONS[operator]
    x = numbers.astype(np.float32)
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "g", [value], [result])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    (y,) = runtime.from_onnx(made).compile()(x)
    with np.errstate(all="ignore"):
        expected = function(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(y, expected, rtol=2e-6, atol=1e-38)
