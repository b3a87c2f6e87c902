"""What the pack asks cuBLAS and cuDNN for: arguments in order, plans by rank, what is left."""

from __future__ import annotations

import ctypes
import gc
import math
import re
import threading
import weakref
from dataclasses import replace
from importlib import metadata

import ml_dtypes
import numpy as np
import pytest

import dispatch
import runtime
from bench.gpu import resnet50 as whole
from dispatch import registry as registry_module
from dispatch.answer import No, NoCode, Yes
from dispatch.errors import KernelFailed, OutOfMemory, PackUnavailable
from dispatch.machine import this_machine
from dispatch.problem import EpilogueStep
from dispatch.tuning import records as records_module
from dispatch.tuning.database import Database
from dispatch.tuning.record import Record
from dispatch.tuning.records import Records
from kernels.cudnn import library
from kernels.cudnn.blas import Gemm, blas
from kernels.cudnn.blas_kernel import gemm_of, workspace_bytes
from kernels.cudnn.compiler import options_for, text_of
from kernels.cudnn.frontend import MAX_PLANS
from kernels.cudnn.remainder import bare, launch_of, partings
from kernels.gpu.plan import SCRATCH
from tests.packs.cuda_fakes import CuPyArray
from tests.packs.cudnn_problems import problems, resnet50
from tests.packs.test_cudnn_programs import GPU, nvrtc

GEMM = "cublasGemmStridedBatchedEx_64"
WORKSPACE = "cublasSetWorkspace_v2"
FLOAT, HALF = 0, 2
SINGLE, DOUBLE = 68, 70
IMAGES = ("conv2d", "max_pool2d", "global_avg_pool2d")


def kernel(name):
    return registry_module.registry().find(name)


# ---- cuBLAS -----------------------------------------------------------------------------------


def test_a_product_is_cublass_transposed_one(world):
    world.cupy.stream = 0x44
    a, b = CuPyArray((7, 5), np.float32), CuPyArray((5, 6), np.float32)
    y = dispatch.matmul(a, b)
    ((handle, *given),) = world.blas.named(GEMM)
    assert given == [
        *(0, 0, 6, 7, 5, 1.0),
        *(b.data.ptr, FLOAT, 6, 0),
        *(a.data.ptr, FLOAT, 5, 0),
        *(0.0, y.data.ptr, FLOAT, 6, 42),
        *(1, SINGLE, -1),
    ]
    assert world.blas.streams == {handle: 0x44}


@pytest.mark.parametrize(
    ("dtype", "precision", "compute"),
    [
        ("float32", "highest", "strict float32"),
        ("float32", "high", "float32"),
        ("float32", "medium", "tf32"),
        ("float16", "medium", "float32"),
        ("bfloat16", "highest", "float32"),
        ("float64", "high", "float64"),
    ],
)
def test_precision_decides_what_is_multiplied_in(dtype, precision, compute):
    problem = replace(problems("matmul", dtype, 1)[0], precision=precision)
    gemm = gemm_of(bare(problem).first)
    assert gemm.compute == compute and gemm.types == (dtype, dtype)
    gemm = gemm_of(bare(replace(problem, epilogue=(EpilogueStep("relu"),))).first)
    wide = dtype if dtype in ("float32", "float64") else "float32"
    assert gemm.types == (dtype, wide), "sums of halves aren't rounded before the epilogue"


def test_products_in_halves_are_added_up_in_float32_and_their_result_is_rounded_once(world):
    a, b = CuPyArray((7, 5), np.float16), CuPyArray((5, 6), np.float16)
    with dispatch.using(kernel="cudnn.matmul.cublas.f16"):
        y = dispatch.matmul(a, b, activation="silu")
    ((_, *given),) = world.blas.named(GEMM)
    assert given[7] == given[11] == HALF and given[16] == FLOAT and given[20] == SINGLE
    (launch,) = world.cuda.launches
    between = given[15]
    assert launch.addresses == [between, y.data.ptr]
    ((_, workspace, size),) = world.blas.named(WORKSPACE)
    assert between == workspace + size and size == workspace_bytes(90)
    assert world.blas.named("cublasSetMathMode") == [(world.blas.handles[0], 16)]


