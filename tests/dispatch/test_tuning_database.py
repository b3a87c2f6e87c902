"""The file of records: many processes, damage, folders that can't be written."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import textwrap
import warnings
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch.errors import InvalidArgument
from dispatch.tuning import database as database_module
from dispatch.tuning.database import Database, TuningWarning
from dispatch.tuning.record import Record
from dispatch.tuning.records import Records
from dispatch.tuning.turn import turn

MACHINES = {"m": "a machine"}


def made(number: int = 0, seconds: float = 1.0, machine: str = "m") -> Record:
    name = f"vendor.relu.k{number}.f32"
    return Record(machine, "1.0", "lib 2", name, f'{{"n":{number}}}', seconds, 0.01, 9, 1e9)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "deep" / "folder" / "tuned.sqlite3")


def test_what_is_written_is_read_by_another(database: Database) -> None:
    database.write([made(1), made(2, math.inf)], MACHINES)
    other = Database(database.path)
    assert sorted(other.read(), key=lambda r: r.kernel) == [made(1), made(2, math.inf)]
    assert other.read("m") == other.read()
    assert other.read("another") == []
    assert other.machines() == MACHINES


def test_reading_makes_no_file(database: Database) -> None:
    assert database.read() == [] and database.machines() == {}
    assert not database.path.parent.exists()


def test_a_later_record_takes_the_place_of_an_earlier_one(database: Database) -> None:
    database.write([made(1, 1.0)], MACHINES)
    database.write([made(1, 2.0)], MACHINES)
    assert [r.seconds for r in database.read()] == [2.0]


def test_what_is_deleted_leaves_nothing_behind(database: Database) -> None:
    database.write([made(1), made(2)], MACHINES)
    database.delete([made(1)])
    assert database.read() == [made(2)]
    database.delete([made(2)])
    with closing(sqlite3.connect(database.path)) as connection:
        for table in ("record", "problem", "machine"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


RECORDS = st.builds(
    Record,
    machine=st.text(min_size=1),
    pack_version=st.text(),
    library_version=st.text(),
    kernel=st.from_regex(r"[a-z]{1,4}\.[a-z]{1,4}\.[a-z]{1,4}\.f32", fullmatch=True),
    problem=st.text(),
    seconds=st.floats(1e-12, 1e6) | st.just(math.inf),
    spread=st.floats(0, 10),
    rounds=st.integers(0, 10**6),
    measured_at=st.floats(0, 1e11),
)


def storable(record: Record) -> bool:
    """SQLite and UTF-8 hold no lone surrogates, and its C interface ends texts at a null."""
    texts = (record.machine, record.pack_version, record.library_version, record.problem)
    return not any("\0" in t or any(0xD800 <= ord(c) < 0xE000 for c in t) for t in texts)


@settings(max_examples=30, deadline=None)
@given(st.lists(RECORDS.filter(storable), max_size=8))
def test_any_record_comes_back_as_it_was(tmp_path_factory, records: list[Record]) -> None:
    database = Database(tmp_path_factory.mktemp("any") / "tuned.sqlite3")
    database.write(records, {r.machine: "?" for r in records})
    assert {r.key: r for r in database.read()} == {r.key: r for r in records}
    assert [Record.from_dict(r.to_dict()) for r in records] == records


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seconds", -1.0),
        ("seconds", 0),
        ("seconds", "1"),
        ("seconds", math.nan),
        ("seconds", True),
        ("spread", None),
        ("rounds", -1),
        ("measured_at", math.inf),
        ("machine", 3),
        ("kernel", "no kernel"),
        ("problem", None),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    with pytest.raises((InvalidArgument, database_module.DispatchError)):
        Record.from_dict({**made().to_dict(), field: value})


def test_a_field_that_is_missing_is_named() -> None:
    data = made().to_dict()
    del data["rounds"]
    with pytest.raises(InvalidArgument, match="rounds"):
        Record.from_dict(data)


def test_rows_of_nonsense_are_left_out(database: Database) -> None:
    database.write([made(1), made(2), made(3)], MACHINES)
    with closing(sqlite3.connect(database.path)) as connection, connection:
        connection.execute("UPDATE record SET seconds = -1 WHERE kernel = ?", (made(1).kernel,))
        connection.execute("UPDATE record SET rounds = 'x' WHERE kernel = ?", (made(2).kernel,))
    assert database.read() == [made(3)]


# ---- Damage ------------------------------------------------------------------------------------


def text_in_its_place(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def pages_overwritten(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xa5" * (len(data) - 4096)
    path.write_bytes(data)


def header_lost(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[:16] = bytes(16)
    path.write_bytes(data)


def tables_of_another(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE record (something TEXT)")


@pytest.mark.parametrize(
    "damage", [text_in_its_place, pages_overwritten, header_lost, tables_of_another]
)
@pytest.mark.parametrize("writes_first", [True, False])
def test_a_damaged_file_is_kept_aside_and_a_new_one_begun(
    database: Database, damage, writes_first: bool
) -> None:
    database.write([made(n) for n in range(200)], MACHINES)
    damage(database.path)
    broken = database.path.read_bytes()
    fresh = Database(database.path)
    first = (lambda: fresh.write([made(1)], MACHINES)) if writes_first else fresh.read
    with pytest.warns(TuningWarning, match="is damaged .* kept as") as caught:
        first()
    assert len(caught) == 1
    assert fresh.read() == [made(1)] * writes_first
    fresh.write([made(2)], MACHINES)
    assert made(2) in Database(database.path).read()
    (kept,) = (p for p in database.path.parent.iterdir() if p.name.endswith(tuple("0123456789"))
               and ".damaged-" in p.name)  # fmt: skip
    assert len(kept.read_bytes()) >= len(broken) - 4096
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made(2) in Database(database.path).read()


def test_only_one_process_sets_a_damaged_file_aside(database: Database) -> None:
    database.write([made(1)], MACHINES)
    text_in_its_place(database.path)
    with pytest.warns(TuningWarning, match="is damaged"):
        Database(database.path).write([made(2)], MACHINES)
    # Another one that had seen the damage finds the file mended.
    late = Database(database.path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert late._set_aside(sqlite3.DatabaseError("seen before"))
    assert late.read() == [made(2)]


# ---- Folders that can't be written -------------------------------------------------------------


@pytest.mark.parametrize("path", ["/proc/nowhere/tuned.sqlite3", "/dev/null/tuned.sqlite3"])
def test_where_no_file_can_be_made_records_are_kept_in_memory(path: str) -> None:
    kept = Database(Path(path))
    assert kept.read() == []
    with pytest.warns(TuningWarning, match="can't be kept there"):
        kept.write([made(1)], MACHINES)
    kept.write([made(2)], MACHINES)  # without another warning, which would be an error
    assert sorted(r.kernel for r in kept.read()) == [made(1).kernel, made(2).kernel]
    kept.delete([made(1)])
    assert kept.read() == [made(2)]


def limited(monkeypatch: pytest.MonkeyPatch, pragma: str) -> None:
    """Let every connection to a file meet a limit, as a full or read-only disk would be."""
    real = database_module._open

    def opened(path: Path, lock_path: Path) -> sqlite3.Connection:
        connection = real(path, lock_path)
        connection.execute(pragma)
        return connection

    monkeypatch.setattr(database_module, "_open", opened)


@pytest.mark.parametrize(
    ("pragma", "reason"),
    [("PRAGMA query_only = 1", "readonly"), ("PRAGMA max_page_count = 1", "full")],
)
def test_a_full_or_read_only_disk_keeps_what_can_be_read(
    database: Database, monkeypatch: pytest.MonkeyPatch, pragma: str, reason: str
) -> None:
    database.write([made(1)], MACHINES)
    limited(monkeypatch, pragma)
    fresh = Database(database.path)
    assert fresh.read() == [made(1)]
    with pytest.warns(TuningWarning, match=reason):
        fresh.write([made(n) for n in range(2, 300)], MACHINES)
    assert len(fresh.read()) == 299
    monkeypatch.undo()
    assert Database(database.path).read() == [made(1)], "all or none of a write"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(database: Database) -> None:
    database.write([made(1)], MACHINES)
    database.path.parent.chmod(0o555)
    try:
        fresh = Database(database.path)
        with pytest.warns(TuningWarning):
            fresh.write([made(2)], MACHINES)
        assert len(fresh.read()) == 2
    finally:
        database.path.parent.chmod(0o755)


# ---- Processes and threads ---------------------------------------------------------------------

WRITER = """
    import sys, warnings
    from pathlib import Path
    from dispatch.tuning.database import Database
    from tests.dispatch.test_tuning_database import MACHINES, made
    warnings.simplefilter("error")
    own = int(sys.argv[2])
    database = Database(Path(sys.argv[1]))
    sys.stdin.readline()
    for number in range(40):
        database.write([made(1000 * own + number), made(7, float(1 + own))], MACHINES)
        assert made(1000 * own + number) in database.read("m")
