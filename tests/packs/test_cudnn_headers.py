"""What the pack knows of NVIDIA's libraries by heart, held to the libraries' own files."""

from __future__ import annotations

import ctypes
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import pytest

from kernels.cudnn import blas, driver, memory, peers
from kernels.cudnn.arrays import ForeignStream
from kernels.cudnn.graph import ALWAYS, notes_of
from tests.packs.c_prototypes import PROTOTYPES, check_call
from tests.packs.cudnn_problems import problems, resnet50

PACK = Path(driver.__file__).parent


def header(wheel, name):
    """Return a header without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", whole(wheel, name), flags=re.S)


def whole(wheel, name):
    """Return a header as it is."""
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        files = []
    path = next((Path(str(f.locate())) for f in files if f.name == name), None)
    if path is None:
        pytest.skip(f"{name} of {wheel} is not installed (make test-nvidia installs it)")
    return path.read_text(errors="replace")


def cuda():
    return header("nvidia-cuda-runtime", "cuda.h")


def declarations(text):
    """Return each function's parameters, under the names that the library exports."""
    found = {}
    for name, parameters in re.findall(r"\b(cu[A-Z]\w+|cublas\w+)\s*\(([^;{]*?)\)\s*;", text):
        parts = tuple(" ".join(p.split()) for p in parameters.split(","))
        found.setdefault(name, parts)
    plain = r"^\s*#\s*define\s+(cu\w+)\s+(?:__CUDA_API_PT[SD][SZ]\()?(cu\w+_v2|\w+WithFlags)\b"
    for name, exported in re.findall(plain, text, re.M):
        if name in found:
            found.setdefault(exported, found[name])
    return found


def spaced(parameters):
    return tuple(re.sub(r"\s*\*\s*", "*", p) for p in parameters)


def constants(text):
    """Return the values of enumerations' names that have one."""
    return {name: int(n, 0) for name, n in re.findall(r"\b(\w+)\s*=\s*(-?\w+)\b", text) if _is(n)}


def _is(number):
    return re.fullmatch(r"-?(0x[0-9a-fA-F]+|\d+)", number) is not None


def test_every_function_that_is_called_has_a_declaration():
    text = (PACK / "driver.py").read_text() + (PACK / "blas.py").read_text()
    called = set(re.findall(r'"(cu[A-Z]\w+|cublas\w+)"', text))
    called |= set(re.findall(r"_c\.(cu[A-Z]\w+|cublas\w+)", text))
    assert called == set(PROTOTYPES)


@pytest.mark.parametrize("prefix", ["cu[A-Z]", "cublas"])
def test_declarations_are_the_headers(prefix):
    text = cuda() if prefix == "cu[A-Z]" else header("nvidia-cublas", "cublas_api.h")
    found = declarations(text)
    known = {name: p for name, p in PROTOTYPES.items() if re.match(prefix, name)}
    assert {n: spaced(found[n]) for n in known} == {n: spaced(p) for n, p in known.items()}


def test_the_drivers_numbers_are_the_headers():
    known = constants(cuda())
    names = {
        "major": "COMPUTE_CAPABILITY_MAJOR",
        "minor": "COMPUTE_CAPABILITY_MINOR",
        "max_items": "MAX_THREADS_PER_BLOCK",
        "local_bytes": "MAX_SHARED_MEMORY_PER_BLOCK",
        "units": "MULTIPROCESSOR_COUNT",
    }
    wanted = {key: known[f"CU_DEVICE_ATTRIBUTE_{name}"] for key, name in names.items()}
    assert wanted == driver._ATTRIBUTES
    assert known["CU_EVENT_DISABLE_TIMING"] == driver._NO_TIMING
    assert known["CU_STREAM_CAPTURE_MODE_THREAD_LOCAL"] == driver._THIS_THREADS_CALLS
    assert known["CUDA_ERROR_NO_DEVICE"] == driver._NO_DEVICE
    assert known["CUDA_ERROR_OUT_OF_MEMORY"] == driver._OUT_OF_MEMORY


def test_a_device_is_lost_where_the_header_says_so():
    text = whole("nvidia-cuda-runtime", "cuda.h").partition("typedef enum cudaError_enum")[2]
    described = re.findall(r"/\*\*(.*?)\*/\s*(CUDA_ERROR_\w+)\s*=\s*(\d+)", text, re.S)
    names = {int(number): name for _, name, number in described}
    wanted = {
        int(number)
        for said, _, number in described
        if "process must be terminated" in " ".join(said.replace("*", " ").split())
    }
    assert len(wanted) > 8
    assert wanted <= {*driver._LOST}, {names[n] for n in wanted - {*driver._LOST}}
    assert not any("CAPTURE" in names[n] or "INVALID_VALUE" in names[n] for n in driver._LOST)