def test_the_workspace_is_the_callers_at_each_call(world):
    a, b = CuPyArray((7, 5), np.float32), CuPyArray((5, 6), np.float32)
    with dispatch.using(kernel="cudnn.matmul.cublas.f32"):
        for _ in range(2):
            dispatch.matmul(a, b)
    assert [name for name, _ in world.blas.calls if "Property" not in name] == [
        *("cublasCreate_v2", "cublasSetMathMode", "cublasSetStream_v2"),
        *(WORKSPACE, GEMM) * 2,
    ]
    spaces = world.blas.named(WORKSPACE)
    assert spaces[0] == spaces[1] and spaces[0][1:] == (spaces[0][1], workspace_bytes(90))


def test_two_threads_on_one_stream_keep_workspace_and_product_together(world):
    world.blas.slow = 0.001
    given = [CuPyArray((7, 5), np.float32), CuPyArray((5, 6), np.float32)]
    problem = dispatch.explain(dispatch.matmul, *given).decision.problem
    queue, chosen = world.memory.queue_of(given[0]), kernel("cudnn.matmul.cublas.f32")
    buffers = [world.memory.buffer(queue, a) for a in given]

    pairs: set[tuple[int, int]] = set()

    def run():
        prepared = chosen.prepare(problem, [None] * 3, queue)
        scratch = world.memory.allocate(queue, prepared.scratch_bytes)
        y = world.memory.buffer(queue, CuPyArray((7, 6), np.float32))
        step = prepared.bind([*buffers, None, y], queue, scratch)
        for _ in range(10):
            step()
        pairs.add((scratch.pointer, y.pointer))

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    calls = [(name, given) for name, given in world.blas.calls if name in (WORKSPACE, GEMM)]
    assert len(calls) == 60 and len(pairs) == 3
    for (first, space), (second, product) in zip(calls[::2], calls[1::2], strict=True):
        assert (first, second) == (WORKSPACE, GEMM)
        assert (space[1], product[16]) in pairs, "its own workspace"


def test_bias_and_activation_follow_in_place(world):
    arrays = [CuPyArray(s, np.float32) for s in ((7, 5), (6, 5), (6,))]
    with dispatch.using(kernel="cudnn.linear.cublas.f32"):
        y = dispatch.linear(*arrays, activation="gelu")
    (launch,) = world.cuda.launches
    assert launch.addresses == [y.data.ptr, arrays[2].data.ptr, y.data.ptr]
    assert b"#define EXPRESSION gelu_of((a + b))\n" in launch.module


def test_nothing_is_launched_behind_a_bare_product(world):
    with dispatch.using(kernel="cudnn.matmul.cublas.f64"):
        dispatch.matmul(CuPyArray((7, 5), np.float64), CuPyArray((5, 6), np.float64))
    assert not world.cuda.launches
    assert world.blas.named(GEMM)[0][-2] == DOUBLE


