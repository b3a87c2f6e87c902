"""The command in processes of its own, on tiny cases; no figure of time is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dispatch
from bench.cli import main
from tests.bench.fakes import install_pack

QUICK = ("--seconds", "0.05", "--rounds", "2")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def bench(home: Path, tmp_path: Path):
    def run(*arguments: str, code: int = 0, path: Path | None = None) -> str:
        environment = {**os.environ, "XDG_CACHE_HOME": str(home)}
        if path is not None:
            inherited = os.environ.get("PYTHONPATH")
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), inherited)))
        done = subprocess.run(
            [sys.executable, "-m", "bench", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout + done.stderr

    return run


def test_an_operator_on_all_packs_in_both_modes(bench, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    shown = bench(
        "run", "--op", "relu", "--shapes", "tiny", "--mode", "both", *QUICK, "--json", str(out)
    )
    assert "prepared kernels alone" in shown
    assert "GFLOP/s" in shown
    data = json.loads(out.read_text())
    by_engine = {b["param"]: b for b in data["benchmarks"]}
    assert {"portable", "portable:eager"} <= set(by_engine)
    kernel = by_engine["portable"]
    assert kernel["extra_info"]["kernel"].startswith("portable.relu.")
    assert kernel["extra_info"]["limit"] in ("FMA", "memory")
    assert kernel["stats"]["rounds"] >= 2
    assert kernel["stats"]["iqr"] >= 0
    assert "portable:eager" in kernel["extra_info"]["ratios"]
    assert data["machine_info"]["machine"]


def test_a_convolution_at_a_forced_level(bench, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ("--op", "conv2d", "--shapes", "tiny", "--packs", "portable", "--level", "generic")
    shown = bench("run", *arguments, *QUICK, "--json", str(out))
    assert "generic" in shown
    settings = json.loads(out.read_text())["bench"]["settings"]
    assert settings["environment"] == {"DISPATCH_PORTABLE_LEVEL": "generic"}


def test_several_numbers_of_threads(bench, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ("--op", "add", "--shapes", "tiny", "--packs", "portable", "--threads", "1,2")
    bench("run", *arguments, *QUICK, "--json", str(out))
    groups = [b["group"] for b in json.loads(out.read_text())["benchmarks"]]
    assert len(groups) == 2
    assert groups[0].endswith("t1")
    assert groups[1].endswith("t2")


def test_the_line_that_explain_prints(bench) -> None:
    text = str(dispatch.explain(dispatch.relu, np.zeros((1, 4, 5, 6), np.float32)))
    words = text.splitlines()[-1]
    command, _, problem = words.partition(" --problem ")
    assert command == "bench run"
    shown = bench("run", "--problem", problem.strip("'"), *QUICK)
    assert "1x4x5x6" in shown
    explained = dispatch.explain(dispatch.relu, np.zeros((1, 4, 5, 6), np.float32)).to_dict()
    for candidate in explained["candidates"]:
        assert (candidate["kernel"] in shown) == (candidate["answer"] == "yes")


def test_a_wrong_kernel_is_an_error_and_no_row(bench, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    for name, error in (("honest", 0.0), ("liar", 1e-3)):
        install_pack(tmp_path, name, error)
    arguments = ("run", "--op", "relu", "--shapes", "tiny", *QUICK, "--json", str(out))
    assert "honest" in bench(*arguments, "--packs", "honest", path=tmp_path)
    assert out.exists()
    out.unlink()
    shown = bench(*arguments, "--packs", "honest,liar", path=tmp_path, code=1)
    assert "wrong result: liar: relu" in shown
    assert "wrong at (0, 0, 4, 5)" in shown
    assert not out.exists()


def test_an_engine_that_refuses_is_left_out_with_its_reason(bench, tmp_path: Path) -> None:
    install_pack(tmp_path, "honest", 0.0)
    arguments = ("--op", "add", "--shapes", "tiny", "--packs", "honest,portable")
    shown = bench("run", *arguments, *QUICK, path=tmp_path)
    assert "honest left out of 1 cases" in shown
    shown = bench("run", *arguments[:-1], "honest", *QUICK, path=tmp_path, code=2)
    assert "no engine serves" in shown


def test_a_missing_peer_names_the_extra(bench, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('not here')\n")
    arguments = ("--op", "relu", "--shapes", "tiny", "--peers", "torch")
    shown = bench("run", *arguments, *QUICK, path=tmp_path, code=2)
    assert "pip install 'kernel-dispatch[peers]'" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--op", "conv3d"), "op: expected one of"),
        (("--shapes", "nothing"), "shapes: expected one of"),
        (("--peers", "mxnet"), "peers: expected some of"),
        (("--packs", "nothing"), "packs: expected some of"),
        (("--threads", "none"), "threads: expected positive numbers"),
        (("--threads", "0"), "threads: expected positive numbers"),
        (("--env", "X"), "env: expected NAME=VALUE"),
        (("--device", "nothing"), "device: expected one of"),
        (("--device", "nvidia"), "not available"),
        (("--problem", "{"), "problem: expected JSON"),
        (("--model", "none.onnx"), "model: expected a file or one of"),
        (("--model", "squeezenet", "--peers", "torch"), "torch doesn't"),
        (
            ("--op", "relu", "--shapes", "tiny", "--packs", "portable", "--direct"),
            "direct: none of",
        ),
        (("--base", "nothing"), "base: expected one of"),
        (("--dtype", "f33"), "dtype: expected one of"),
    ],
)
def test_wrong_options_are_clear_errors(
    arguments: tuple[str, ...],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "run", *arguments, *QUICK])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code == 2
    assert words in capsys.readouterr().err


def test_help_has_examples(bench) -> None:
    assert "Examples" in bench("run", "--help")
    assert "Example" in bench("compare", "--help")


def test_lists_and_limits(bench, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert "resnet50" in bench("shapes", "--json", str(out))
    assert "conv2d" in json.loads(out.read_text())["resnet50"]
    assert "GFLOP/s" in bench("machine", "--json", str(out))
    assert json.loads(out.read_text())["bandwidth"]


def test_pictures(bench, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    out = tmp_path / "out.json"
    bars, roofline = tmp_path / "bars.png", tmp_path / "roofline.svg"
    arguments = ("--op", "relu", "--shapes", "tiny", "--packs", "portable", "--mode", "both")
    bench("run", *arguments, *QUICK, "--json", str(out), "--plot", str(bars))
    bench("plot", str(out), str(roofline), "--roofline")
    assert bars.read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in roofline.read_bytes()
    assert "plot: expected a file of" in bench("plot", str(out), "x.bmp", code=2)
    assert "base: expected one of" in bench("plot", str(out), str(bars), "--base", "x", code=2)


def test_overhead(bench, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    shown = bench("run", "--overhead", "--packs", "portable", *QUICK, "--json", str(out))
    assert "time beyond portable's kernel" in shown
    findings = json.loads(out.read_text())["bench"]["settings"]["findings"]
    assert {f["unit"] for f in findings} == {"seconds"}