def test_the_handle_of_each_threads_own_stream_is_the_headers():
    text = cuda()
    assert re.search(rf"define CU_STREAM_PER_THREAD\s+\(\(CUstream\)0x{memory.PER_THREAD}\)", text)


def test_cublas_numbers_are_the_headers():
    known = constants(header("nvidia-cublas", "cublas_api.h"))
    assert {
        "float32": known["CUBLAS_COMPUTE_32F"],
        "strict float32": known["CUBLAS_COMPUTE_32F_PEDANTIC"],
        "tf32": known["CUBLAS_COMPUTE_32F_FAST_TF32"],
        "float64": known["CUBLAS_COMPUTE_64F"],
    } == blas._COMPUTE
    assert known["CUBLAS_GEMM_DEFAULT"] == blas._DEFAULT
    assert known["CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION"] == blas._SUMS_IN_FLOAT
    assert known["CUBLAS_STATUS_ALLOC_FAILED"] == blas._ALLOCATION_FAILED
    types = constants(header("nvidia-cuda-runtime", "library_types.h"))
    names = {"float32": "32F", "float64": "64F", "float16": "16F", "bfloat16": "16BF"}
    assert {dtype: types[f"CUDA_R_{name}"] for dtype, name in names.items()} == blas._TYPES


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("cuStreamSynchronize", (0x7F00_0000_0000,)),
        ("cuStreamSynchronize", ()),
        ("cuGraphInstantiateWithFlags", (ctypes.byref(ctypes.c_void_p()), None, 0)),
        ("cuDeviceGetCount", (ctypes.c_int(),)),
        ("cuInit", (2**40,)),
        ("cuNoSuchFunction", ()),
    ],
)
def test_arguments_that_c_would_read_otherwise_are_refused(function, arguments):
    with pytest.raises(AssertionError, match=function):
        check_call(function, arguments)


def test_cupy_takes_a_foreign_stream_and_warns_of_nothing():
    cupy = pytest.importorskip("cupy")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cupy.cuda.Stream.from_external(ForeignStream(0x77)).ptr == 0x77


needs_frontend = pytest.mark.skipif(
    find_spec("cudnn") is None,
    reason="cuDNN's frontend is not installed (make test-nvidia installs it)",
)


@needs_frontend
def test_the_frontend_finds_the_runtime_that_loading_a_plan_needs():
    code = (
        "import ctypes, os; from kernels.cudnn.library import frontend; frontend();"
        "ctypes.CDLL('libcudart.so.13', mode=os.RTLD_NOW | os.RTLD_NOLOAD).cudaStreamIsCapturing"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@needs_frontend
def test_the_frontend_has_every_name_that_graphs_are_described_by():
    import cudnn

    notes = {*ALWAYS}
    for precision in ("highest", "high", "medium"):
        for dtype in ("float32", "float16"):
            (problem, *_) = problems("matmul", dtype, 1)
            notes |= {*notes_of(replace(problem, precision=precision))}
    assert all(hasattr(cudnn.numerical_note, note) for note in notes)
    assert all(hasattr(cudnn.heur_mode, mode) for mode in ("A", "FALLBACK"))


class Torch:
    """Notes which arguments each function is given."""

    def __getattr__(self, name):
        return lambda *given: (name, given)


@pytest.mark.parametrize(
    ("steps", "name", "parameters"),
    [
        (
            ("relu",),
            "cudnn_convolution_relu",
            ["self", "weight", "bias", "stride", "padding", "dilation", "groups"],
        ),
        (
            ("add", "relu"),
            "cudnn_convolution_add_relu",
            ["self", "weight", "z", "alpha", "bias", "stride", "padding", "dilation", "groups"],
        ),
    ],
)
def test_pytorchs_fused_convolutions_take_what_they_are_given(steps, name, parameters):
    problem = next(
        p for p in resnet50("float32", "nchw") if tuple(s.name for s in p.epilogue) == steps
    )
    tensors = [f"t{index}" for index in range(len(problem.inputs))]
    called, given = peers.fused(Torch(), problem, tensors)()
    attributes = dict(problem.attributes)
    values = {
        "self": "t0",
        "weight": "t1",
        "bias": "t2",
        "z": tensors[-1],
        "alpha": 1.0,
        "stride": attributes["strides"],
        "padding": attributes["pads"][:2],
        "dilation": attributes["dilations"],
        "groups": 1,
    }
    assert (called, given) == (name, tuple(values[p] for p in parameters))
    torch = pytest.importorskip("torch")
    schema = getattr(torch.ops.aten, name).default._schema
    assert [argument.name for argument in schema.arguments] == parameters


def test_pytorch_fuses_nothing_else():
    (product, *_) = problems("matmul", "float32", 1)
    assert peers.fused(Torch(), product, []) is None
    plain = replace(next(resnet50("float32", "nchw")), epilogue=())
    assert peers.fused(Torch(), plain, ["x", "w", "b"]) is None
