"""Planning: the choice of kernels and layouts, memory, and the plan's form."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dispatch
import runtime
from dispatch.tensor import TensorSpec
from runtime.plan.arena import Interval, place
from runtime.plan.assign import assign
from runtime.plan.options import contiguous, same_bytes


def array(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def total(costs: list[Any], edges: dict[tuple[int, int], Any], chosen: tuple[int, ...]) -> float:
    return sum(float(c[k]) for c, k in zip(costs, chosen, strict=True)) + sum(
        float(e[chosen[i], chosen[j]]) for (i, j), e in edges.items()
    )


@st.composite
def assignments(draw: Any, dense: bool) -> Any:
    count = draw(st.integers(1, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = [draw(st.integers(1, 3)) for _ in range(count)]
    costs = [rng.integers(0, 20, n).astype(float) for n in sizes]
    edges = {}
    for j in range(1, count):
        # A graph in which each node has at most one neighbour before it is solved exactly.
        makers = range(j) if dense else [draw(st.integers(0, j - 1))]
        for i in makers:
            if not dense or draw(st.booleans()):
                edges[i, j] = rng.integers(0, 20, (sizes[i], sizes[j])).astype(float)
    return costs, edges


@given(assignments(dense=False))
def test_assignment_of_trees_is_the_best(problem: Any) -> None:
    costs, edges = problem
    best = min(
        total(costs, edges, chosen) for chosen in itertools.product(*(range(len(c)) for c in costs))
    )
    assert total(costs, edges, tuple(assign(costs, edges))) == best


@given(assignments(dense=True))
def test_assignment_of_any_graph_is_near_the_best(problem: Any) -> None:
    costs, edges = problem
    every = [
        total(costs, edges, chosen) for chosen in itertools.product(*(range(len(c)) for c in costs))
    ]
    found = total(costs, edges, tuple(assign(costs, edges)))
    assert min(every) <= found <= min(every) + 0.5 * (max(every) - min(every)) + 1e-9


def test_assignment_keeps_away_from_what_is_impossible() -> None:
    no = np.inf
    costs = [np.array([0.0, 5.0]), np.array([no, 1.0])]
    assert assign(costs, {(0, 1): np.array([[0.0, no], [0.0, 0.0]])}) == [1, 1]
    assert assign([], {}) == []


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20), st.integers(0, 6)), max_size=30),
    st.sampled_from([64, 512]),
)
def test_what_lives_together_never_overlaps(
    entries: list[tuple[int, int, int]], alignment: int
) -> None:
    intervals = [Interval(size, start, start + length) for size, start, length in entries]
    offsets, size = place(intervals, alignment)
    for (a, x), (b, y) in itertools.combinations(zip(intervals, offsets, strict=True), 2):
        if a.start <= b.end and b.start <= a.end:
            assert x + a.size <= y or y + b.size <= x
    assert all(offset % alignment == 0 for offset in offsets)
    assert all(o + i.size <= size for o, i in zip(offsets, intervals, strict=True))


def test_a_chain_needs_two_places() -> None:
    intervals = [Interval(1024, i, i + 1) for i in range(10)]
    assert place(intervals, 64)[1] == 2048


@pytest.mark.parametrize(
    ("shape", "layout", "other", "same"),
    [
        ((1, 32, 1, 1), "nChw16c", "nchw", True),
        ((2, 32, 1, 1), "nhwc", "nChw16c", True),
        ((1, 20, 1, 1), "nChw16c", "nchw", False),
        ((1, 32, 2, 1), "nChw16c", "nchw", False),
        ((1, 1, 5, 7), "nhwc", "nchw", True),
        ((1, 3, 5, 7), "nhwc", "nchw", False),
        ((1, 3, 5, 7), "nhwc", "nhwc", True),
    ],
)
def test_layouts_of_the_same_bytes(
    shape: tuple[int, ...], layout: str, other: str, same: bool
) -> None:
    assert same_bytes(TensorSpec("float32", shape, layout), other) is same


@pytest.mark.parametrize(
    ("shape", "layout", "channels", "axis", "joined"),
    [
        ((1, 32, 3, 3), "nchw", (20, 12), 1, True),
        ((2, 32, 3, 3), "nchw", (20, 12), 1, False),
        ((1, 32, 3, 3), "nchw", (32, 32), 2, False),
        ((1, 32, 3, 3), "nhwc", (16, 16), 1, False),
        ((1, 40, 3, 3), "nChw16c", (16, 24), 1, True),
        ((1, 40, 3, 3), "nChw16c", (24, 16), 1, False),
        ((2, 32, 3, 3), "nChw16c", (16, 16), 1, False),
    ],
)
def test_parts_that_lie_one_after_the_other(
    shape: tuple[int, ...], layout: str, channels: tuple[int, int], axis: int, joined: bool
) -> None:
    whole = TensorSpec("float32", shape, layout)
    parts = [TensorSpec("float32", (shape[0], c, *shape[2:]), layout) for c in channels]
    assert contiguous(whole, parts, axis) is joined


W1, W2 = array(32, 3, 3, 3), array(32, 32, 3, 3)
X = array(1, 3, 20, 20)


def plan_of(function: Any, *examples: Any, **options: Any) -> Any:
    return runtime.trace(lambda *x: function(*x), *examples).compile(**options).plan()


def test_the_plan_is_plain_data() -> None:
    plan = plan_of(lambda x: dispatch.relu(dispatch.conv2d(x, W1)), X, threads=1)
    data = json.loads(plan.to_json())
    assert data["version"] == 1
    assert data["threads"] == 1
    assert data["inputs"] == [{"name": "x_0", "dtype": "float32", "shape": [1, 3, 20, 20]}]
    assert [s["kernel"].split(".")[1] for s in data["steps"]] == ["conv2d"]
    kinds = [b["kind"] for b in data["buffers"]]
    assert sorted(kinds) == ["constant", "input", "output"]
    assert set(data["packs"]) == {s["kernel"].split(".")[0] for s in data["steps"]}


def test_views_cost_no_step_and_no_memory() -> None:
    plan = plan_of(lambda x: dispatch.exp(x.reshape(3, -1)).reshape(-1)[None] + 1.0, X)
    assert [s["kernel"].split(".")[1] for s in plan.data["steps"]] == ["exp", "add"]


def operators_of(replay: Any) -> list[str]:
    return [row.operator.partition("+")[0] for row in replay.explain().rows]


def test_images_transposes_are_layouts() -> None:
    w, m = 0.1 * array(16, 16, 3, 3), 0.1 * array(16, 16)

    def block(x: Any) -> Any:
        y = dispatch.transpose(dispatch.conv2d(x, w, pads=1), (0, 2, 3, 1))
        return dispatch.transpose(np.matmul(y, m), (0, 3, 1, 2))

    def whole(x: Any) -> Any:
        return dispatch.relu(block(block(x)))

    x = array(1, 16, 9, 8)
    replay = runtime.trace(whole, x).compile()
    assert "transpose" not in operators_of(replay)
    np.testing.assert_allclose(replay(x), whole(x), rtol=1e-4, atol=1e-4)


def test_layouts_in_which_parts_lie_in_a_row_are_worth_a_reorder() -> None:
    w, m = 0.1 * array(16, 96, 1, 1), 0.1 * array(32, 32)

    def f(x: Any) -> Any:
        y = np.matmul(dispatch.transpose(x, (0, 2, 3, 1)), m)
        y = dispatch.transpose(y, (0, 3, 1, 2))
        return dispatch.conv2d(dispatch.concat([np.exp(y), np.tanh(y), np.abs(y)], axis=1), w)

    x = array(1, 32, 24, 24)
    replay = runtime.trace(f, x).compile()
    assert "concat" not in operators_of(replay)
    np.testing.assert_allclose(replay(x), f(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("permutation", list(itertools.permutations(range(4))))
def test_transposes_alone_are_right(permutation: tuple[int, ...]) -> None:
    x = array(2, 3, 4, 5)
    for f in (
        lambda x: dispatch.transpose(x, permutation),
        lambda x: np.exp(dispatch.transpose(np.exp(x), permutation)),
    ):
        np.testing.assert_allclose(runtime.trace(f, x).compile()(x), f(x), rtol=1e-6)


def test_work_in_place_goes_into_the_output() -> None:
    plan = plan_of(lambda x: dispatch.log(dispatch.exp(dispatch.abs(x))), X)
    assert plan.data["arena_bytes"] == 0
    assert all(b["kind"] != "arena" for b in plan.data["buffers"])


@pytest.mark.parametrize("shape", [(1, 3, 5, 5), (1, 1, 1, 1), (1, 5, 3, 1), (1, 7, 9)])
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_parts_lie_where_elements_put_them(shape: tuple[int, ...], dtype: str) -> None:
    x = (array(*shape) * 9).astype(dtype)

    def function(x: Any) -> Any:
        parts = [dispatch.abs(x), dispatch.neg(x), dispatch.maximum(x, x[:, ::-1])]
        y = dispatch.concat(parts, axis=1)
        return dispatch.neg(y), *dispatch.split(dispatch.neg(y), (shape[1],) * 3, axis=1)

    replay = runtime.trace(function, x).compile()
    assert "concat" not in {s["kernel"].split(".")[1] for s in replay.plan().data["steps"]}
    for got, want in zip(replay(x), function(x), strict=True):
        np.testing.assert_array_equal(got, want)


def test_parts_of_a_concatenation_are_made_in_place() -> None:
    def f(x: Any) -> Any:
        y = dispatch.concat([dispatch.exp(x), dispatch.abs(x), dispatch.sqrt(x)], axis=1)
        return dispatch.tanh(y) * 2.0

    plan = plan_of(f, X)
    assert "concat" not in {s["kernel"].split(".")[1] for s in plan.data["steps"]}
    two = plan_of(f, array(2, 3, 4, 4))
    assert "concat" in {s["kernel"].split(".")[1] for s in two.data["steps"]}


def test_parts_that_lie_elsewhere_are_copied() -> None:
    def f(x: Any) -> Any:
        y = dispatch.exp(x)
        return dispatch.tanh(dispatch.concat([y, x, y], axis=1)) * 2.0

    plan = plan_of(f, X)
    assert "concat" in {s["kernel"].split(".")[1] for s in plan.data["steps"]}


def test_a_split_is_parts_of_its_input() -> None:
    def f(x: Any) -> Any:
        a, b = dispatch.split(dispatch.exp(x), axis=1, sizes=(1, 2))
        return dispatch.tanh(a) + 1.0, dispatch.abs(b) + 1.0

    plan = plan_of(f, X)
    assert "split" not in {s["kernel"].split(".")[1] for s in plan.data["steps"]}


def test_one_pack_alone() -> None:
    plan = plan_of(lambda x: dispatch.conv2d(dispatch.conv2d(x, W1), W2), X, packs="portable")
    assert set(plan.data["packs"]) == {"portable"}


def test_nothing_serves() -> None:
    trace = runtime.trace(lambda x: dispatch.relu(x), X)
    with dispatch.using(packs=()), pytest.raises(dispatch.NoKernel, match=r"test_plan\.py:\d+"):
        trace.compile()


def test_elements_that_planning_would_need() -> None:
    from runtime.graph import Graph, GraphInput, Node, Reference

    graph = Graph(
        (GraphInput("x", "float32", (4,), (4,)), GraphInput("n", "int64", (1,), (1,))),
        (("y", "y"),),
        (Node("reshape", ("x",), ("y",), {"shape": Reference("n")}, (), "here"),),
        {},
    )
    with pytest.raises(runtime.PlanError, match=r"reshape \(at here\): shape follows from the el"):
        runtime.Trace(graph).compile()


def test_extents_of_one_name_agree() -> None:
    from runtime.graph import Graph, GraphInput, Node

    graph = Graph(
        tuple(GraphInput(name, "float32", ("N", 2), (4, 2)) for name in "ab"),
        (("y", "y"),),
        (Node("add", ("a", "b"), ("y",)),),
        {},
    )
    replay = runtime.Trace(graph, "single").compile()
    assert replay(array(3, 2), array(3, 2)).shape == (3, 2)
    with pytest.raises(runtime.PlanError, match=r"expected extent 3 on axis 0 .*'N'"):
        replay(array(3, 2), array(1, 2))
