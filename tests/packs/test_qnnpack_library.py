"""QNNPACK's pack: how it finds its library, and what it says of one that it can't use."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch.errors import PackUnavailable, RegistrationError

qnnpack = pytest.importorskip("kernels.qnnpack")


# ---- Finding the library -------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path, monkeypatch):
    """Leave no library to be found but those that a test puts there."""
    monkeypatch.delenv(qnnpack.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    return tmp_path


def add_torch(site):
    """Lay PyTorch out; importing it fails."""
    library = site / "torch" / "lib" / "libtorch_cpu.so"
    library.parent.mkdir(parents=True)
    library.touch()
    (site / "torch" / "__init__.py").write_text("raise AssertionError('imported')\n")
    importlib.invalidate_caches()
    return str(library.resolve())


def test_without_pytorch_the_soname_is_tried(site) -> None:
    assert qnnpack.options() == {"library": "libtorch_cpu.so"}


def test_pytorchs_library_is_found_without_importing_it(site) -> None:
    library = add_torch(site)
    assert qnnpack.options() == {"library": library}


def test_a_pytorch_without_the_library_is_as_none(site) -> None:
    (site / "torch").mkdir()
    (site / "torch" / "__init__.py").touch()
    importlib.invalidate_caches()
    assert qnnpack.options() == {"library": "libtorch_cpu.so"}


def test_the_variable_comes_first(site, monkeypatch) -> None:
    add_torch(site)
    monkeypatch.setenv(qnnpack.VARIABLE, "/opt/libpytorch_qnnpack.so")
    assert qnnpack.options() == {"library": "/opt/libpytorch_qnnpack.so"}


# ---- Opening it ----------------------------------------------------------------------------------


FUNCTIONS = [
    "initialize",
    "create_add_nc_q8",
    "setup_add_nc_q8",
    "create_average_pooling2d_nhwc_q8",
    "setup_average_pooling2d_nhwc_q8",
    "create_global_average_pooling_nwc_q8",
    "setup_global_average_pooling_nwc_q8",
    "create_convolution2d_nhwc_q8",
    "setup_convolution2d_nhwc_q8",
    "create_channel_shuffle_nc_x8",
    "setup_channel_shuffle_nc_x8",
    "create_clamp_nc_u8",
    "setup_clamp_nc_u8",
    "create_deconvolution2d_nhwc_q8",
    "setup_deconvolution2d_nhwc_q8",
    "create_softargmax_nc_q8",
    "setup_softargmax_nc_q8",
    "create_max_pooling2d_nhwc_u8",
    "setup_max_pooling2d_nhwc_u8",
    "run_operator",
    "delete_operator",
]


def fake(status: int, *more: str) -> str:
    """Return the source of a library whose functions return a status."""
    return "".join(
        f"int pytorch_qnnp_{name}(void) {{ return {status}; }}\n" for name in (*FUNCTIONS, *more)
    )


def reason(library: str) -> str:
    with pytest.raises(PackUnavailable) as caught:
        qnnpack.pack.open({"library": library})
    return str(caught.value)


def test_a_missing_library_says_what_to_install() -> None:
    text = reason("/nowhere/libtorch_cpu.so")
    assert "can't load QNNPACK from /nowhere/libtorch_cpu.so" in text
    assert "kernel-dispatch[torch]" in text
    assert qnnpack.VARIABLE in text


def test_a_pytorch_without_qnnpack_says_what_is_missing(compile_library) -> None:
    text = reason(compile_library("bare", "int at_add(void) { return 0; }\n"))
    assert "has no function pytorch_qnnp_initialize: it was built without QNNPACK" in text
    assert "install PyTorch" in text


def test_an_older_qnnpack_is_refused(compile_library) -> None:
    assert "expected PyTorch 1.13 or later" in reason(compile_library("older", fake(0)))


def test_a_processor_that_qnnpack_refuses_is_a_reason(compile_library) -> None:
    library = compile_library("picky", fake(4, "create_convolution3d_ndhwc_q8"))
    assert "doesn't initialise on this processor (status 4)" in reason(library)


def test_a_library_for_another_processor_is_a_reason(compile_library, tmp_path) -> None:
    own = Path(compile_library("own", fake(0))).read_bytes()
    other = bytearray(own)
    other[18:20] = (243).to_bytes(2, "little")  # e_machine: RISC-V
    (tmp_path / "libtorch_cpu.so").write_bytes(other)
    assert "can't load QNNPACK from" in reason(str(tmp_path / "libtorch_cpu.so"))


def test_the_version_is_pytorchs(compile_library, tmp_path) -> None:
    source = compile_library("good", fake(0, "create_convolution3d_ndhwc_q8"))
    library = tmp_path / "torch" / "lib" / "libtorch_cpu.so"
    library.parent.mkdir(parents=True)
    shutil.copy(source, library)
    assert qnnpack.pack.open({"library": str(library)}).library_version.startswith("QNNPACK, ")
    (tmp_path / "torch" / "version.py").write_text("import x\n__version__ = '9.8.7+cpu'\n")
    version = qnnpack.pack.open({"library": str(library)}).library_version
    assert version.startswith("QNNPACK of PyTorch 9.8.7+cpu, ")


def test_unknown_option_is_refused(qnnpack_pack) -> None:
    with pytest.raises(RegistrationError, match="expected 'library'"):
        qnnpack.pack.open({"speed": "high"})


def test_a_process_that_opened_it_ends_well(qnnpack_pack) -> None:
    code = "from kernels.qnnpack import pack; print(pack.open().library_version)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode == 127:
        pytest.skip("an emulated process can't start another")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == qnnpack_pack.library_version
    assert done.stderr == ""
