"""The oneDNN pack: how it opens, and what conformance's one-thread calls don't reach."""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dispatch
from dispatch.answer import No, NoCode, Yes
from dispatch.errors import PackUnavailable, RegistrationError
from dispatch.native import aligned_bytes
from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import TensorSpec

mkldnn = pytest.importorskip("kernels.mkldnn")


@pytest.fixture(scope="module")
def pack():
    try:
        return mkldnn.pack.open()
    except PackUnavailable as error:
        pytest.skip(str(error))


def kernel(pack, name):
    (found,) = [k for k in pack.kernels if k.name == f"mkldnn.{name}"]
    return found


SLOPE = 0.125
RESIDUAL = (EpilogueStep("add", 3), EpilogueStep("leaky_relu", alpha=SLOPE))


def conv_problem(layout="nchw", epilogue=(), precision="high"):
    channels, size = 24, 9
    shape = (1, channels, size, size)
    image = TensorSpec("float32", shape, layout)
    inputs = (
        image,
        TensorSpec("float32", (channels, channels, 3, 3), constant=True),
        TensorSpec("float32", (channels,), constant=True),
    )
    operands = (image,) * sum(step.input >= 0 for step in epilogue)
    return Problem(
        operator="conv2d",
        inputs=inputs + operands,
        outputs=(image,),
        attributes=(
            ("dilations", (1, 1)), ("groups", 1), ("pads", (1, 1, 1, 1)), ("strides", (1, 1)),
        ),
        epilogue=epilogue,
        num_operator_inputs=3,
        precision=precision,
    )  # fmt: skip


def reference(x, w, bias, residual=None):
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    y = np.einsum("nchwij,ocij->nohw", windows, w.astype(np.float64)) + bias[:, None, None]
    if residual is None:
        return y
    y = y + residual
    return np.where(y > 0, y, SLOPE * y)


def stored(x, layout):
    """Return x's bytes in a layout, blocks filled up with zeros."""
    if layout == "nchw":
        return x.copy()
    if layout == "nhwc":
        return np.ascontiguousarray(x.transpose(0, 2, 3, 1))
    block = int(layout[4:-1])
    n, c, h, w = x.shape
    full = np.zeros((n, -(-c // block) * block, h, w), x.dtype)
    full[:, :c] = x
    return np.ascontiguousarray(full.reshape(n, -1, block, h, w).transpose(0, 1, 3, 4, 2))


@pytest.fixture
def operands():
    rng = np.random.default_rng(0)
    return (
        rng.standard_normal((1, 24, 9, 9), np.float32),
        rng.standard_normal((24, 24, 3, 3), np.float32),
        rng.standard_normal(24, np.float32),
        rng.standard_normal((1, 24, 9, 9), np.float32),
    )


def prepared(kernel, problem, w, bias):
    """Return the prepared kernel with its constants as run() takes them."""
    made = kernel.prepare(problem, [None, w, bias] + [None] * (len(problem.inputs) - 3))
    constants = [
        made.pack(index, value) if made.packed_bytes[index] else value
        for index, value in ((1, w), (2, bias))
    ]
    return made, constants


def test_missing_library_says_what_to_install():
    with pytest.raises(PackUnavailable, match="onednn-cpu-gomp"):
        mkldnn.pack.open({"library": "/nonexistent/libdnnl.so.3"})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("int unrelated;", "isn't oneDNN"),
        ("const int *dnnl_version(void) { static int v[] = {2, 7, 0, 0, 0, 2, 0}; return v; }",
         r"oneDNN 2\.7\.0; expected 3\.2"),
    ],
)  # fmt: skip
def test_wrong_library_says_what_was_found(tmp_path, source, message):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "fake.c").write_text(source)
    library = tmp_path / "libdnnl.so.3"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-o", str(library), str(tmp_path / "fake.c")], check=True
    )
    with pytest.raises(PackUnavailable, match=message):
        mkldnn.pack.open({"library": str(library)})


def test_unknown_option_is_refused(pack):
    with pytest.raises(RegistrationError, match="expected 'library'"):
        mkldnn.pack.open({"speed": "high"})


def test_two_opened_packs_are_independent(pack):
    other = mkldnn.pack.open()
    assert other.library_version == pack.library_version
    assert isinstance(kernel(other, "conv2d.direct.f32").query(conv_problem()), Yes)