@pytest.mark.parametrize("name", ["matmul", "linear"])
@pytest.mark.parametrize("transpose_a", [0, 1])
@pytest.mark.parametrize("transpose_b", [0, 1])
def test_products_by_columns_are_the_products_by_rows(name, transpose_a, transpose_b):
    rng = np.random.default_rng(20261128)
    for problem in problems(name, "float32"):
        if name == "matmul":
            given = problem.attribute("transpose_a"), problem.attribute("transpose_b")
            if given != (transpose_a, transpose_b):
                continue
        gemm = gemm_of(bare(problem).first)
        if isinstance(gemm, No) or 0 in problem.outputs[0].shape or not gemm.k:
            continue
        a, b = (rng.integers(-9, 9, t.shape).astype(float) for t in problem.inputs[:2])
        expected = np.matmul(*factors(problem, a, b)) * gemm.alpha
        got = np.empty(expected.size)
        for index in range(gemm.batch):
            left, right, result = (
                lay(x, index * stride, leading, *shape)
                for x, stride, leading, shape in zip(
                    (b.ravel(), a.ravel(), got),
                    gemm.strides,
                    gemm.leading,
                    (
                        (gemm.k, gemm.m) if gemm.transpose_a else (gemm.m, gemm.k),
                        (gemm.n, gemm.k) if gemm.transpose_b else (gemm.k, gemm.n),
                        (gemm.m, gemm.n),
                    ),
                    strict=True,
                )
            )
            left = left.T if gemm.transpose_a else left
            right = right.T if gemm.transpose_b else right
            result[...] = gemm.alpha * (left @ right)
        np.testing.assert_array_equal(got, expected.ravel())


def lay(flat, start, leading, rows, columns):
    """Return a matrix that lies by columns."""
    return np.lib.stride_tricks.as_strided(flat[start:], (rows, columns), (8, 8 * leading))


def factors(problem, a, b):
    if problem.operator == "linear":
        return a, b.T
    left = a.swapaxes(-1, -2) if problem.attribute("transpose_a") else a
    right = b.swapaxes(-1, -2) if problem.attribute("transpose_b") else b
    return left, right


def test_cublas_refusals_say_what_isnt_served(world, monkeypatch):
    asked = problems("matmul", "float32")
    of = {p.attribute("alpha"): p for p in asked}
    served = kernel("cudnn.matmul.cublas.f32")
    assert isinstance(served.query(of[-0.5]), Yes)
    assert served.query(of[0.0]).subject == "alpha"
    uneven = [p for p in asked if [t.shape for t in p.inputs[:2]] == [(2, 1, 7, 5), (3, 5, 6)]]
    assert {served.query(p).subject for p in uneven} == {"batches"}
    wide = replace(asked[0], epilogue=(EpilogueStep("clip"), EpilogueStep("hard_sigmoid")))
    assert served.query(wide).subject == "steps with numbers left"
    old = library.devices()[0]
    monkeypatch.setattr("kernels.cudnn.blas_kernel.devices", lambda: (replace(old, capability=75),))
    no = kernel("cudnn.matmul.cublas.bf16").query(problems("matmul", "bfloat16", 1)[0])
    assert (no.code, no.limit, no.got) == (NoCode.DEVICE, ">= 80", "75")
    assert isinstance(
        kernel("cudnn.matmul.cublas.f16").query(problems("matmul", "float16")[0]), Yes
    )


@pytest.mark.parametrize(
    ("function", "status", "error", "text"),
    [
        (GEMM, 15, KernelFailed, r"cuBLAS: cublasGemm\w+: unknown error \(15\)"),
        ("cublasCreate_v2", 3, OutOfMemory, "cuBLAS: no memory for cublasCreate_v2"),
        (WORKSPACE, 7, KernelFailed, WORKSPACE),
        ("cublasSetStream_v2", 1, KernelFailed, "cublasSetStream_v2"),
    ],
)
def test_cublass_failures_are_the_projects(world, function, status, error, text):
    a, b = CuPyArray((7, 5), np.float32), CuPyArray((5, 6), np.float32)
    world.blas.status[function] = status
    with dispatch.using(kernel="cudnn.matmul.cublas.f32"):
        with pytest.raises(error, match=text):
            dispatch.matmul(a, b)
        world.blas.status.clear()
        dispatch.matmul(a, b)
    assert world.cuda.current == [0]


