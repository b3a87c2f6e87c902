"""Kernels in another process: the same verdicts as here, and faults that only that side sees."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

import dispatch
from dispatch.answer import No, Yes
from dispatch.conformance import check_kernels, check_pack
from dispatch.conformance.packs import Target, installed, remote_subject
from dispatch.conformance.remote import RemotePack
from dispatch.device_names import host_family
from dispatch.errors import KernelFailed, PackUnavailable
from dispatch.native import NativeOpenPack
from dispatch.problem import Problem
from dispatch.tensor import TensorSpec

SERVE_PACK = (str(files("dispatch").joinpath("serve_pack")),)
ACME = Path(__file__).parents[1] / "packs" / "acme" / "acme_kernels" / "acme.c"
INCLUDE = Path(dispatch.__file__).parent / "include"


LEVEL = {"level": "generic"}


def opened() -> NativeOpenPack:
    pack = installed()["portable"].open(LEVEL)
    assert isinstance(pack, NativeOpenPack)
    return pack


def portable() -> RemotePack:
    return RemotePack(SERVE_PACK, str(opened().path), LEVEL)


@pytest.mark.parametrize("operator", ["add", "conv2d", "split", "argmax"])
def test_a_right_pack_passes_as_it_does_here(operator) -> None:
    with portable() as remote:
        subject = remote_subject(remote, host_family(), "generic", operator)
        there = check_kernels(subject, 2)
    here = check_pack(Target("portable", "generic"), operator, count=2)
    assert there.passed
    assert there.kernels
    for a, b in zip(there.kernels, here.kernels, strict=True):
        assert (a.kernel, a.served, a.refused, a.hostile, a.codes, a.layouts) == (
            (b.kernel, b.served, b.refused, b.hostile, b.codes, b.layouts)
        )


def test_what_it_is_comes_across() -> None:
    here = opened()
    with portable() as remote:
        assert (remote.name, remote.version) == ("portable", here.version)
        assert remote.library_version.endswith("level generic")
        assert [(k.name, k.source) for k in remote.kernels] == [
            (k.name, k.source) for k in here.kernels
        ]


def acme(folder: Path, *changes: tuple[str, str]) -> RemotePack:
    """Build the example pack with some things changed, and open it in another process."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    text = ACME.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "acme.c").write_text(text)
    library = folder / "libacme.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", f"-I{INCLUDE}", "-o", str(library), str(folder / "acme.c")],
        check=True,
    )
    return RemotePack(SERVE_PACK, str(library))


def faults(remote: RemotePack) -> str:
    with remote:
        (report,) = check_kernels(remote_subject(remote, host_family()), 1).kernels
    return "\n".join(failure.what for failure in report.failures)


RUN = "y[i] = x[i] < 0 ? 0 : x[i];"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (RUN, RUN, ""),
        (RUN, "y[i] = x[i];", "elements are wrong"),
        (RUN, f"{{ {RUN} if (i + 1 == prepared->count) y[i + 1] = 7; }}", "outside of output 0"),
        (RUN, f"{{ {RUN} if (i == 0) y[-1] = 7; }}", "outside of output 0"),
        (RUN, f"{{ ((float *)x)[i] = 3; {RUN} }}", "changed input 0"),
        (RUN, f"{{ {RUN} return KP_LIBRARY_FAILED; }}", "status 5"),
        (RUN, f"{{ {RUN} abort(); }}", "ended with status -6"),
    ],
)
def test_faults_are_found_there(tmp_path, old, new, said) -> None:
    found = faults(acme(tmp_path, (old, new)))
    assert said in found
    assert bool(found) == bool(said)


def test_constants_are_lent_for_one_call(tmp_path) -> None:
    keeps = (
        ("int64_t count;", "int64_t count; const float *kept;"),
        ("(void)constants, (void)error;", "(void)error;"),
        ("(*prepared)->count =", "(*prepared)->kept = constants[0]; (*prepared)->count ="),
        ("const float *x = buffers[0];", "const float *x = prepared->kept;"),
    )
    x = np.arange(9, dtype=np.float32)
    y = np.zeros_like(x)
    spec = TensorSpec("float32", x.shape)
    problem = Problem("relu", (replace(spec, constant=True),), (spec,))
    with acme(tmp_path, *keeps) as remote:
        (kernel,) = remote.kernels
        kernel.prepare(problem, [x]).run([x, y])
    assert (y != x).all()


def test_what_a_library_prints_does_not_disturb(tmp_path, capfd) -> None:
    prints = 'extern long write(int, const void *, unsigned long); write(1, "printed", 7);'
    assert faults(acme(tmp_path, (RUN, f"{{ {RUN} {prints} }}"))) == ""
    assert "printed" in capfd.readouterr().err


def test_refusals_carry_their_reasons(tmp_path) -> None:
    problem = dispatch.Problem(
        "relu",
        (dispatch.TensorSpec("float32", (2, 3, 4, 5), "nhwc"),),
        (dispatch.TensorSpec("float32", (2, 3, 4, 5), "nhwc"),),
    )
    with acme(tmp_path) as remote:
        (kernel,) = remote.kernels
        answer = kernel.query(problem)
        assert isinstance(answer, No)
        assert (answer.code.name, answer.subject, answer.limit, answer.got) == (
            ("LAYOUT", "x.layout", "nchw", "nhwc")
        )
        plain = problem.with_layouts(("nchw", "nchw"))
        assert isinstance(kernel.query(plain), Yes)
        prepared = kernel.prepare(plain, [None])
        with pytest.raises(KernelFailed, match="a buffer is missing or wrong"):
            prepared.run([])


def test_a_pack_that_is_not_there_says_so(tmp_path) -> None:
    with pytest.raises(PackUnavailable, match=r"nowhere\.so"):
        RemotePack(SERVE_PACK, str(tmp_path / "nowhere.so"))
    with pytest.raises(PackUnavailable, match="No such file"):
        RemotePack((str(tmp_path / "no_program"),), "libacme.so")


def test_the_command_line_checks_through_a_program(tmp_path) -> None:
    acme(tmp_path).close()
    line = [sys.executable, "-m", "dispatch", "check", "--json", "--cases", "1"]
    there = ["--through", SERVE_PACK[0], "--library", str(tmp_path / "libacme.so")]
    done = subprocess.run(
        [*line, *there, "--device", host_family()], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)
    assert (result["pack"], result["passed"]) == ("acme", True)
    done = subprocess.run([*line, *there], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "device: expected it too" in done.stderr


def test_many_threads_ask_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    x = np.linspace(-1, 1, 60, dtype=np.float32).reshape(3, 20)
    spec = dispatch.TensorSpec("float32", x.shape)
    problem = dispatch.Problem("relu", (spec,), (spec,))
    with portable() as remote:
        (kernel,) = (k for k in remote.kernels if k.name == "portable.relu.simd.f32")
        prepared = kernel.prepare(problem, [None])

        def run(number: int) -> bool:
            y = np.empty_like(x)
            prepared.run([x * np.float32(number), y])
            return bool((y == np.maximum(x * np.float32(number), 0)).all())

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(run, range(200)))
