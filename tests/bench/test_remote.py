"""``bench run --host`` against an sshd of the test's own on loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from bench.alternation import Clock, Schedule
from bench.cli import main
from bench.errors import CaseError, RemoteFailed
from bench.plan import Mode, Plan, Subject
from bench.remote import run as remote_run
from bench.remote.connection import Connection, Machine, probe
from bench.remote.run import arguments_of
from bench.remote.source import folder_of, source_root, sync_source, tracked_files
from dispatch.device_names import host_family

OTHER = "arm" if host_family() != "arm" else "intel"
QUICK = ("--seconds", "0.05", "--rounds", "2")
BENCH = f"{sys.executable} -m bench"

pytestmark = pytest.mark.xdist_group("remote")


@dataclass(frozen=True)
class Server:
    """An sshd that runs as this user; `folder` holds its files and its users' cache."""

    folder: Path
    port: int

    @property
    def cache(self) -> Path:
        return self.folder / "cache"


def start(folder: Path, settings: Mapping[str, str]) -> tuple[subprocess.Popen[bytes], int]:
    program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/usr/local/sbin")
    if program is None or shutil.which("ssh") is None:
        pytest.skip("sshd or ssh isn't installed")
    for key in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True
        )
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        port = probing.getsockname()[1]
    variables = " ".join(f'"{name}={value}"' for name, value in settings.items())
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\n"
        f"AuthorizedKeysFile {folder}/user_key.pub\nStrictModes no\nUsePAM no\nPidFile none\n"
        f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nSetEnv {variables}\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # sshd of root wants it, empty
    log = folder / "log"
    server = subprocess.Popen([program, "-D", "-f", folder / "sshd_config", "-E", log])
    for _ in range(100):
        with socket.socket() as probing:
            if probing.connect_ex(("127.0.0.1", port)) == 0:
                return server, port
        if server.poll() is not None:
            break
        time.sleep(0.05)
    server.kill()
    pytest.skip(f"sshd doesn't start here: {log.read_text()}")


def write_client(folder: Path, port: int) -> None:
    """Write an `ssh` that knows the host `board`, and the host's key."""
    key = (folder / "host_key.pub").read_text().split()[:2]
    (folder / "known").write_text(f"[127.0.0.1]:{port} {' '.join(key)}\n")
    (folder / "ssh_config").write_text(
        f"Host board\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {folder}/user_key\n"
        f"  IdentitiesOnly yes\n  UserKnownHostsFile {folder}/known\n  StrictHostKeyChecking yes\n"
    )
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
    wrapper.chmod(0o755)


@pytest.fixture(scope="module")
def make_server(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[..., Server]]:
    running = []

    def make(**settings: str) -> Server:
        folder = tmp_path_factory.mktemp("sshd")
        cache = {"XDG_CACHE_HOME": str(folder / "cache")}
        process, port = start(folder, {**cache, **settings})
        running.append(process)
        write_client(folder, port)
        return Server(folder, port)

    yield make
    for process in running:
        process.send_signal(signal.SIGTERM)
        process.wait()


@pytest.fixture(scope="module")
def shared(make_server: Callable[..., Server]) -> Server:
    return make_server()


