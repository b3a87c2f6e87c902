"""A vendor's pack in a distribution of its own: built, found, proved right, chosen."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import dispatch

HERE = Path(__file__).parent
INCLUDE = Path(dispatch.__file__).parent / "include"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> dict[str, str]:
    """Build the example and lay it out as pip would; return an environment that sees it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(HERE / "acme" / "acme_kernels", site / "acme_kernels")
    subprocess.run(
        [compiler, "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
         f"-I{INCLUDE}", "-o", str(site / "acme_kernels" / "libacme.so"),
         str(site / "acme_kernels" / "acme.c")],
        check=True,
    )  # fmt: skip
    info = site / "acme_kernels-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-kernels\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dispatch.packs]\nacme = acme_kernels:pack\n")
    return {**os.environ, "PYTHONPATH": str(site)}


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_pack_is_listed_with_its_origin(installed) -> None:
    packs = json.loads(run(installed, "-m", "dispatch", "packs", "--json").stdout)
    (acme,) = (pack for pack in packs if pack["name"] == "acme")
    assert acme["available"], acme["reason"]
    assert acme["kernels"] == ["acme.relu.plain.f32"]
    assert "acme-kernels" in acme["origin"]


def test_its_kernel_serves(installed) -> None:
    code = (
        "import dispatch, numpy as np\n"
        "with dispatch.using(packs='acme'):\n"
        "    print(dispatch.explain(dispatch.relu, np.ones(3, 'f4')).decision.kernel.name)\n"
        "    print(dispatch.relu(np.array([-1, 2], 'f4')).tolist())\n"
    )
    done = run(installed, "-c", code)
    assert done.stdout.split("\n")[:2] == ["acme.relu.plain.f32", "[0.0, 2.0]"], done.stderr


def test_its_refusal_says_why(installed) -> None:
    code = (
        "import dispatch, numpy as np\n"
        "with dispatch.using(packs='acme'):\n"
        "    dispatch.relu(np.ones(3, 'f8'))\n"
    )
    done = run(installed, "-c", code)
    assert "NoKernel" in done.stderr


def test_the_conformance_kit_proves_it_right(installed) -> None:
    done = run(installed, "-m", "dispatch", "check", "acme", "--cases", "20")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_conformance_kit_finds_it_wrong(installed, tmp_path) -> None:
    site = Path(installed["PYTHONPATH"])
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    source = broken / "acme_kernels" / "acme.c"
    text = source.read_text()
    assert "x[i] < 0 ? 0 : x[i]" in text
    source.write_text(text.replace("x[i] < 0 ? 0 : x[i]", "x[i] > 0 ? x[i] : 0"))  # loses NaN
    subprocess.run(
        ["cc", "-std=c11", "-O2", "-shared", "-fPIC", f"-I{INCLUDE}", "-o",
         str(broken / "acme_kernels" / "libacme.so"), str(source)],
        check=True,
    )  # fmt: skip
    done = run({**installed, "PYTHONPATH": str(broken)}, "-m", "dispatch", "check", "acme")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "acme.relu.plain.f32" in done.stdout