"""


def start(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Let all begin at once, and return what each prints."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    printed = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed


def test_processes_that_begin_one_file_together_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tuned.sqlite3"
    writers = [start(WRITER, path, own) for own in range(1, 5)]
    finish(writers)
    found = {r.kernel: r for r in Database(path).read()}
    assert len(found) == 4 * 40 + 1
    assert found[made(7).kernel].seconds in (2.0, 3.0, 4.0, 5.0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


TUNER = """
    import sys
    from pathlib import Path
    import dispatch
    from dispatch import registry as registry_module
    from dispatch.answer import Yes
    from dispatch.registry import Registry
    from dispatch.tuning import records as records_module
    from dispatch.tuning.database import Database
    from dispatch.tuning.records import Records
    from tests.dispatch.fakes import FakePack
    from tests.dispatch.test_tuning import X
    from tests.dispatch.tuning_fakes import SlowKernel
    kernels = tuple(
        SlowKernel(f"vendor.relu.k{n}.f32", lambda p: Yes(1.0), seconds=0.002) for n in range(2)
    )
    registry_module._registry = Registry([(FakePack("vendor", kernels), "here")])
    records_module._records = Records(Database(Path(sys.argv[1])))
    sys.stdin.readline()
    with dispatch.using(threads=1):
        found = dispatch.tune(*(lambda n=n: dispatch.relu(X[:n]) for n in range(1, 5)))
    assert len(found.records) == 4
    print(found.measured, flush=True)
"""


def test_processes_that_tune_the_same_share_the_work(tmp_path: Path) -> None:
    path = tmp_path / "tuned.sqlite3"
    measured = list(map(int, finish([start(TUNER, path) for _ in range(3)])))
    assert sum(measured) < 3 * 4, "each found some of the others' records"
    assert len(Database(path).read()) == 8


def test_a_turn_is_given_back_when_its_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = start(
        """
        import sys, time
        from pathlib import Path
        from dispatch.tuning.turn import turn
        with turn(Path(sys.argv[1])):
            Path(sys.argv[1] + ".held").touch()
            time.sleep(60)
        """,
        path,
    )
    while not Path(f"{path}.held").exists():
        assert holder.poll() is None
    holder.kill()
    with turn(path):
        pass
    holder.communicate()


def test_a_fork_while_a_lock_is_held_does_not_hang_the_child(database: Database) -> None:
    kept = Records(database)
    kept._lock.acquire()
    kept.forget_lock()
    kept.refresh()