def use(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setenv("PATH", f"{server.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return server


@pytest.fixture
def server(shared: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    return use(shared, monkeypatch)


@pytest.fixture
def bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def run(*arguments: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["bench", "run", "--host", "board", *arguments])
        with pytest.raises(SystemExit) as raised:
            main()
        shown = capsys.readouterr()
        assert (raised.value.code or 0) == code, shown.err + shown.out
        return shown.out + shown.err

    return run


def test_a_run_there_comes_back(server: Server, bench: Callable[..., str], tmp_path: Path) -> None:
    out, shapes = tmp_path / "out.json", tmp_path / "my shapes.toml"
    shapes.write_text("[relu]\nlayers = [{ x = [3, 5] }, { x = [7] }]\n")
    arguments = ("--op", "relu", "--shapes", str(shapes), "--packs", "portable", *QUICK)
    shown = bench(*arguments, "--host-command", BENCH, "--json", str(out))
    assert "on board" in shown
    assert "3x5" in shown
    assert "connecting to board" in shown
    data = json.loads(out.read_text())
    assert data["bench"]["settings"]["host"] == "board"
    assert [b["param"] for b in data["benchmarks"]] == ["portable", "portable"]
    left = {p.relative_to(server.cache).parts[:2] for p in server.cache.rglob("*") if p.is_file()}
    assert {first for first, _ in left} == {"kernel-dispatch"}


def test_json_on_standard_output_is_all_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--op", "relu", "--shapes", "tiny", "--packs", "portable", *QUICK)
    monkeypatch.setattr(sys, "argv", ["bench", "run", *arguments, "--json", "-"])
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr()
    assert json.loads(shown.out)["benchmarks"]
    assert "GFLOP/s" in shown.err


def test_a_machine_of_another_architecture_is_refused(
    server: Server, bench: Callable[..., str]
) -> None:
    shown = bench("--device", OTHER, "--host-command", BENCH, code=2)
    assert (
        f"host board: device {OTHER!r} was asked for, but its CPU is {os.uname().machine}" in shown
    )


def test_a_host_that_is_not_there(
    server: Server, monkeypatch: pytest.MonkeyPatch, bench: Callable[..., str], tmp_path: Path
) -> None:
    with socket.socket() as probing:
        probing.bind(("127.0.0.1", 0))
        closed = probing.getsockname()[1]
    with pytest.raises(RemoteFailed, match=r"can't be reached by ssh: .*refused"):
        Connection(f"ssh://board:{closed}").run("true")
    with pytest.raises(RemoteFailed, match=r"host no-such-host.invalid can't be reached by ssh"):
        Connection("no-such-host.invalid").run("true")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RemoteFailed, match="ssh is needed"):
        Connection("board").run("true")


def test_a_key_that_is_not_known_is_no_question(server: Server, tmp_path: Path) -> None:
    (server.folder / "known").rename(server.folder / "kept")
    try:
        with pytest.raises(RemoteFailed, match="can't be reached by ssh: Host key verification"):
            Connection("board").run("true")
    finally:
        (server.folder / "kept").rename(server.folder / "known")


@pytest.mark.parametrize("host", ["", "-oProxyCommand=true", "a b"])
def test_what_can_be_no_host(host: str) -> None:
    with pytest.raises(CaseError, match="host: expected user@name"):
        Connection(host)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("sh -c 'echo one >&2; echo boom >&2; exit 7'", 2, "failed with status 7:\n  one\n  boom"),
        ("no-such-bench", 2, "failed with status 127"),
        ("sh -c 'echo 1/2 relu >&2; echo wrong result: relu at 3 >&2; exit 1'", 1, "relu at 3"),
        ("sh -c 'printf \"1/2 x\\nerror: a\\nb\\n\" >&2; exit 2'", 2, "error: host board: a\nb\n"),
        ("echo nonsense", 2, "expected a report of bench run, got 'nonsense"),
        ("echo '{}' '#'", 2, "expected a report of bench run"),
    ],
)  # fmt: skip
def test_what_fails_there_is_shown(
    server: Server, bench: Callable[..., str], command: str, code: int, words: str
) -> None:
    assert words in bench("--host-command", command, code=code)


def test_a_wrong_option_is_found_there(server: Server, bench: Callable[..., str]) -> None:
    shown = bench("--packs", "nothing", "--host-command", BENCH, code=2)
    assert "error: host board: packs: expected some of" in shown