def test_the_real_cublas_has_the_functions():
    try:
        metadata.files("nvidia-cublas")
    except metadata.PackageNotFoundError:
        pytest.skip("nvidia-cublas is not installed (make test-nvidia installs it)")
    real = blas()
    assert re.fullmatch(r"13\.\d+\.\d+", real.version)
    for name in ("SetStream_v2", "SetWorkspace_v2", "SetMathMode", "GemmStridedBatchedEx_64"):
        assert getattr(real._c, f"cublas{name}")
    gemm = Gemm(False, False, 1, 1, 1, 1, (1, 1, 1), (0, 0, 0), ("float32",) * 2, "float32")
    with pytest.raises(KernelFailed, match=r"cublasSetWorkspace_v2: the library was not init"):
        real.product(gemm)(0, 0, 0, 0, 0, 0)


def test_no_cublas_is_said(parts, monkeypatch):
    fakes = ctypes.CDLL

    def load(name, *_):
        if "libcublas" in str(name):
            raise OSError(f"{name}: no such file")
        return fakes(name)

    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(PackUnavailable, match=r"libcublas\.so\.13 is not found .*pip install"):
        library.versions()


# ---- cuDNN's plans ----------------------------------------------------------------------------


def image():
    return CuPyArray((1, 3, 8, 8), np.float32), CuPyArray((4, 3, 3, 3), np.float32)


def test_plans_are_kernels_in_the_order_of_cudnns_heuristics(world):
    decision = dispatch.explain(dispatch.conv2d, *image()).decision
    answers = {c.kernel.name: c.answer for c in decision.candidates}
    names = ["cudnn.conv2d.graph.f32", *(f"cudnn.conv2d.graph_{n}.f32" for n in (2, 3, 4))]
    costs = [answers[name].cost for name in names]
    assert costs == sorted(costs) and decision.kernel.name == names[0]
    scratch = [answers[name].scratch_bytes - 4096 for name in names]
    assert scratch == [0, 2, 3, 4], "each plan's own; the one with unwanted notes isn't among them"
    for name in names:
        with dispatch.using(kernel=name):
            dispatch.conv2d(*image())
    assert [data[-1] for data in world.frontend.loaded] == [0, 2, 3, 4]
    assert world.frontend.planned == MAX_PLANS, "planned once for all"


def test_a_plan_that_cudnn_hasnt_is_refused(world):
    world.frontend.engines = 3
    decision = dispatch.explain(dispatch.conv2d, *image()).decision
    answers = {c.kernel.name: c.answer for c in decision.candidates}
    assert isinstance(answers["cudnn.conv2d.graph_2.f32"], Yes)
    no = answers["cudnn.conv2d.graph_4.f32"]
    assert (no.code, no.subject, no.limit, no.got) == (NoCode.LIBRARY, "plans", ">= 4", "2")


def test_where_cudnn_doesnt_work_our_kernels_serve(world, monkeypatch):
    def fails(device_id):
        raise RuntimeError("finalize(desc) failed: CUDNN_STATUS_NOT_INITIALIZED\nand more")

    monkeypatch.setattr(world.frontend.module, "create_device_properties", fails)
    decision = dispatch.explain(dispatch.conv2d, *image()).decision
    answers = {c.kernel.name: c.answer for c in decision.candidates}
    no = answers["cudnn.conv2d.graph.f32"]
    assert (no.code, no.subject) == (NoCode.LIBRARY, "device")
    assert no.got == "finalize(desc) failed: CUDNN_STATUS_NOT_INITIALIZED"
    dispatch.conv2d(*image())
    assert not world.frontend.executed and len(world.cuda.launches) == 1


def test_a_plan_that_comes_again_is_one(world):
    world.frontend.engines, world.frontend.same = 5, {3: 2}
    decision = dispatch.explain(dispatch.conv2d, *image()).decision
    answers = {c.kernel.name: c.answer for c in decision.candidates}
    scratch = [answers[f"cudnn.conv2d.{name}.f32"] for name in ("graph", "graph_2", "graph_3")]
    assert [answer.scratch_bytes - 4096 for answer in scratch] == [0, 2, 4]
    assert answers["cudnn.conv2d.graph_4.f32"].got == "3"


