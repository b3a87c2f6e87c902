"""The Arm Compute Library's pack: how it finds its library, and what conformance doesn't reach."""

import ctypes
import os
import platform
import shlex
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import dispatch
from dispatch.answer import No, NoCode, Yes
from dispatch.errors import PackUnavailable, RegistrationError
from dispatch.problem import EpilogueStep, Problem
from dispatch.tensor import TensorSpec

arm_compute = pytest.importorskip("kernels.arm_compute")

IS_ARM = platform.machine() in ("aarch64", "arm64")
BUILD_INFORMATION = "_ZN11arm_compute17build_informationB5cxx11Ev"
on_arm = pytest.mark.skipif(not IS_ARM, reason="needs an aarch64 machine")


# ---- Finding the library: on any machine ---------------------------------------------------------


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Leave no library to be found but those that a test puts under `tmp_path`."""
    monkeypatch.delenv(arm_compute.VARIABLE, raising=False)
    monkeypatch.setattr(arm_compute, "SYSTEM_FOLDERS", (str(tmp_path / "system"),))
    (tmp_path / "system").mkdir()
    wheel = tmp_path / "site"
    wheel.mkdir()
    monkeypatch.setattr(sys, "path", [str(wheel)])
    return tmp_path


def add_system_library(places):
    path = places / "system" / arm_compute.SONAME
    path.touch()
    return str(path)


def add_wheel(places):
    """Lay PyTorch's wheel out as far as its list of files goes."""
    site = places / "site"
    path = site / "torch.libs" / "libarm_compute-0123abcd.so"
    path.parent.mkdir()
    path.touch()
    info = site / "torch-2.6.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.6.0\n")
    (info / "RECORD").write_text(
        "torch.libs/libarm_compute_graph-4567.so,,\ntorch.libs/libarm_compute-0123abcd.so,,\n"
    )
    return str(path.resolve())


def test_without_a_library_the_soname_is_tried(places) -> None:
    assert arm_compute.options() == {"library": arm_compute.SONAME}


def test_the_library_in_the_wheel_of_torch_is_found(places) -> None:
    library = add_wheel(places)
    assert arm_compute.options() == {"library": library}


def test_the_systems_library_comes_before_the_wheels(places) -> None:
    add_wheel(places)
    library = add_system_library(places)
    assert arm_compute.options() == {"library": library}


def test_the_variable_comes_first(places, monkeypatch) -> None:
    add_system_library(places)
    monkeypatch.setenv(arm_compute.VARIABLE, "/opt/libarm_compute.so")
    assert arm_compute.options() == {"library": "/opt/libarm_compute.so"}


@pytest.mark.skipif(IS_ARM, reason="an aarch64 machine builds the pack")
def test_elsewhere_it_is_listed_with_its_reason() -> None:
    (pack,) = [p for p in dispatch.packs() if p.name == "arm_compute"]
    assert not pack.available
    assert "not built for this machine" in pack.reason
    assert "libarm-compute-dev" in pack.reason


# ---- Opening it ----------------------------------------------------------------------------------


def reason(library: str) -> str:
    """Return why a library can't be opened."""
    with pytest.raises(PackUnavailable) as caught:
        arm_compute.pack.open({"library": library})
    return str(caught.value)


