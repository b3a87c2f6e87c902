"""Problems: JSON there and back, and the C reader's agreement."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dispatch
from dispatch.dtypes import SHORT_NAMES
from dispatch.native import parse_problem
from dispatch.tensor import Quantization, TensorSpec

DTYPES = st.sampled_from(list(SHORT_NAMES))
EXTENTS = st.integers(0, 9)


@st.composite
def tensors(draw, constant: bool | None = None) -> TensorSpec:
    layout = draw(st.sampled_from(["nchw", "nhwc", "nChw16c", "nChw8c", "any"]))
    rank = 4 if layout not in ("nchw", "any") else draw(st.integers(0, 5))
    quantization = None
    if draw(st.booleans()):
        quantization = Quantization((0.5,), (draw(st.integers(-128, 255)),))
    return TensorSpec(
        draw(DTYPES),
        tuple(draw(EXTENTS) for _ in range(rank)),
        layout,
        draw(st.booleans()) if constant is None else constant,
        quantization,
    )


ATTRIBUTES = st.dictionaries(
    st.text("abcdefghij_", min_size=1, max_size=8),
    st.one_of(
        st.integers(-(2**40), 2**40),
        st.floats(allow_nan=False),
        st.sampled_from(["constant", "linear", "näher \"'\\"]),
        st.lists(st.integers(-5, 5), max_size=5).map(tuple),
        st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=3).map(tuple),
    ),
    max_size=5,
)


@st.composite
def problems(draw) -> dispatch.Problem:
    own = draw(st.lists(st.one_of(st.none(), tensors()), min_size=1, max_size=4))
    outputs = draw(st.lists(tensors(constant=False), min_size=1, max_size=3))
    extra = [outputs[0]] * draw(st.integers(0, 2))
    steps = [dispatch.EpilogueStep("add", len(own) + i) for i in range(len(extra))]
    steps.append(dispatch.EpilogueStep("clip", -1, -math.inf, draw(st.floats(0, 10))))
    return dispatch.Problem(
        operator=draw(st.sampled_from(["conv2d", "relu", "an_operator"])),
        inputs=(*own, *extra),
        outputs=tuple(outputs),
        attributes=tuple(sorted(draw(ATTRIBUTES).items())),
        epilogue=tuple(steps),
        num_operator_inputs=len(own),
        device=draw(st.sampled_from(["cpu", "intel"])),
        precision=draw(st.sampled_from(["highest", "high", "medium"])),
        deterministic=draw(st.booleans()),
        threads=draw(st.integers(1, 64)),
    )


@given(problems())
def test_json_there_and_back(problem) -> None:
    assert dispatch.Problem.from_json(problem.to_json()) == problem
    assert hash(dispatch.Problem.from_json(problem.to_json())) == hash(problem)


@given(problems())
def test_the_c_reader_takes_what_python_writes(problem) -> None:
    parse_problem(problem)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"operator": 1}', '{"operator":"relu"}'])
def test_bad_json_is_refused(text) -> None:
    with pytest.raises(dispatch.InvalidArgument, match="problem: expected"):
        dispatch.Problem.from_json(text)


def test_blocked_bytes_fill_up_the_last_block() -> None:
    assert TensorSpec("float32", (1, 3, 5, 5), "nChw16c").nbytes == 16 * 25 * 4
    assert TensorSpec("float32", (2, 17, 1, 1), "nChw8c").nbytes == 2 * 24 * 4
    assert TensorSpec("bfloat16", (1, 3, 5, 5), "nhwc").nbytes == 150
