"""Random graphs: no plan overwrites what is still needed, and replays give the right values."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dispatch
import runtime
from dispatch.operators import operators
from runtime.graph import SHAPE, Graph, Reference
from runtime.passes.pipeline import adapt, prepare
from runtime.plan.payoff import cheaper
from runtime.plan.plan import emit, make_program
from runtime.plan.program import Program, Tensor
from runtime.specialise import problem_of

CHANNELS = 16


def weights(rng: np.random.Generator, *shape: int) -> Any:
    return (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)


def grow(choices: list[tuple[int, int, int]], rng: np.random.Generator, x: Any) -> Any:
    """Build a function's body: each choice takes an operator and one or two values so far."""
    values = [x]
    for operator, first, second in choices:
        a, b = values[first % len(values)], values[second % len(values)]
        channels = a.spec.shape[1]
        made: Any
        match operator % 16:
            case 0:
                made = dispatch.conv2d(a, weights(rng, CHANNELS, channels, 3, 3), pads=1)
            case 1:
                made = dispatch.conv2d(a, weights(rng, CHANNELS * 2, channels, 1, 1))
            case 2:
                made = dispatch.conv2d(a, weights(rng, channels, 1, 3, 3), pads=1, groups=channels)
            case 3:
                made = dispatch.relu(a)
            case 4:
                made = a + b if a.spec.shape == b.spec.shape else a + 1.0
            case 5:
                made = a * dispatch.sigmoid(dispatch.global_avg_pool2d(a))
            case 6:
                made = dispatch.concat([a, b], axis=1)
            case 7:
                made = dispatch.max_pool2d(a, 3, strides=1, pads=1)
            case 8:
                made = dispatch.hard_swish(a)
            case 9:
                half = channels // 2
                made = dispatch.split(a, axis=1, sizes=(half, channels - half))[second % 2]
            case 10:
                made = dispatch.transpose(dispatch.transpose(a, (0, 2, 3, 1)), (0, 3, 1, 2))
            case 11:
                made = dispatch.reshape(dispatch.reshape(a, (0, 0, -1)), runtime.shape_of(a))
            case 12:
                made = dispatch.batch_norm(a, *(np.abs(weights(rng, channels)) for _ in range(4)))
            case 13:
                made = dispatch.tanh(a) * 0.5
            case 14:
                made = a[:, ::-1]
            case _:
                made = dispatch.avg_pool2d(a, 3, strides=1, pads=1)
        if made.spec.shape[1] <= 8 * CHANNELS:
            values.append(made)
    return tuple(values[-1 - i % len(values)] for i in range(2))