def reason_elsewhere(library: str, made_global: str = "") -> str:
    """The same, in a process that has bound no library yet."""
    code = (
        "import ctypes, sys\n"
        "from dispatch.errors import PackUnavailable\n"
        "from kernels.arm_compute import pack\n"
        "if sys.argv[2]:\n"
        "    ctypes.CDLL(sys.argv[2], ctypes.RTLD_GLOBAL)\n"
        "try:\n"
        "    pack.open({'library': sys.argv[1]})\n"
        "except PackUnavailable as error:\n"
        "    print(error)\n"
    )
    # An emulated process can't start its own program, but the emulator.
    python = shlex.split(os.environ.get("DISPATCH_TEST_PYTHON", "")) or [sys.executable]
    done = subprocess.run(
        [*python, "-P", "-c", code, library, made_global],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def pack():
    if not IS_ARM:
        pytest.skip("needs an aarch64 machine")
    try:
        return arm_compute.pack.open()
    except PackUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def fake(tmp_path_factory):
    """Compile a library that says of itself what it is told to."""
    compiler = shutil.which("aarch64-linux-gnu-g++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    folder = tmp_path_factory.mktemp("fake")

    def make(name: str, information: str) -> str:
        source, library = folder / f"{name}.cpp", folder / f"{name}.so"
        source.write_text(
            "#include <string>\nnamespace arm_compute {\n"
            f'std::string build_information() {{ return "{information}"; }}\n}}\n'
        )
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
        return str(library)

    return make


@on_arm
def test_a_missing_library_is_a_reason(pack) -> None:
    text = reason("/nowhere/libarm_compute.so")
    assert "can't load the Arm Compute Library from /nowhere/libarm_compute.so" in text
    assert "libarm-compute43" in text
    assert arm_compute.VARIABLE in text


@on_arm
def test_another_library_is_a_reason(pack) -> None:
    assert "libm.so.6 isn't an Arm Compute Library" in reason("libm.so.6")


@on_arm
@pytest.mark.parametrize(("version", "said"), [("v23.02.1", "23.02.1"), ("v24.1", "24.1")])
def test_a_version_that_was_not_tried_is_a_reason(pack, fake, version, said) -> None:
    library = fake(f"acl_{version}", f"arm_compute_version={version} Build options: ")
    text = reason(library)
    assert f"is Arm Compute Library {said}; expected 24.09 or 24.11" in text


@on_arm
def test_a_library_without_a_version_is_a_reason(pack, fake) -> None:
    assert "of no known version" in reason(fake("acl_silent", "nothing"))


@on_arm
def test_a_library_whose_classes_are_missing_is_a_reason(pack, fake) -> None:
    text = reason_elsewhere(fake("acl_hollow", "arm_compute_version=v24.11 Build options: "))
    assert "doesn't fit the pack's code" in text
    assert "undefined symbol" in text


@on_arm
def test_a_process_binds_one_library(pack, tmp_path) -> None:
    other = tmp_path / "libarm_compute.so"
    shutil.copy(pack.options["library"], other)
    assert "which has bound" in reason(str(other))
    assert arm_compute.pack.open().library_version == pack.library_version


@on_arm
def test_its_names_are_not_global(pack) -> None:
    """PyTorch brings a copy of the library, which would be bound to this one, of its version."""
    with pytest.raises(AttributeError, match="undefined symbol"):
        ctypes.CDLL(None)[BUILD_INFORMATION]


@on_arm
def test_a_global_library_beside_it_is_a_reason(pack, fake) -> None:
    other = fake("acl_global", "arm_compute_version=v24.11 Build options: ")
    text = reason_elsewhere(pack.options["library"], made_global=other)
    assert "another Arm Compute Library's names are global in this process" in text
    assert "RTLD_LOCAL" in text


@on_arm
def test_an_unknown_option_is_refused(pack) -> None:
    with pytest.raises(RegistrationError, match="option 'threads': expected 'library'"):
        arm_compute.pack.open({"threads": "2"})


# ---- Running it ----------------------------------------------------------------------------------


def kernel(pack, name):
    (found,) = [k for k in pack.kernels if k.name == f"arm_compute.{name}"]
    return found


def conv_problem(layout="nhwc", constant=True, **settings):
    image = TensorSpec("float32", (1, 24, 9, 9), layout)
    return Problem(
        operator="conv2d",
        inputs=(
            image,
            TensorSpec("float32", (24, 24, 3, 3), constant=constant),
            TensorSpec("float32", (24,), constant=constant),
        ),
        outputs=(image,),
        attributes=(
            ("dilations", (1, 1)), ("groups", 1), ("pads", (1, 1, 1, 1)), ("strides", (1, 1)),
        ),
        num_operator_inputs=3,
        device="arm",
        **settings,
    )  # fmt: skip


def matmul_problem(constant=True, dtype="float32", **settings):
    return Problem(
        operator="matmul",
        inputs=(
            TensorSpec(dtype, (37, 65)),
            TensorSpec(dtype, (65, 29), constant=constant),
            None,
        ),
        outputs=(TensorSpec(dtype, (37, 29)),),
        attributes=(("alpha", 1.0), ("transpose_a", 0), ("transpose_b", 0)),
        num_operator_inputs=3,
        device="arm",
        **settings,
    )


def convolve(x, w, bias):
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, w.astype(np.float64)) + bias[:, None, None]


def draw(seed=0):
    rng = np.random.default_rng(seed)
    return [
        rng.uniform(-1, 1, shape).astype("f4") for shape in ((1, 24, 9, 9), (24, 24, 3, 3), (24,))
    ]


def stored(x, layout):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1) if layout == "nhwc" else x)


def run_convolution(prepared, problem, x, w, bias):
    layout = problem.outputs[0].layout
    y = np.full(stored(x, layout).shape, np.nan, "f4")
    prepared.run([stored(x, layout), w, bias, y])
    return y.transpose(0, 3, 1, 2) if layout == "nhwc" else y


CONVOLUTIONS = ("direct", "gemm", "implicit_gemm", "winograd")


@pytest.mark.parametrize("algorithm", CONVOLUTIONS)
def test_medium_precision_stays_within_its_bound(pack, algorithm) -> None:
    x, w, bias = draw()
    problem = conv_problem(precision="medium")
    found = kernel(pack, f"conv2d.{algorithm}.f32")
    assert isinstance(found.query(problem), Yes)
    y = run_convolution(found.prepare(problem, [None, w, bias]), problem, x, w, bias)
    bound = 16 * 2.0**-7 * convolve(np.abs(x), np.abs(w), np.abs(bias))
    assert (np.abs(y - convolve(x, w, bias)) <= bound).all()


