"""Counts by emulation: a runner and a pack made up for tests, cross-compiled here."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.alternation import Schedule
from bench.case import cases_of
from bench.cli import main
from bench.emulation import environment as environments
from bench.emulation import suite
from bench.emulation.environment import Environment
from bench.emulation.plugin import build_plugin
from bench.emulation.runner import Runner
from bench.emulation.suite import check_plan, is_emulated
from bench.errors import CaseError, CountingFailed, Refused
from bench.plan import Mode, Plan, Subject
from dispatch.device_names import host_family
from dispatch.tuning.values import arrays_of

ROOT = Path(__file__).resolve().parents[2]
COMPILER = "aarch64-linux-gnu-gcc"
SYSTEM = Path("/usr/aarch64-linux-gnu")  # the cross compiler's own libraries

pytestmark = [
    pytest.mark.skipif(host_family() == "arm", reason="nothing to emulate on aarch64"),
    pytest.mark.xdist_group("emulation"),
]


def compile_for_arm(target: Path, *words: object) -> None:
    if shutil.which(COMPILER) is None:
        pytest.skip(f"{COMPILER} isn't installed")
    target.parent.mkdir(parents=True, exist_ok=True)
    includes = (f"-I{ROOT / 'dispatch' / folder}" for folder in ("src", "include"))
    command = [COMPILER, "-O2", "-D_GNU_SOURCE", "-fopenmp", *includes, "-o", target, *words]
    subprocess.run([str(word) for word in command], check=True)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """A cross build of the runner, an honest pack and one whose product is a sum."""
    qemu = shutil.which("qemu-aarch64")
    if qemu is None:
        pytest.skip("qemu-aarch64 isn't installed")
    build = tmp_path_factory.mktemp("build")
    runner = sorted((ROOT / "bench" / "emulation" / "src" / "runner").glob("*.c"))
    core = sorted((ROOT / "dispatch" / "src").glob("*.c"))
    compile_for_arm(build / "bench" / "run_problem", *runner, *core, "-ldl", "-lpthread")
    fake = ROOT / "tests" / "native" / "fake_pack.c"
    for name, words in {"fake": (), "liar": ('-DFAKE_NAME="fake.mul.plain.f32"',)}.items():
        target = build / "kernels" / name / f"libkernels_{name}.so"
        compile_for_arm(target, "-shared", "-fPIC", *words, fake)
    return Environment(
        root=SYSTEM,
        site=build,
        packages=None,
        build=build,
        qemu=Path(qemu),
        compiler="made-up gcc 1.0",
        versions={"library": "2.0"},
    )


@pytest.fixture
def environment(made: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setattr(environments, "prepare", lambda progress: made)
    packs = [SimpleNamespace(name=name) for name in ("fake", "liar", "unbuilt")]
    monkeypatch.setattr(suite, "serving", lambda *unused: packs)
    return made


@pytest.fixture
def bench(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def run(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit) as raised:
            main()
        shown = capsys.readouterr()
        assert (raised.value.code or 0) == code, shown.err + shown.out
        return shown.out + shown.err

    return run


CASES = """
[add]
layers = [{ a = [8, 16], b = [8, 16] }, { count = 3, a = [32, 16], b = [32, 16] }]
[mul]
layers = [{ a = [8, 16], b = [8, 16] }]
[conv2d]
constant = ["w", "bias"]
layers = [
  { x = [1,4,9,9], w = [6,2,3,3], bias = [6], groups = 2, strides = 2, activation = "relu" },
  { x = [2,3,7,7], w = [5,3,3,3], dilations = 2, residual = true, activation = ["clip",0.0,6.0] },
  { x = [1, 3, 7, 5], w = [4, 3, 1, 1], pads = 2, activation = "hard_swish" },
]
[matmul]
constant = ["b"]
layers = [
  { a = [7, 9], b = [9, 5], bias = [5] },
  { a = [3, 1, 7, 9], b = [2, 9, 5] },
  { a = [9, 7], b = [5, 9], transpose_a = true, transpose_b = true, alpha = 0.5 },
]
"""


@pytest.fixture
def shapes(tmp_path: Path) -> str:
    path = tmp_path / "some.toml"
    path.write_text(CASES)
    return str(path)


def test_a_pack_and_plain_loops_are_counted(
    bench: Callable[..., str], shapes: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    arguments = ("run", "--device", "arm", "--shapes", shapes, "--json", str(out))
    shown = " ".join(bench(*arguments, "--op", "add", "--packs", "fake,naive").split())
    assert "retired aarch64 instructions under emulation (QEMU" in shown
    assert "neoverse-n1): not time" in shown
    assert "fake: fake library 1.0" in shown
    assert "compiler: made-up gcc 1.0" in shown
    assert "library: 2.0" in shown
    assert "naive left out of 2 cases: no kernel for this operator and dtype" in shown
    assert "95 %" not in shown
    data = json.loads(out.read_text())
    settings = data["bench"]["settings"]
    assert settings["machine"].startswith("aarch64 neoverse-n1, QEMU ")
    assert settings["emulation"]["compiler"] == "made-up gcc 1.0"
    first, second = data["benchmarks"]
    assert first["extra_info"]["unit"] == "instructions"
    assert first["extra_info"]["kernel"] == "fake.add.plain.f32"
    for benchmark, elements in ((first, 128), (second, 512)):
        classes = benchmark["extra_info"]["classes"]
        assert sum(classes.values()) == benchmark["stats"]["median"]
        assert classes["load"] >= 2 * elements / 4
        assert elements / 4 <= classes["store"] <= elements + 100


@pytest.mark.parametrize("operator", ["conv2d", "matmul"])
@pytest.mark.parametrize("cpu", ["cortex-a72", "max"])
def test_plain_loops_are_right_and_two_counts_the_same(
    bench: Callable[..., str], shapes: str, tmp_path: Path, operator: str, cpu: str
) -> None:
    counts = []
    for number in range(2):
        out = tmp_path / f"{number}.json"
        bench("run", "--device", "arm", "--op", operator, "--shapes", shapes, "--cpu", cpu,
              "--packs", "naive", "--json", str(out))  # fmt: skip
        benchmarks = json.loads(out.read_text())["benchmarks"]
        assert len(benchmarks) == 3
        counts.append([b["extra_info"]["classes"] for b in benchmarks])
    assert counts[0] == counts[1]
    for classes, benchmark in zip(counts[0], benchmarks, strict=True):
        # A product for each multiply-add of the definition, but for what lies in the padding.
        assert 0 < classes["multiply_add"] <= benchmark["extra_info"]["flops"] / 2 + 1000


def test_reports_of_counts_are_compared_and_drawn(
    bench: Callable[..., str], shapes: str, tmp_path: Path
) -> None:
    before, after, picture = (tmp_path / name for name in ("a.json", "b.json", "c.svg"))
    arguments = ("run", "--device", "arm", "--shapes", shapes, "--packs", "fake,naive")
    bench(*arguments, "--op", "add", "--json", str(before))
    data = json.loads(before.read_text())
    data["benchmarks"][0]["stats"]["data"][0] += 1
    after.write_text(json.dumps(data))
    assert "2 compared, 0 shown" in bench("compare", str(before), str(before))
    shown = bench("compare", str(before), str(after), "--fail-above", "0", code=1)
    assert "more" in shown
    assert "different machines" not in shown
    pytest.importorskip("matplotlib")
    arguments = ("run", "--device", "arm", "--shapes", shapes, "--op", "matmul")
    bench(*arguments, "--packs", "naive", "--json", str(before))
    data = json.loads(before.read_text())
    data["bench"]["settings"]["engines"].append("other")
    data["benchmarks"] += [
        {**b, "params": {**b["params"], "engine": "other"}} for b in data["benchmarks"]
    ]
    after.write_text(json.dumps(data))
    bench("plot", str(after), str(picture))
    assert "instructions ÷ naive" in picture.read_text() or picture.stat().st_size > 1000


def test_a_wrong_result_is_an_error_and_no_row(
    bench: Callable[..., str], shapes: str, tmp_path: Path, environment: Environment
) -> None:
    out = tmp_path / "out.json"
    honest, liar = (
        environment.build / "kernels" / n / f"libkernels_{n}.so" for n in ("fake", "liar")
    )
    kept = honest.read_bytes()
    arguments = ("run", "--device", "arm", "--op", "mul", "--shapes", shapes, "--packs", "fake")
    bench(*arguments, "--json", str(out))
    out.unlink()
    try:
        honest.write_bytes(liar.read_bytes())
        shown = bench(*arguments, "--json", str(out), code=1)
    finally:
        honest.write_bytes(kept)
    assert "wrong result: fake: mul" in shown
    assert not out.exists()


def test_one_problem_on_every_kernel(bench: Callable[..., str], shapes: str) -> None:
    problem = cases_of("mul", shapes)[0].problem
    arguments = ("run", "--device", "arm", "--problem", problem.to_json())
    shown = bench(*arguments, "--packs", "fake,naive")
    assert "fake.mul.scratch.f32" in shown
    problem = cases_of("matmul", shapes)[0].problem
    shown = bench("run", "--device", "arm", "--problem", problem.to_json(), "--packs", "naive")
    assert "naive.matmul.loops.f32" in shown
    problem = cases_of("relu", "tiny")[0].problem
    arguments = ("run", "--device", "arm", "--problem", problem.to_json(), "--packs", "naive")
    assert "no kernel of naive serves relu" in bench(*arguments, code=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cpu", "cortex-m0"), "cpu: expected one of"),
        (("--packs", "unbuilt"), "packs: expected some of fake, liar, naive, which are built for"),
        (("--packs", "naive", "--op", "relu", "--shapes", "tiny"), "no engine serves relu/tiny/01"),
        (("--packs", "naive", "--base", "fake"), "base: expected one of naive"),
    ],
)
def test_wrong_options_are_clear_errors(
    bench: Callable[..., str], arguments: tuple[str, ...], words: str
) -> None:
    shown = bench("run", "--device", "arm", "--shapes", "tiny", *arguments, code=2)
    assert words in " ".join(shown.split())


@pytest.mark.parametrize(
    ("changes", "threads", "words"),
    [
        ({"peers": ("torch",)}, (1,), "peers: device 'arm' is emulated"),
        ({"subject": Subject.MODELS}, (1,), "model, memory, overhead: device 'arm' is emulated"),
        ({"subject": Subject.OVERHEAD}, (1,), "model, memory, overhead: device 'arm' is emulated"),
        ({}, (2,), "threads: .* counts need one thread"),
        ({}, (1, 2), "threads: .* counts need one thread"),
        ({"direct": True}, (1,), "direct: "),
        ({"tuned": True}, (1,), "tuned: "),
        ({"mode": Mode.BOTH}, (1,), "mode: .* Python isn't emulated"),
        ({"schedule": Schedule(seconds=5)}, (1,), "seconds, rounds, clock: "),
        ({"device": "cpu", "cpu": "max"}, (1,), "cpu: only an emulated device .* for 'cpu'"),
    ],
)
def test_what_makes_no_sense_is_named(
    changes: dict[str, object], threads: tuple[int, ...], words: str
) -> None:
    plan = Plan(device="arm")
    check_plan(plan, (1,))
    with pytest.raises(CaseError, match=words):
        check_plan(replace(plan, **changes), threads)


def test_only_the_other_architecture_is_emulated() -> None:
    assert is_emulated("arm")
    assert not is_emulated("cpu")
    assert not is_emulated(host_family())
    assert not is_emulated("nvidia")


@pytest.fixture
def runner(environment: Environment, tmp_path: Path) -> Runner:
    packs = {n: environment.build / "kernels" / n / f"libkernels_{n}.so" for n in ("fake", "liar")}
    plugin = build_plugin(tmp_path, environment.qemu)
    program = environment.build / "bench" / "run_problem"
    return Runner(environment, "max", program, packs, plugin, {})


def test_a_pack_that_cannot_be_used_is_refused_with_its_reason(
    runner: Runner, tmp_path: Path
) -> None:
    problem = cases_of("add", "tiny")[0].problem
    with pytest.raises(Refused, match=r"fake: .*no-such"):
        replace(runner, packs={"fake": tmp_path / "no-such.so"}).answers("fake", problem)


def test_a_program_that_fails_is_named(runner: Runner, shapes: str, tmp_path: Path) -> None:
    problem = cases_of("add", shapes)[0].problem
    arrays = arrays_of(problem)
    with pytest.raises(CountingFailed, match=r"fake: run_problem ended with 1 on max: .*no kernel"):
        runner.count("fake.add.missing.f32", problem, arrays)
    crash = tmp_path / "crash"
    (tmp_path / "crash.c").write_text("int main(void) { __builtin_trap(); }\n")
    compile_for_arm(crash, tmp_path / "crash.c")
    with pytest.raises(CountingFailed, match="fake: crash ended with -"):
        replace(runner, program=crash).answers("fake", problem)


def test_closing_ends_what_runs(runner: Runner, shapes: str, tmp_path: Path) -> None:
    slow = tmp_path / "qemu"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    runner = replace(runner, environment=replace(runner.environment, qemu=slow))
    problem = cases_of("add", shapes)[0].problem
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(runner.answers, "fake", problem)
        while not runner.running:
            time.sleep(0.01)
        runner.close()
        with pytest.raises(CountingFailed, match="ended with -9"):
            asked.result(timeout=20)


def test_a_closed_runner_runs_nothing(runner: Runner, shapes: str) -> None:
    runner.close()
    with pytest.raises(CountingFailed, match="ended before"):
        runner.answers("fake", cases_of("add", shapes)[0].problem)
