"""What problems become for cuDNN, and what it says of them for GPUs that aren't here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from shutil import which

import numpy as np
import pytest

from dispatch.answer import No, NoCode
from dispatch.problem import EpilogueStep
from dispatch.tensor import ANY
from kernels.cudnn.frontend import MAX_PLANS, Planned, built, joined, parted
from kernels.cudnn.graph import ALWAYS, Graph
from kernels.cudnn.graph_kernel import DTYPES, chosen_layouts, described
from kernels.cudnn.operations import OPERATIONS
from tests.packs.cudnn_problems import CAPABILITIES, CASES, problems, resnet50

LAYOUTS = ("nchw", "nhwc")

without_frontend = find_spec("cudnn") is None
needs_frontend = pytest.mark.skipif(
    without_frontend, reason="cuDNN's frontend is not installed (make test-nvidia installs it)"
)


# ---- What problems become ---------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_resnet50_is_described_with_the_strides_of_its_layout(dtype, layout):
    for problem in resnet50(dtype, layout):
        graph = described(problem)
        assert isinstance(graph, Graph)
        x, (y,) = problem.inputs[0], problem.outputs
        by_argument = {t.argument: t for t in graph.tensors if t.argument >= 0}
        for index, spec in ((0, x), (len(problem.inputs), y)):
            tensor = by_argument[index]
            memory = np.empty(spec.shape, np.int8)
            if layout == "nhwc":
                n, c, h, w = spec.shape
                memory = np.empty((n, h, w, c), np.int8).transpose(0, 3, 1, 2)
            assert (tensor.shape, tensor.strides) == (spec.shape, memory.strides)
        names = [node.operation for node in graph.nodes]
        residual = ["add"] * any(step.name == "add" for step in problem.epilogue)
        relu = ["relu"] * any(step.name == "relu" for step in problem.epilogue)
        assert names == ["conv_fprop", *residual, "bias", *relu]


@needs_frontend
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_cudnn_finds_resnet50s_graphs_valid(dtype, layout):
    for problem in resnet50(dtype, layout):
        built(described(problem))


@needs_frontend
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATIONS)
def test_cudnn_finds_the_conformance_cases_graphs_valid(name, dtype):
    count = 0
    for problem in problems(name, dtype):
        open_ones = tuple(ANY if t is not None else "" for t in problem.tensors)
        asked = problem.with_layouts(open_ones)
        for each in (problem, asked.with_layouts(chosen_layouts(asked))):
            graph = described(each)
            if isinstance(graph, Graph):
                built(graph)
                count += 1
    assert count > CASES // 4


def test_precision_decides_which_engines_are_taken():
    def notes(dtype, precision):
        return set(described(next(resnet50(dtype, "nchw", precision=precision))).notes)

    always = set(ALWAYS)
    strict = {"TENSOR_CORE", "DOWN_CONVERT_INPUTS"}
    assert notes("float32", "highest") == strict | {"WINOGRAD", "FFT"} | always
    assert notes("float32", "high") == strict | {"FFT"} | always
    assert not strict & notes("float32", "medium")
    for dtype in ("float16", "bfloat16"):
        for precision in ("highest", "high", "medium"):
            assert not strict & notes(dtype, precision)
    assert "NONDETERMINISTIC" in always


def refusal(problem):
    found = described(problem)
    assert isinstance(found, No)
    return found


def test_refusals_say_what_isnt_served():
    problem = next(resnet50("float32", "nchw"))
    x, w, bias = problem.inputs[:3]
    wrong = replace(problem, inputs=(x, replace(w, shape=(64, 5, 7, 7)), bias))
    assert refusal(wrong).code == NoCode.SHAPE, "cuDNN's own validation takes this"
    assert refusal(replace(problem, inputs=(x, w, replace(bias, shape=(63,))))).code == NoCode.SHAPE
    blocked = problem.with_layouts(("nChw16c", "", "", ""))
    assert refusal(blocked).code == NoCode.LAYOUT
    for step in (EpilogueStep("hard_swish"), EpilogueStep("elu", -1, 0.5)):
        assert refusal(replace(problem, epilogue=(step,))).code == NoCode.EPILOGUE
    doubles = problems("conv2d", "float64")[0]
    assert refusal(doubles).code == NoCode.DTYPE
    scaled = [p for p in problems("matmul", "float32") if p.attribute("alpha") != 1.0]
    assert {refusal(p).subject for p in scaled} == {"alpha"}
    empty = [p for p in problems("matmul", "float32") if 0 in p.outputs[0].shape]
    assert {refusal(p).subject for p in empty} == {"elements"}


def test_products_of_a_matrix_for_all_batches_are_one_product():
    by_shape = {tuple(t.shape for t in p.inputs[:2]): p for p in problems("matmul", "float16")}
    graph = described(by_shape[(2, 7, 5), (5, 6)])
    assert [t.shape for t in graph.tensors[:2]] == [(1, 14, 5), (1, 5, 6)]
    graph = described(by_shape[(2, 7, 5), (2, 5, 6)])
    assert [t.shape for t in graph.tensors[:2]] == [(2, 7, 5), (2, 5, 6)]
    assert refusal(by_shape[(2, 1, 7, 5), (3, 5, 6)]).subject == "batches"


# ---- What cuDNN says of GPUs that aren't here -------------------------------------------------


def absent_gpu(capability, asked, ask="answer"):
    """Return cuDNN's answers about problems on a GPU of a compute capability."""
    if without_frontend or which("cc") is None:
        pytest.skip("needs cuDNN's frontend and a C compiler (make test-nvidia)")
    text = "".join(f"{problem.to_json()}\n" for problem in asked)
    command = [sys.executable, "-m", "tests.packs.cudnn_for_absent_gpus", str(capability), ask]
    run = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    answers = run.stdout.splitlines()
    assert len(answers) == len(asked)
    return answers


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_cudnn_has_engines_for_resnet50(capability):
    dtypes = DTYPES if capability >= 80 else ("float32", "float16")
    asked = [
        problem
        for dtype in dtypes
        for precision in (("highest", "high", "medium") if dtype == "float32" else ("high",))
        for layout in LAYOUTS
        for problem in resnet50(dtype, layout, precision=precision)
    ]
    answers = absent_gpu(capability, asked)
    wrong = {a: str(p) for p, a in zip(asked, answers, strict=True) if a != "ok"}
    assert not wrong


