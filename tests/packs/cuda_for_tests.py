"""A CUDA driver for tests, and processes in which libraries find it instead of NVIDIA's.

What it can is in tests/packs/libcuda: devices that look like an H200 and whose memory is the
host's, streams, events, graphs; kernels of cubins are checked and counted, not run. NVIDIA's
runtime refuses it by a test of its own for NVIDIA's drivers, and with it cuDNN and cuBLAS do. So
CuPy and PyTorch get runtimes of ours (`cupy_on_driver`, `torch_on_driver`), and the two libraries
stay fakes.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

__all__ = [
    "COMPILER",
    "SOURCES",
    "build",
    "build_runtime",
    "cupy_on_driver",
    "environment",
    "loaded",
    "run",
    "torch_on_driver",
]

COMPILER = shutil.which("cc") or shutil.which("gcc")
SONAME = "libcuda.so.1"
CUPY_RUNTIME = "libcupy_runtime.so"
CUDART = "libcudart.so.13"
SOURCES = Path(__file__).parent / "libcuda"
OPTIONS = ("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
ROOT = Path(__file__).parents[2]

_TYPES: dict[str, Any] = {
    "PyObject *": ctypes.py_object,
    "float": ctypes.c_float,
    "int": ctypes.c_int,
    "intptr_t": ctypes.c_ssize_t,
    "size_t": ctypes.c_size_t,
    "unsigned int": ctypes.c_uint,
}


def build(folder: Path) -> Path:
    """Build the driver, and CuPy's runtime on it, in a folder; return the driver."""
    assert COMPILER is not None
    made = folder / SONAME
    hidden = "-fvisibility=hidden", "-Wl,-z,defs"
    sources = sorted(map(str, SOURCES.glob("*.c")))
    named = f"-Wl,-soname,{SONAME}"
    command = [COMPILER, *OPTIONS, *hidden, named, "-o", str(made), *sources, "-ldl", "-lpthread"]
    subprocess.run(command, check=True)
    headers = f"-I{sysconfig.get_paths()['include']}"
    sources = sorted(map(str, SOURCES.glob("cupy/*.c")))
    target = str(folder / CUPY_RUNTIME)
    subprocess.run(
        [COMPILER, *OPTIONS, headers, "-o", target, *sources, str(made)],
        check=True,
    )
    return made


def build_runtime(folder: Path, torch: Path) -> None:
    """Build a runtime beside the driver: what PyTorch, installed in a folder, is linked with."""
    assert COMPILER is not None
    source = SOURCES / "cudart" / "runtime.c"
    wanted: set[str] = set()
    for library in (torch / "lib").glob("lib*.so"):
        with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as data:
            wanted |= {n.decode() for n in re.findall(rb"\0(cuda[A-Z]\w+)(?=\0)", data)}
    known = set(re.findall(r"\b(cuda[A-Z]\w+)[,(]", source.read_text()))
    lines = (f"UNSUPPORTED({name})\n" for name in sorted(wanted - known))
    (folder / "unsupported.inc").write_text("".join(lines))
    (folder / "cudart.map").write_text(f"{CUDART} {{ global: *; }};\n")
    command = [COMPILER, *OPTIONS, f"-I{folder}", f"-Wl,-soname,{CUDART}"]
    versioned = f"-Wl,--version-script={folder / 'cudart.map'}"
    made = ["-o", str(folder / CUDART), str(source), str(folder / SONAME)]
    subprocess.run([*command, versioned, *made], check=True)


def environment(folder: Path, **settings: str) -> dict[str, str]:
    """Return the environment of a process that finds the driver of a folder.

    Parameters
    ----------
    settings
        ``DEVICES``, their number; ``MEMORY``, bytes that each has; ``VERSION``, as
        cuDriverGetVersion gives it; ``LOG``, a file for what went wrong.
    """
    own = {f"LIBCUDA_{name}": value for name, value in settings.items()}
    caches = {"XDG_CACHE_HOME": str(folder), "CUPY_CACHE_DIR": str(folder / "cupy")}
    return {**os.environ, **own, **caches, "LD_LIBRARY_PATH": str(folder)}


def run(
    command: Sequence[str], folder: Path, seconds: float = 60, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run Python with the driver of a folder in the libraries' way."""
    return subprocess.run(
        [sys.executable, *command],
        env=environment(folder, **settings),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def loaded() -> ctypes.CDLL:
    """Return the driver, in a process that finds it: what it counted is asked there."""
    library = ctypes.CDLL(SONAME)
    for name in ("fake_calls", "fake_launches"):
        function = getattr(library, name)
        function.argtypes, function.restype = [ctypes.c_char_p], ctypes.c_uint64
    return library


def torch_on_driver() -> ModuleType:
    """Return PyTorch, with `build_runtime`'s runtime in the place of NVIDIA's."""
    ctypes.CDLL(CUDART, mode=ctypes.RTLD_GLOBAL)  # by this name PyTorch looks for it
    return importlib.import_module("torch")


def cupy_on_driver() -> None:
    """Have CuPy, which isn't imported yet, call the driver where it would call NVIDIA's runtime."""
    assert "cupy" not in sys.modules
    runtime = importlib.import_module("cupy_backends.cuda.api.runtime")
    ours = ctypes.PyDLL(CUPY_RUNTIME)
    ours.set_error_type.argtypes = [ctypes.py_object]
    ours.set_error_type(runtime.CUDARuntimeError)
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.argtypes, name_of.restype = [ctypes.py_object], ctypes.c_void_p
    capsule = ctypes.pythonapi.PyCapsule_New
    capsule.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
    capsule.restype = ctypes.py_object
    table = vars(runtime)["__pyx_capi__"]
    for name, theirs in [*table.items()]:
        function = getattr(ours, f"runtime_{name}", None)
        if function is None:
            continue
        signature = name_of(theirs)  # lives as long as CuPy's module
        address = ctypes.cast(function, ctypes.c_void_p)
        table[name] = capsule(address, signature, None)
        if not name.startswith("_"):
            setattr(runtime, name, _from_python(function, ctypes.string_at(signature).decode()))


def _from_python(function: Any, signature: str) -> Callable[..., Any]:
    """Return a function of C's table as Python calls it: without what C gives it in addition."""
    match = re.fullmatch(r"(.+?) ?\((.*)\)", signature)
    assert match is not None
    result, parameters = match.group(1), match.group(2).split(", ")
    own = [p for p in parameters if "__pyx" not in p]
    function.restype = _TYPES[result]
    function.argtypes = [*(_TYPES[p] for p in own), ctypes.c_int]
    has_more = parameters[-1].endswith("*__pyx_optional_args")
    if has_more:
        function.argtypes = [*function.argtypes, ctypes.c_void_p]
    rest = (0, None) if has_more else (0,)
    return lambda *given: function(*given, *rest)
