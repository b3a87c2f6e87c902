"""The pack on a CUDA driver for tests, in processes of their own: CuPy and ctypes are real there.

tests/packs/cuda_for_tests.py says what that driver is, and what it can't be.
"""

from __future__ import annotations

import json
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.packs.cuda_for_tests import COMPILER, SOURCES, build, build_runtime, run
from tests.packs.libcuda_checks import CHECKS
from tests.packs.test_cudnn_headers import cuda, declarations

MISSING = [name for name in ("cupy", "cudnn") if find_spec(name) is None]
pytestmark = [
    pytest.mark.xdist_group("libcuda"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs Linux"),
    pytest.mark.skipif(COMPILER is None, reason="needs a C compiler"),
]
OF_THE_DRIVER = (
    "memory_is_poisoned_and_guarded",
    "captures_keep_the_rules",
    "another_threads_capture_stops_no_one",
    "what_is_recorded_runs_when_it_is_launched",
)
"""Checks that need nothing installed."""
SETTINGS = {
    "torchs_memory_may_end": {"MEMORY": "100000000"},
    "a_second_device_is_another": {"DEVICES": "2"},
    "no_memory_is_recovered_from": {"MEMORY": "16000000"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("libcuda")
    build(made)
    return made


@pytest.fixture(scope="module")
def torch_folder(folder):
    found = find_spec("torch")
    library = found and Path(found.origin).parent / "lib" / "libtorch_cuda.so"
    if not library or not library.exists():
        pytest.skip("PyTorch for CUDA is not installed (make bench-nvidia installs it)")
    build_runtime(folder, library.parents[1])
    return folder


def needs_wheels():
    if MISSING:
        pytest.skip(f"{', '.join(MISSING)} not installed (make test-nvidia installs them)")


@pytest.mark.parametrize("name", [name for name in CHECKS if not name.startswith("torchs")])
def test_on_the_driver(folder, name):
    if name not in OF_THE_DRIVER:
        needs_wheels()
    done = passed(folder, name)
    assert not done.stderr, "complaints, or errors that nobody heard of"


@pytest.mark.parametrize("name", [name for name in CHECKS if name.startswith("torchs")])
def test_torch_on_the_driver(torch_folder, name):
    needs_wheels()
    passed(torch_folder, name)


def passed(folder, name):
    settings = {"LOG": str(folder / f"{name}.log"), **SETTINGS.get(name, {})}
    done = run(["-m", "tests.packs.libcuda_checks", name], folder, **settings)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def listed(folder, **settings):
    done = run(["-m", "dispatch", "packs", "--json"], folder, **settings)
    assert done.returncode == 0, done.stderr
    return next(pack for pack in json.loads(done.stdout) if pack["name"] == "cudnn")


def test_the_pack_names_its_devices(folder):
    needs_wheels()
    pack = listed(folder, DEVICES="2")
    assert pack["available"]
    assert pack["library_version"].endswith(", NVIDIA H200 (sm_90); NVIDIA H200 (sm_90)")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"DEVICES": "0"}, "no NVIDIA GPU is visible"),
        ({"VERSION": "12090"}, "too old: expected one for CUDA >= 13.0, got one for 12.9"),
    ],
)
def test_what_is_missing_is_said(folder, settings, reason):
    needs_wheels()
    pack = listed(folder, **settings)
    assert not pack["available"] and reason in pack["reason"]


def test_nvidias_runtime_refuses_the_driver(folder):
    """It isn't NVIDIA's, and says nothing else: what is held here is held without that runtime."""
    needs_wheels()
    done = run(["-c", "import cupy; print(cupy.cuda.is_available()); cupy.empty(1)"], folder)
    assert done.stdout == "False\n" and "CUDARuntimeError" in done.stderr


def test_the_drivers_functions_take_what_the_header_says():
    known = declarations(cuda())
    text = "".join(path.read_text() for path in sorted(SOURCES.glob("*.c")))
    defined = re.findall(r"^API CUresult (cu[A-Z]\w+)\(([^)]*(?:\([^)]*\)[^)]*)*)\) {", text, re.M)
    counted = {}
    for name, parameters in defined:
        declared = known.get(name, known.get(re.sub(r"_v\d$", "", name)))
        if declared is not None:
            given = re.sub(r"\(\*\w+\)\([^)]*\)", "", parameters)
            counted[name] = len(given.split(",")), len(declared)
    assert len(counted) > 60
    assert {name: both for name, both in counted.items() if both[0] != both[1]} == {}