@pytest.mark.parametrize("layout", ["nchw", "nhwc", "nChw16c", "nChw8c"])
@pytest.mark.parametrize("in_place", [False, True])
def test_residual_may_share_the_outputs_memory(pack, operands, layout, in_place):
    x, w, bias, residual = operands
    problem = conv_problem(layout, RESIDUAL)
    chosen = kernel(pack, "conv2d.direct.f32")
    answer = chosen.query(problem)
    assert isinstance(answer, Yes)
    if in_place and 3 not in answer.may_overwrite:
        pytest.skip("the kernel doesn't offer it in this layout")
    made, constants = prepared(chosen, problem, w, bias)
    shared = stored(residual, layout)
    y = shared if in_place else np.full_like(shared, np.nan)
    made.run([stored(x, layout), *constants, shared, y])
    expected = stored(reference(x, w, bias, residual).astype(np.float32), layout)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-4)


def test_some_layout_offers_the_residual_in_place(pack):
    answer = kernel(pack, "conv2d.direct.f32").query(conv_problem("nhwc", RESIDUAL))
    assert answer.may_overwrite == {3}


LOSING = [
    EpilogueStep("clip", alpha=0.5, beta=6.0),
    EpilogueStep("hard_sigmoid", alpha=0.2, beta=0.5),
    EpilogueStep("sigmoid"),
    EpilogueStep("gelu"),
    EpilogueStep("gelu", alpha=1.0),
    EpilogueStep("leaky_relu", alpha=0.0),
]


@pytest.mark.parametrize("algorithm", ["direct", "staged"])
@pytest.mark.parametrize("step", LOSING, ids=lambda step: f"{step.name}-{step.alpha:g}")
def test_activations_that_lose_nan_or_infinity_need_medium_precision(pack, step, algorithm):
    chosen = kernel(pack, f"conv2d.{algorithm}.f32")
    layout = "nhwc" if algorithm == "direct" else "nchw"
    for precision in ("high", "highest"):
        answer = chosen.query(conv_problem(layout, (step,), precision))
        assert isinstance(answer, No)
        assert (answer.code, answer.subject) == (NoCode.EPILOGUE, step.name)
        assert "medium" in answer.limit
    assert isinstance(chosen.query(conv_problem(layout, (step,), "medium")), Yes)


KEEPING = [
    EpilogueStep("relu"),
    EpilogueStep("clip", alpha=0.0, beta=6.0),
    EpilogueStep("leaky_relu", alpha=SLOPE),
    EpilogueStep("hard_swish"),
    EpilogueStep("silu"),
]


@pytest.mark.parametrize("step", KEEPING, ids=lambda step: step.name)
def test_other_activations_are_served_at_highest_precision(pack, step):
    problem = conv_problem("nhwc", (step,), "highest")
    assert isinstance(kernel(pack, "conv2d.direct.f32").query(problem), Yes)


@pytest.mark.parametrize("algorithm", ["direct", "staged"])
def test_one_prepared_kernel_serves_many_threads(pack, operands, algorithm):
    x, w, bias, _ = operands
    problem = conv_problem("nhwc" if algorithm == "direct" else "nchw")
    layout = problem.outputs[0].layout
    chosen = kernel(pack, f"conv2d.{algorithm}.f32")
    made, constants = prepared(chosen, problem, w, bias)
    source = stored(x, layout)
    expected = np.empty_like(source)
    made.run([source, *constants, expected])

    def work(_):
        mine = source.copy()
        for _ in range(200):
            y = np.full_like(expected, np.nan)
            made.run([mine, *constants, y])
            if not np.array_equal(y, expected):
                return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))


def test_misaligned_buffers_are_right(pack, operands):
    x, w, bias, _ = operands
    problem = conv_problem("nhwc")
    made, constants = prepared(kernel(pack, "conv2d.direct.f32"), problem, w, bias)
    source = stored(x, "nhwc")

    def shifted():
        return aligned_bytes(source.nbytes + 4)[4:].view(np.float32).reshape(source.shape)

    x_shifted, y_shifted = shifted(), shifted()
    x_shifted[...] = source
    made.run([x_shifted, *constants, y_shifted])
    expected = stored(reference(x, w, bias).astype(np.float32), "nhwc")
    np.testing.assert_allclose(y_shifted, expected, rtol=0, atol=1e-4)


def test_oversized_tensors_are_refused(pack):
    huge = TensorSpec("float32", (1, 1 << 16, 1 << 16))
    problem = Problem(operator="abs", inputs=(huge,), outputs=(huge,))
    answer = kernel(pack, "abs.eltwise.f32").query(problem)
    assert isinstance(answer, No)
    assert answer.code is NoCode.MEMORY


def test_eager_convolution_with_a_constant_weight_runs_here(pack, operands):
    x, w, bias, _ = operands
    explanation = dispatch.explain(
        dispatch.conv2d, x, dispatch.constant(w), dispatch.constant(bias), pads=1
    )
    names = [kernel.name for kernel in pack.kernels]
    assert {"mkldnn.conv2d.direct.f32", "mkldnn.conv2d.staged.f32"} <= set(names)
    assert "mkldnn.conv2d" in str(explanation)