def test_options_that_need_each_other(
    bench: Callable[..., str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "cpu: nothing is emulated on a host" in bench("--cpu", "max", code=2)
    monkeypatch.setattr(sys, "argv", ["bench", "run", "--host-command", "bench"])
    with pytest.raises(SystemExit):
        main()
    assert "host-command: expected --host too" in capsys.readouterr().err


def test_programs_that_a_build_needs_are_named(
    make_server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, bench: Callable[..., str],
    tmp_path: Path,
) -> None:  # fmt: skip
    for name in ("sh", "uname", "tar", "cat"):
        path = shutil.which(name)
        assert path is not None
        (tmp_path / name).symlink_to(path)
    use(make_server(PATH=str(tmp_path)), monkeypatch)
    shown = bench(code=2)
    assert "host board: Python >= 3.11 with venv, gcc, make not found there" in shown


def test_the_machine_is_described(server: Server) -> None:
    machine = probe(Connection("board"))
    assert machine.name == os.uname().machine
    assert machine.cache == str(server.cache)
    assert {"gcc", "make", "tar"} <= set(machine.programs)


# ---- The copy of the source ---------------------------------------------------------------------


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    root = tmp_path / "clone"
    root.mkdir()
    (root / "src dir").mkdir()
    for name in ("Makefile", "src dir/a.c", "it's.h", "gone.c"):
        (root / name).write_text(f"{name} 1\n")
    (root / "Makefile").chmod(0o755)
    (root / "untracked").write_text("x")
    subprocess.run(["git", "-C", root, "init", "-q"], check=True)
    subprocess.run(
        ["git", "-C", root, "add", "Makefile", "src dir/a.c", "it's.h", "gone.c"], check=True
    )
    return root


def test_only_what_changed_is_sent(server: Server, clone: Path) -> None:
    connection, folder = Connection("board"), str(server.cache / "a copy")
    files = tracked_files(clone)
    assert set(files) == {"Makefile", "src dir/a.c", "it's.h", "gone.c"}
    assert sync_source(connection, folder, files) == 4
    there = Path(folder)
    assert (there / "src dir" / "a.c").read_text() == "src dir/a.c 1\n"
    assert os.access(there / "Makefile", os.X_OK)
    (there / "built.o").write_text("stays")
    times = {name: (there / name).stat().st_mtime_ns for name in files}
    assert sync_source(connection, folder, files) == 0
    (clone / "it's.h").write_text("changed\n")
    os.utime(clone / "it's.h", (0, 0))  # older than what was built there: sent all the same
    (clone / "gone.c").unlink()
    assert sync_source(connection, folder, tracked_files(clone)) == 1
    assert (there / "it's.h").read_text() == "changed\n"
    assert (there / "it's.h").stat().st_mtime_ns > times["it's.h"]
    assert (there / "Makefile").stat().st_mtime_ns == times["Makefile"]
    assert not (there / "gone.c").exists()
    assert (there / "built.o").read_text() == "stays"


def test_a_build_that_fails_shows_its_last_lines(
    server: Server, clone: Path, monkeypatch: pytest.MonkeyPatch, bench: Callable[..., str]
) -> None:
    (clone / "Makefile").write_text("all .venv/.stamps/bench:\n\t@echo no headers; exit 4\n")
    monkeypatch.setattr(remote_run, "source_root", lambda: clone)
    shown = bench(code=2)
    assert "host board: building bench failed with status 2" in shown
    assert "no headers" in shown


def test_the_build_is_what_runs(
    server: Server, clone: Path, monkeypatch: pytest.MonkeyPatch, bench: Callable[..., str]
) -> None:
    """The Makefile makes a stand-in for the environment; its bench is this one."""
    made = f"printf '#!/bin/sh\\nexec {BENCH} \"$$@\"\\n' > .venv/bin/bench"
    (clone / "Makefile").write_text(
        f"bench = .venv/.stamps/bench\n$(bench):\n\tmkdir -p .venv/bin .venv/.stamps\n\t{made}\n"
        "\tchmod +x .venv/bin/bench\n\t$(PYTHON) -c 'import sys; print(sys.version_info)'\n"
    )
    monkeypatch.setattr(remote_run, "source_root", lambda: clone)
    shown = bench("--op", "relu", "--shapes", "tiny", "--packs", "portable", *QUICK)
    assert "major=3" in shown
    assert "on board" in shown


def test_each_clone_has_a_folder_of_its_own(tmp_path: Path) -> None:
    one, other = folder_of("/c", tmp_path / "a"), folder_of("/c", tmp_path / "b")
    assert one != other
    assert one.startswith("/c/kernel-dispatch/bench-")
    assert (source_root() / "pyproject.toml").exists()
    with pytest.raises(CaseError, match="git can't list"):
        tracked_files(tmp_path)


def test_a_machine_of_the_family_is_accepted() -> None:
    machine = Machine("aarch64", "/c", {})
    remote_run._check_device("arm", "board", machine)
    remote_run._check_device("cpu", "board", machine)
    remote_run._check_device("opencl", "board", machine)
    with pytest.raises(CaseError, match=r"its CPU is aarch64 \(arm\)"):
        remote_run._check_device("intel", "board", machine)


def test_every_option_of_a_plan_arrives(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the words say there is the plan that was given here."""
    seen: list[tuple[Plan, tuple[int, ...]]] = []
    schedule = Schedule(seconds=0.5, least=3, clock=Clock.CPU)
    common = Plan(
        device="arm", packs=("portable", "other"), peers=("torch",), precision="medium",
        level="neon", environment={"A": "b c"}, base="portable", schedule=schedule,
    )  # fmt: skip
    plans = [
        replace(common, op="matmul", shapes="tiny", dtype="bf16", mode=Mode.BOTH, direct=True,
                tuned=True),
        replace(common, problem='{"operator": "it\'s"}'),
        replace(common, subject=Subject.OVERHEAD),
        replace(
            common, subject=Subject.MODELS, models=("resnet50", "m.onnx"), memory=True,
            model_shapes={"x": (1, 3, 8, 8)},
        ),
    ]  # fmt: skip

    def record(plan: Plan, threads: int, progress: object) -> None:
        seen.append((plan, (threads,)))
        raise CaseError("recorded")

    monkeypatch.setattr("bench.cli.carry_out", record)
    monkeypatch.setattr("bench.cli.check_plan", lambda plan, threads: None)
    for plan in plans:
        monkeypatch.setattr(sys, "argv", ["bench", "run", *arguments_of(plan, (2,), {})])
        with pytest.raises(SystemExit):
            main()
        assert seen[-1] == (plan, (2,))