def test_measured_times_choose_among_plans(world, tmp_path, monkeypatch):
    kept = Records(Database(tmp_path / "tuned.sqlite3"))
    monkeypatch.setattr(records_module, "_records", kept)
    decision = dispatch.explain(dispatch.conv2d, *image()).decision
    (pack,) = registry_module.registry().packs
    versions = this_machine().id, pack.version, pack.library_version
    yes = [c for c in decision.candidates if isinstance(c.answer, Yes)]
    measured = []
    for each in yes:
        layouts = each.answer.layouts
        problem = decision.problem.with_layouts(layouts) if layouts else decision.problem
        seconds = 1e-6 if each.kernel.name == "cudnn.conv2d.graph_3.f32" else 1e-3
        given = each.kernel.name, problem.to_json(), seconds, 0.0, 9, 0.0
        measured.append(Record(*versions, *given))
    kept.add(measured)
    with dispatch.using(tuned=True):
        dispatch.conv2d(*image())
        chosen = dispatch.explain(dispatch.conv2d, *image()).decision.kernel
    assert chosen.name == "cudnn.conv2d.graph_3.f32"
    assert world.frontend.loaded[-1][-1] == 3
    assert not any(math.isinf(record.seconds) for record in measured)


@pytest.mark.parametrize("batch", [1, 64])
def test_resnet50_in_halves_stays_channels_last_from_end_to_end(world, batch):
    """What tensor cores read: cuDNN takes any mixture, and converts without a word."""
    own = whole.parameters()
    x = np.zeros((batch, 3, 224, 224), ml_dtypes.bfloat16)
    words = whole.DispatchWords(iter(own))
    replay = runtime.trace(lambda x: whole.forward(x, words), x).compile(device="nvidia")
    options = [option for option in replay.plan().options if option.kernel is not None]
    images = [o.problem.outputs[0] for o in options if o.problem.operator in IMAGES]
    assert len(images) == 53 + 1 + 1
    assert {image.layout for image in images if image.shape[2] > 1} == {"nhwc"}


# ---- What is left for a launch ----------------------------------------------------------------


def test_what_cudnn_doesnt_fuse_follows_in_place(world):
    x, w = CuPyArray((1, 256, 56, 56), np.float32), CuPyArray((256, 256, 3, 3), np.float32)
    bias = CuPyArray((256,), np.float32)
    decision = dispatch.explain(dispatch.conv2d, x, w, bias, activation="hard_swish").decision
    assert decision.kernel.name == "cudnn.conv2d.graph_then_map.f32"
    y = dispatch.conv2d(x, w, bias, activation="hard_swish")
    ((pack, _, _),) = world.frontend.executed
    assert {x.data.ptr, w.data.ptr, bias.data.ptr, y.data.ptr} == set(pack.values())
    (launch,) = world.cuda.launches
    assert launch.addresses == [y.data.ptr, y.data.ptr]
    assert b"#define EXPRESSION hard_swish_of((a))\n" in launch.module


def test_a_bound_step_in_two_parts_stays_as_it_was_bound(world):
    x, w = image()
    problem = dispatch.explain(dispatch.conv2d, x, w, activation="hard_swish").decision.problem
    queue = world.memory.queue_of(x)
    chosen = kernel("cudnn.conv2d.graph_then_map.f32")
    scratch = world.memory.allocate(queue, chosen.query(problem).scratch_bytes)
    prepared = chosen.prepare(problem, [None] * 3, queue)
    y, other = CuPyArray((1, 4, 6, 6), np.float32), CuPyArray((1, 4, 6, 6), np.float32)
    buffers = [world.memory.buffer(queue, a) for a in (x, w)]
    of_y, of_other = (world.memory.buffer(queue, a) for a in (y, other))
    step = prepared.bind([*buffers, None, of_y], queue, scratch)
    prepared.run([*buffers, None, of_other], queue, scratch)
    step()
    targets = [other.data.ptr, y.data.ptr]
    assert [launch.addresses[-1] for launch in world.cuda.launches] == targets
    for (pack, _, _), target in zip(world.frontend.executed, targets, strict=True):
        assert target in pack.values()


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (None, "cudnn.conv2d.graph.f32"),
        ("hard_swish", "cudnn.conv2d.graph_then_map.f32"),
        (None, "cudnn.conv2d.tiled_64x64.f32"),
    ],
)
def test_what_is_bound_keeps_its_buffers(world, activation, name):
    x, w = image()
    problem = dispatch.explain(dispatch.conv2d, x, w, activation=activation).decision.problem
    check_kept(world, problem, name, [x, w], (1, 4, 6, 6))