def test_winograd_is_refused_at_the_highest_precision(pack) -> None:
    answer = kernel(pack, "conv2d.winograd.f32").query(conv_problem(precision="highest"))
    assert isinstance(answer, No)
    assert answer.code is NoCode.PRECISION


@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
@pytest.mark.parametrize("algorithm", ["direct", "gemm"])
def test_weights_that_change_are_packed_at_each_run(pack, algorithm, layout) -> None:
    problem = conv_problem(layout, constant=False)
    prepared = kernel(pack, f"conv2d.{algorithm}.f32").prepare(problem, [None] * 3)
    for seed in range(3):
        x, w, bias = draw(seed)
        y = run_convolution(prepared, problem, x, w, bias)
        assert np.abs(y - convolve(x, w, bias)).max() < 1e-3


def test_a_product_follows_a_second_operand_that_changes(pack) -> None:
    problem = matmul_problem(constant=False)
    prepared = kernel(pack, "matmul.gemm.f32").prepare(problem, [None] * 3)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        a, b = rng.uniform(-1, 1, (37, 65)).astype("f4"), rng.uniform(-1, 1, (65, 29)).astype("f4")
        y = np.empty((37, 29), "f4")
        prepared.run([a, b, None, y])
        assert np.abs(y - a.astype("f8") @ b).max() < 1e-4


@pytest.mark.parametrize("algorithm", CONVOLUTIONS)
def test_many_runs_at_once_each_have_objects_of_their_own(pack, algorithm) -> None:
    problem = conv_problem()
    _, w, bias = draw()
    prepared = kernel(pack, f"conv2d.{algorithm}.f32").prepare(problem, [None, w, bias])

    def work(seed: int) -> float:
        x = draw(seed)[0]
        wanted = convolve(x, w, bias)
        errors = [
            np.abs(run_convolution(prepared, problem, x, w, bias) - wanted).max() for _ in range(5)
        ]
        return max(errors)

    with ThreadPoolExecutor(8) as workers:
        assert max(workers.map(work, range(16))) < 1e-3


@pytest.mark.parametrize("name", ["conv2d.gemm.f32", "conv2d.winograd.f32"])
def test_a_deterministic_convolution_is_the_same_on_any_number_of_threads(pack, name) -> None:
    x, w, bias = draw()
    results = []
    for threads in (1, 2, 3):
        problem = conv_problem(deterministic=True, threads=threads)
        prepared = kernel(pack, name).prepare(problem, [None, w, bias])
        results.append(run_convolution(prepared, problem, x, w, bias).tobytes())
    assert len(set(results)) == 1


def test_two_threads_share_a_convolution(pack) -> None:
    x, w, bias = draw()
    problem = conv_problem(threads=2)
    prepared = kernel(pack, "conv2d.gemm.f32").prepare(problem, [None, w, bias])
    y = run_convolution(prepared, problem, x, w, bias)
    assert np.abs(y - convolve(x, w, bias)).max() < 1e-4


def test_constants_belong_to_the_prepared_kernel(pack) -> None:
    answer = kernel(pack, "conv2d.gemm.f32").query(conv_problem())
    assert isinstance(answer, Yes)
    assert answer.binds_constants
    answer = kernel(pack, "conv2d.gemm.f32").query(conv_problem(constant=False))
    assert isinstance(answer, Yes)
    assert not answer.binds_constants


def test_a_refusal_has_the_librarys_words(pack) -> None:
    answer = kernel(pack, "conv2d.implicit_gemm.f32").query(conv_problem("nchw"))
    assert isinstance(answer, No)
    assert answer.code is NoCode.LIBRARY
    assert "NHWC" in str(answer)


def test_half_precision_sums_are_for_medium_alone(pack) -> None:
    answer = kernel(pack, "matmul.gemm.f16").query(matmul_problem(dtype="float16"))
    assert isinstance(answer, No)
    assert answer.code in (NoCode.PRECISION, NoCode.CPU_FEATURE)


def test_relu_keeps_nan_where_it_is_fused(pack) -> None:
    x, w, bias = draw()
    x[0, 3, 4, 4] = np.nan
    problem = conv_problem(epilogue=(EpilogueStep("relu"),))
    for algorithm in CONVOLUTIONS:
        prepared = kernel(pack, f"conv2d.{algorithm}.f32").prepare(problem, [None, w, bias])
        y = run_convolution(prepared, problem, x, w, bias)
        assert np.isnan(y[0, :, 4, 4]).all()
        assert not (y < 0).any()


def test_the_eager_call_on_arm_is_the_packs(pack) -> None:
    x, w, bias = draw()
    with dispatch.using(packs="arm_compute"):
        decision = dispatch.explain(dispatch.conv2d, x, dispatch.constant(w), bias, pads=1).decision
        assert decision.kernel.name.startswith("arm_compute.conv2d.")
        y = dispatch.conv2d(x, dispatch.constant(w), bias, pads=1)
    assert np.abs(y - convolve(x, w, bias)).max() < 1e-3