@pytest.mark.parametrize("name", ["matmul", "linear"])
def test_cudnn_multiplies_matrices_by_tensor_cores_alone(name):
    asked = [
        replace(problem, precision=precision)
        for dtype in DTYPES
        for precision in ("high", "medium")
        for problem in problems(name, dtype, 20)
        if isinstance(described(problem), Graph)
    ]
    for problem, answer in zip(asked, absent_gpu(90, asked), strict=True):
        strict = problem.dtype == "float32" and problem.precision == "high"
        assert answer.startswith("LIBRARY") if strict else answer == "ok", (problem, answer)


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize(("dtype", "layout"), [("float32", "nchw"), ("float16", "nhwc")])
def test_cudnn_has_several_plans_for_resnet50(capability, dtype, layout):
    several = 0
    asked = list(resnet50(dtype, layout))
    for line in absent_gpu(capability, asked, "plans"):
        found = json.loads(line)
        assert 1 <= len(found) <= MAX_PLANS
        digests = {digest for digest, _ in found}
        assert len(digests) == len(found), "a plan comes once"
        assert all(workspace >= 0 for _, workspace in found)
        several += len(found) > 1
    assert several > len(asked) // 2


def test_what_isnt_fused_is_left_on_a_gpu_that_isnt_here():
    base = replace(next(resnet50("float32", "nchw")), epilogue=())
    steps = {"hard_swish": ["hard_swish"], "silu": ["silu"], "relu": ["relu"]}
    asked = [replace(base, epilogue=(EpilogueStep(name),)) for name in steps]
    assert [json.loads(a) for a in absent_gpu(90, asked, "left")] == list(steps.values())
    both = replace(base, epilogue=(EpilogueStep("relu"), EpilogueStep("hard_swish")))
    assert json.loads(absent_gpu(90, [both], "left")[0]) == ["hard_swish"]


def test_plans_that_are_kept_come_back():
    plans = (Planned(0, b""), Planned(2**40, b"one"), Planned(7, bytes(range(256))))
    assert parted(joined(plans)) == plans
    assert parted(b"") == ()
