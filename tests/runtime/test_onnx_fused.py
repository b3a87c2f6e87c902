"""What ONNX Runtime's optimisers write: each operator beside that library, whole graphs too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import runtime
from runtime.errors import ModelError

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

RNG = np.random.default_rng(5)
B, S, N, D = 2, 5, 3, 8
H = N * D


def f32(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def u8(*shape: int) -> Any:
    return RNG.integers(0, 256, shape).astype(np.uint8)


def model(
    operator: str,
    inputs: list[Any],
    constants: dict[int, Any],
    outputs: tuple[str, ...],
    attributes: dict[str, Any],
    domain: str = "com.microsoft",
) -> Any:
    """Return a model of one node; a place of its inputs is an example, a constant or empty."""
    names = [f"i{n}" if x is not None or n in constants else "" for n, x in enumerate(inputs)]
    node = helper.make_node(operator, names, list(outputs), domain=domain, **attributes)
    values = [
        helper.make_tensor_value_info(f"i{n}", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in enumerate(inputs)
        if x is not None
    ]
    held = [numpy_helper.from_array(x, f"i{n}") for n, x in constants.items()]
    results = [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs if o]
    if operator == "EmbedLayerNormalization":
        results[1:2] = [helper.make_tensor_value_info(outputs[1], TensorProto.INT32, None)]
    graph = helper.make_graph([node], "fused", values, results, held)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def feeds(inputs: list[Any]) -> dict[str, Any]:
    return {f"i{n}": x for n, x in enumerate(inputs) if x is not None}


def mask_of(*lengths: int) -> Any:
    return (np.arange(S) < np.array(lengths)[:, None]).astype(np.int32)


IMAGE, FILTERS = f32(2, 4, 6, 6), f32(4, 4, 3, 3)
RANKS = f32(B, S, H)
WEIGHTS, BIAS = f32(H, 3 * H) / 4, f32(3 * H)
HEADS = {"num_heads": N}
ANGLES = RNG.uniform(-3, 3, (9, D // 2)).astype(np.float32)
Y = ("y",)

CASES: dict[str, tuple[str, list[Any], dict[int, Any], tuple[str, ...], dict[str, Any]]] = {
    "conv": ("FusedConv", [IMAGE], {1: FILTERS}, Y, {"activation": "Relu", "pads": [1] * 4}),
    "conv residual": (
        "FusedConv", [IMAGE, None, None, IMAGE], {1: FILTERS, 2: f32(4)}, Y,
        {"activation": "Relu", "pads": [1] * 4},
    ),
    "conv clip": (
        "FusedConv", [IMAGE], {1: FILTERS}, Y,
        {"activation": "Clip", "activation_params": [-0.5, 0.75]},
    ),
    "conv leaky": (
        "FusedConv", [IMAGE], {1: FILTERS}, Y,
        {"activation": "LeakyRelu", "activation_params": [0.2]},
    ),
    "conv hard sigmoid": (
        "FusedConv", [IMAGE], {1: FILTERS}, Y,
        {"activation": "HardSigmoid", "activation_params": [0.3, 0.4]},
    ),
    "gemm": (
        "FusedGemm", [f32(5, 7)], {1: f32(6, 7), 2: f32(6)}, Y,
        {"activation": "LeakyRelu", "activation_alpha": 0.3, "transB": 1},
    ),
    "matmul": ("FusedMatMul", [f32(2, 7, 5), f32(2, 6, 7)], {}, Y,
               {"transA": 1, "transB": 1, "alpha": 0.25}),
    "matmul batches": ("FusedMatMul", [f32(5, 2, 3, 7), f32(6, 2, 3, 7)], {}, Y,
                       {"transBatchA": 1, "transBatchB": 1, "transB": 1}),
    "matmul batches and rows": ("FusedMatMul", [f32(7, 2, 5), f32(2, 7, 6)], {}, Y,
                                {"transBatchA": 1, "transA": 1}),
    "gelu": ("Gelu", [f32(3, 9)], {}, Y, {}),
    "bias gelu": ("BiasGelu", [f32(3, 9)], {1: f32(9)}, Y, {}),
    "fast gelu": ("FastGelu", [f32(3, 9)], {}, Y, {}),
    "fast gelu of a sum": ("FastGelu", [f32(3, 9)], {1: f32(9)}, Y, {}),
    "quick gelu": ("QuickGelu", [f32(3, 9)], {}, Y, {}),
    "silu": ("QuickGelu", [f32(3, 9)], {}, Y, {"alpha": 1.0}),
    "skip": ("SkipLayerNormalization", [RANKS, f32(B, S, H)], {2: f32(H), 3: f32(H)}, Y, {}),
    "skip of all": (
        "SkipLayerNormalization", [RANKS, f32(1, S, H)], {2: f32(H), 3: f32(H), 4: f32(H)},
        ("y", "", "", "sum"), {"epsilon": 1e-3},
    ),
    "skip, root": (
        "SkipSimplifiedLayerNormalization", [RANKS, f32(B, S, H)], {2: f32(H), 3: f32(H)},
        ("y", "", "", "sum"), {"epsilon": 1e-3},
    ),
    "embeddings": (
        "EmbedLayerNormalization",
        [RNG.integers(0, 11, (B, S)).astype(np.int32), RNG.integers(0, 2, (B, S)).astype(np.int32),
         None, None, None, None, None, mask_of(3, 5)],
        {2: f32(11, H), 3: f32(9, H), 4: f32(2, H), 5: f32(H), 6: f32(H)}, ("y", "lengths"), {},
    ),
    "embeddings of words alone": (
        "EmbedLayerNormalization", [RNG.integers(0, 11, (B, S)).astype(np.int32)],
        {2: f32(11, H), 3: f32(9, H), 5: f32(H), 6: f32(H)}, ("y", "lengths"), {},
    ),
    "attention": ("Attention", [RANKS], {1: WEIGHTS, 2: BIAS}, Y, HEADS),
    "attention causal": (
        "Attention", [RANKS], {1: WEIGHTS, 2: BIAS}, Y, {**HEADS, "unidirectional": 1},
    ),
    "attention scaled": ("Attention", [RANKS], {1: WEIGHTS, 2: BIAS}, Y, {**HEADS, "scale": 0.5}),
    "attention mask": ("Attention", [RANKS, None, None, mask_of(2, 5)], {1: WEIGHTS, 2: BIAS}, Y,
                       HEADS),
    "attention masks": (
        "Attention",
        [RANKS, None, None, RNG.integers(0, 2, (B, S, S)).astype(np.int32) | np.eye(S, dtype="i4")],
        {1: WEIGHTS, 2: BIAS}, Y, {**HEADS, "mask_filter_value": -3.0},
    ),
    "attention lengths": ("Attention", [RANKS, None, None, np.array([2, 4], np.int32)],
                          {1: WEIGHTS, 2: BIAS}, Y, HEADS),
    "attention past": (
        "Attention", [RANKS, None, None, None, f32(2, B, N, 4, D)], {1: WEIGHTS, 2: BIAS},
        ("y", "present"), {**HEADS, "unidirectional": 1},
    ),
    "attention biased": (
        "Attention", [RANKS, None, None, None, None, f32(1, N, S, S)], {1: WEIGHTS, 2: BIAS}, Y,
        HEADS,
    ),
    "attention of two sizes": (
        "Attention", [RANKS], {1: f32(H, 2 * 12 + 6), 2: f32(30)}, Y,
        {**HEADS, "qkv_hidden_sizes": [12, 12, 6]},
    ),
    "heads": ("MultiHeadAttention", [RANKS, f32(B, 7, H), f32(B, 7, H)], {}, Y, HEADS),
    "heads biased": (
        "MultiHeadAttention", [RANKS, f32(B, 7, H), f32(B, 7, H)], {3: f32(3 * H)}, Y, HEADS,
    ),
    "heads of two sizes": (
        "MultiHeadAttention", [RANKS, f32(B, 7, H), f32(B, 7, 2 * H)], {3: f32(4 * H)}, Y, HEADS,
    ),
    "heads mask": (
        "MultiHeadAttention", [RANKS, f32(B, S, H), f32(B, S, H), None, mask_of(5, 1)], {}, Y,
        HEADS,
    ),
    "heads apart": (
        "MultiHeadAttention", [RANKS, f32(B, N, 7, D), f32(B, N, 7, D)], {}, Y, HEADS,
    ),
    "heads past": (
        "MultiHeadAttention",
        [RANKS, f32(B, S, H), f32(B, S, H), None, None, f32(B, N, S, S + 3), f32(B, N, 3, D),
         f32(B, N, 3, D)],
        {}, ("y", "keys", "values"), HEADS,
    ),
    "rotary": (
        "RotaryEmbedding", [RANKS, RNG.integers(0, 9, (B, S))],
        {2: np.cos(ANGLES), 3: np.sin(ANGLES)}, Y, {},
    ),
    "rotary from a place": (
        "RotaryEmbedding", [f32(B, N, S, D), np.array([2], np.int64)],
        {2: np.cos(ANGLES), 3: np.sin(ANGLES)}, Y, {},
    ),
    "rotary of neighbours": (
        "RotaryEmbedding", [RANKS, RNG.integers(0, 9, (B, S))],
        {2: np.cos(ANGLES), 3: np.sin(ANGLES)}, Y, {"interleaved": 1},
    ),
    "rotary of a part": (
        "RotaryEmbedding", [RANKS, RNG.integers(0, 9, (B, S))],
        {2: np.cos(ANGLES[:, :2]), 3: np.sin(ANGLES[:, :2])}, Y,
        {"num_heads": N, "rotary_embedding_dim": 4},
    ),
    "dynamic": (
        "DynamicQuantizeMatMul", [f32(3, 5, 16)],
        {1: u8(16, 6), 2: np.float32([0.02]), 3: np.uint8([119]), 4: f32(6)}, Y, {},
    ),
    "dynamic columns": (
        "DynamicQuantizeMatMul", [f32(3, 16)],
        {1: u8(16, 6), 2: RNG.uniform(0.01, 0.02, 6).astype("f4"), 3: u8(6)}, Y, {},
    ),
    "integers": (
        "MatMulIntegerToFloat", [u8(3, 16)],
        {1: u8(16, 6), 2: np.float32(0.1), 3: np.float32(0.02), 4: np.uint8(7), 5: np.uint8(119),
         6: f32(6)}, Y, {},
    ),
}  # fmt: skip


def theirs(made: Any, given: dict[str, Any]) -> list[Any]:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(made.SerializeToString(), options)
    return session.run(None, given)


@pytest.mark.parametrize("case", CASES)
def test_means_what_it_means_there(case: str) -> None:
    operator, inputs, constants, outputs, attributes = CASES[case]
    inputs = [*inputs, *[None] * (max([*constants, 0]) + 1 - len(inputs))]
    made = model(operator, inputs, constants, outputs, attributes)
    given = feeds(inputs)
    expected = theirs(made, given)
    results = runtime.from_onnx(made).compile()(*given.values())
    results = results if isinstance(results, tuple) else (results,)
    assert len(results) == len(expected)
    for ours, other in zip(results, expected, strict=True):
        assert ours.dtype == other.dtype
        assert ours.shape == other.shape
        np.testing.assert_allclose(ours, other, rtol=2e-5, atol=2e-5)


def test_an_older_name_of_a_normalisation_gives_what_it_multiplied_by() -> None:
    scale = f32(H)
    made = model("SimplifiedLayerNormalization", [RANKS, None], {1: scale}, ("y", "by"), {}, "")
    y, by = runtime.from_onnx(made).compile()(RANKS)
    expected = 1 / np.sqrt(np.mean(np.square(RANKS, dtype="f8"), -1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(by, expected, rtol=1e-5)
    np.testing.assert_allclose(y, RANKS * expected * scale, rtol=1e-5, atol=1e-6)


RESIZED = {B: ("batch", 3), S: ("length", 6)}
"""Extents of the cases' inputs, their names where they may change, and what they change to."""