GRAPHS = st.lists(
    st.tuples(st.integers(0, 15), st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=14
)


def allowed(tensor: Tensor, made: set[int]) -> set[int]:
    """Return the ids of the tensors whose bytes a reader of `tensor` may find."""
    if id(tensor) in made:
        return {id(tensor)}
    if tensor.parts:
        return set().union(*(allowed(part, made) for part in tensor.parts))
    assert tensor.base is not None, tensor
    return allowed(tensor.base, made)


def check_memory(program: Program, data: Any) -> None:
    """Run a plan on bytes that remember who wrote them."""
    memory: dict[Any, np.ndarray] = {"arena": np.zeros(data["arena_bytes"], np.int64)}
    for index, buffer in enumerate(data["buffers"]):
        del index
        if buffer["kind"] == "output":
            memory.setdefault(("output", buffer["index"]), np.zeros(buffer["bytes"], np.int64))

    def place(number: int) -> np.ndarray:
        buffer = data["buffers"][number]
        if buffer["kind"] == "output":
            return memory["output", buffer["index"]]
        assert buffer["kind"] == "arena"
        part = memory["arena"][buffer["offset"] : buffer["offset"] + buffer["bytes"]]
        assert part.size == buffer["bytes"]
        return part

    made = {id(t) for step in program.steps for t in step.outputs}
    for step, written in zip(program.steps, data["steps"], strict=True):
        for tensor, number in zip(step.inputs, written["inputs"], strict=True):
            if tensor is None:
                assert number == -1
            elif data["buffers"][number]["kind"] in ("arena", "output"):
                found = set(np.unique(place(number)).tolist())
                assert found <= allowed(tensor, made), (written, tensor)
        for tensor, number in zip(step.outputs, written["outputs"], strict=True):
            place(number)[:] = id(tensor)
    for position, (_, tensor) in enumerate(program.outputs):
        found = set(np.unique(memory["output", position]).tolist())
        assert found <= allowed(tensor, made)


def reference(graph: Graph, inputs: dict[str, Any]) -> list[Any]:
    """Run a graph by the operators' references, floating values as float64 throughout."""
    values = {name: np.asarray(a, np.float64) if a.dtype.kind == "f" else a
              for name, a in {**graph.constants, **inputs}.items()}  # fmt: skip
    shapes = {name: a.shape for name, a in inputs.items()}
    made = runtime.specialise.specialise(graph, shapes)
    for node in graph.nodes:
        taken = [None if name is None else values[name] for name in node.inputs]
        if node.operator == SHAPE:
            values[node.outputs[0]] = np.array(taken[0].shape, np.int64)
            continue
        attributes = {
            k: tuple(values[v.value].tolist()) if isinstance(v, Reference) else v
            for k, v in node.attributes.items()
        }
        problem = problem_of(node, made.specs, attributes)
        outputs = operators()[node.operator].reference(taken, dict(problem.attributes))
        values.update(zip(node.outputs, outputs, strict=True))
    return [values[value] for _, value in graph.outputs]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(GRAPHS, st.integers(0, 1000), st.integers(1, 2))
def test_random_graphs(choices: list[tuple[int, int, int]], seed: int, batch: int) -> None:
    x = np.random.default_rng(seed).standard_normal((batch, CHANNELS, 5, 6)).astype(np.float32)
    trace = runtime.trace(lambda x: grow(choices, np.random.default_rng(seed), x), x)
    setting = dispatch.settings()
    specialised = adapt(prepare(trace.graph), {"x": x.shape}, cheaper(setting))
    program = make_program(specialised.graph, specialised.specs, setting)
    check_memory(program, emit(program, specialised.graph).data)
    replay = trace.compile()
    for other in (x, x[:, :, :3, :4]):
        wanted = reference(trace.graph, {"x": other})
        for got, expected in zip(replay(other), wanted, strict=True):
            scale = max(1.0, float(np.abs(expected).max(initial=0)))
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=3e-5 * scale)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(GRAPHS, st.integers(0, 1000))
def test_replays_of_one_pack_agree_with_eager_calls(
    choices: list[tuple[int, int, int]], seed: int
) -> None:
    x = np.random.default_rng(seed).standard_normal((1, CHANNELS, 5, 6)).astype(np.float32)
    trace = runtime.trace(lambda x: grow(choices, np.random.default_rng(seed), x), x)
    values = {**trace.graph.constants, "x": x}
    with dispatch.using(packs="portable"):
        for node in trace.graph.nodes:
            taken = [None if name is None else values[name] for name in node.inputs]
            if node.operator == SHAPE:
                values[node.outputs[0]] = runtime.shape_of(taken[0])
                continue
            attributes = tuple(
                tuple(values[v.value].tolist()) if isinstance(v, Reference) else v
                for v in node.attributes.values()
            )
            made = dispatch.call.call(operators()[node.operator], tuple(taken), attributes)
            outputs = made if isinstance(made, tuple) else (made,)
            values.update(zip(node.outputs, outputs, strict=True))
    results = trace.compile(packs="portable")(x)
    for (_, value), got in zip(trace.graph.outputs, results, strict=True):
        scale = max(1.0, float(np.abs(values[value]).max(initial=0)))
        np.testing.assert_allclose(got, values[value], rtol=1e-3, atol=3e-5 * scale)
