"""Fixtures of the packs' tests."""

from __future__ import annotations

import platform
import shutil
import subprocess

import pytest

from dispatch.errors import PackUnavailable


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """Return the libraries of the pack for NVIDIA GPUs, none of which runs anything."""
    from tests.packs.cudnn_world import World, forget

    forget()
    yield World(monkeypatch, tmp_path)
    forget()


@pytest.fixture
def world(parts, monkeypatch):
    """Return the same, with the pack in the registry."""
    return parts.open(monkeypatch)


@pytest.fixture(scope="module")
def qnnpack_pack():
    """Return QNNPACK's pack, opened."""
    qnnpack = pytest.importorskip("kernels.qnnpack")
    try:
        return qnnpack.pack.open()
    except PackUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def compile_library(tmp_path_factory):
    """Return what compiles C to a shared library."""
    names = ("aarch64-linux-gnu-gcc",) if platform.machine() in ("aarch64", "arm64") else ()
    compiler = next(filter(None, map(shutil.which, (*names, "cc", "gcc"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("libraries")

    def make(name: str, source: str) -> str:
        (folder / f"{name}.c").write_text(source)
        library = folder / f"lib{name}.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", library, folder / f"{name}.c", "-ldl"],
            check=True,
        )
        return str(library)

    return make