def test_what_is_bound_keeps_its_buffers_for_cublas(world):
    a, b = CuPyArray((7, 5), np.float32), CuPyArray((5, 6), np.float32)
    problem = dispatch.explain(dispatch.matmul, a, b).decision.problem
    check_kept(world, problem, "cudnn.matmul.cublas.f32", [a, b], (7, 6))


def check_kept(world, problem, name, arrays, shape):
    queue, chosen = world.memory.queue_of(arrays[0]), kernel(name)
    chosen.query(problem)
    arrays.append(CuPyArray(shape, np.float32))
    buffers = [world.memory.buffer(queue, array) for array in arrays]
    prepared = chosen.prepare(problem, [None] * 3, queue)
    size = prepared.scratch_bytes
    scratch = world.memory.allocate(queue, size) if size else None
    step = prepared.bind([*buffers[:2], None, buffers[2]], queue, scratch)
    owners = [weakref.ref(array) for array in arrays]
    if scratch is not None:
        owners.append(weakref.ref(scratch.owner))
    del arrays[:], buffers, scratch, prepared
    gc.collect()
    assert all(owner() is not None for owner in owners)
    del step
    gc.collect()


def test_least_is_left_first():
    problem = next(p for p in resnet50("float32", "nchw") if len(p.epilogue) == 2)
    ways = list(partings(problem))
    assert [(w.bias, [s.name for s in w.steps]) for w in ways] == [
        (False, ["relu"]),
        (False, ["add", "relu"]),
        (True, ["add", "relu"]),
    ]
    assert not list(partings(replace(problem, epilogue=(), inputs=(*problem.inputs[:2], None))))


def test_a_launch_walks_as_the_output_lies():
    problem = next(p for p in resnet50("float16", "nhwc") if len(p.epilogue) == 2)
    launch = launch_of(problem, bare(problem), GPU)
    assert launch.arguments == (SCRATCH, 2, 3, 4)
    defines = dict(launch.defines)
    assert defines["EXPRESSION"] == "relu_of(((a + b) + c))"
    assert defines["RANK"] == "2", "pixels are one axis, channels the other"
    numbers = np.frombuffer(launch.parameters, np.int32)[2:]
    pixels, channels = numbers[1:3]
    assert (pixels, channels) == (
        np.prod(problem.outputs[0].shape[2:]),
        problem.outputs[0].shape[1],
    )
    assert numbers[7:].reshape(4, 2).tolist() == [[channels, 1], [0, 1], *[[channels, 1]] * 2]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_every_launch_that_follows_is_a_program(dtype):
    seen = {}
    for name in ("matmul", "linear", "conv2d"):
        if name == "conv2d" and dtype == "float64":
            continue
        for problem in problems(name, dtype):
            launch = launch_of(problem, bare(problem), GPU)
            if launch is not None and not isinstance(launch, No):
                seen[dict(launch.defines)["EXPRESSION"]] = launch
    assert len(seen) >= 10
    for launch in seen.values():
        text = text_of(launch.source, launch.defines)
        assert nvrtc().compile(text, options_for(90), launch.source).startswith(b"\x7fELF")