def resized(x: Any) -> Any:
    """Return other elements of the same kind, some extents larger."""
    shape = [RESIZED[n][1] if n in RESIZED else n for n in x.shape]
    return np.resize(x[::-1], shape)


@pytest.mark.parametrize(
    "case",
    [
        "skip", "embeddings", "embeddings of words alone", "attention", "attention causal",
        "attention mask", "attention masks", "attention lengths", "attention biased", "heads",
        "heads mask", "heads apart", "rotary", "rotary from a place", "rotary of neighbours",
    ],
)  # fmt: skip
def test_extents_may_change(case: str) -> None:
    operator, inputs, constants, outputs, attributes = CASES[case]
    inputs = [*inputs, *[None] * (max([*constants, 0]) + 1 - len(inputs))]
    made = model(operator, inputs, constants, outputs, attributes)
    for value in made.graph.input:
        for extent in value.type.tensor_type.shape.dim:
            if extent.dim_value in RESIZED:
                extent.dim_param = RESIZED[extent.dim_value][0]
    replay = runtime.from_onnx(made).compile()
    for given in (feeds(inputs), {n: resized(x) for n, x in feeds(inputs).items()}):
        results = replay(*given.values())
        results = results if isinstance(results, tuple) else (results,)
        for ours, other in zip(results, theirs(made, given), strict=True):
            np.testing.assert_allclose(ours, other, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("operator", "inputs", "constants", "attributes", "reason"),
    [
        ("FusedConv", [IMAGE], {1: FILTERS}, {"activation": "Mish"}, "activation: expected one of"),
        ("FusedConv", [IMAGE], {1: FILTERS}, {"activation": "Clip"}, "expected 2 parameters"),
        ("FusedMatMul", [f32(3), f32(3, 4)], {}, {}, "expected matrices"),
        ("Attention", [RANKS], {1: WEIGHTS}, {"num_heads": 0}, "at least 1, got 0"),
        ("Attention", [RANKS], {1: WEIGHTS}, {"num_heads": 5}, "a multiple of 5 heads"),
        ("Attention", [RANKS], {1: WEIGHTS}, {**HEADS, "do_rotary": 1}, "expected no rotation"),
        ("Attention", [RANKS], {1: WEIGHTS}, {**HEADS, "qkv_hidden_sizes": [8, 8, 8]},
         r"three parts of 72, got \(8, 8, 8\)"),
        ("Attention", [RANKS, None, None, np.ones(2 * B, "i4")], {1: WEIGHTS, 2: BIAS}, HEADS,
         "beginnings aren't served"),
        ("Attention", [RANKS, None, None, np.ones((B, 1, 9, 9), "i4")], {1: WEIGHTS, 2: BIAS},
         HEADS, r"a mask \[B, T\] or \[B, S, T\], got"),
        ("MultiHeadAttention", [f32(B, S, N, 3, D)], {}, HEADS, "got packed ones"),
        ("MultiHeadAttention", [RANKS, RANKS, RANKS], {}, {"num_heads": 0}, "at least 1, got 0"),
        ("RotaryEmbedding", [RANKS, np.zeros((B, S), "i8")], {2: ANGLES, 3: ANGLES},
         {"scale": 2.0}, "a scale of 1"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused(operator, inputs, constants, attributes, reason) -> None:
    inputs = [*inputs, *[None] * (max([*constants, 0]) + 1 - len(inputs))]
    made = model(operator, inputs, constants, Y, attributes)
    with pytest.raises(ModelError, match=reason):
        runtime.from_onnx(made)
