"""The file of records: SQLite, for many processes at once, never fatal.

A damaged file is set aside and a new one begun; where nothing can be written
(a read-only or full folder), records are kept in memory. Both are said once, by
a `TuningWarning`.
"""

from __future__ import annotations

import sqlite3
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import platformdirs

from dispatch.errors import DispatchError
from dispatch.tuning.record import Record, problem_digest
from dispatch.tuning.turn import turn

__all__ = ["FORMAT", "Database", "TuningWarning", "default_path"]

FORMAT = 1
"""Part of the file's name: versions of the project that differ in it share no file."""
PATIENCE = 30.0
"""Seconds to wait for another process's transaction."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS machine (id TEXT PRIMARY KEY, description TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS problem (digest TEXT PRIMARY KEY, json TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS record (
  machine TEXT NOT NULL,
  problem TEXT NOT NULL REFERENCES problem (digest),
  kernel TEXT NOT NULL,
  pack_version TEXT NOT NULL,
  library_version TEXT NOT NULL,
  seconds REAL NOT NULL,
  spread REAL NOT NULL,
  rounds INTEGER NOT NULL,
  measured_at REAL NOT NULL,
  PRIMARY KEY (machine, problem, kernel, pack_version, library_version)
) WITHOUT ROWID;
"""
_READ = """
SELECT record.machine, pack_version, library_version, kernel, json AS problem,
       seconds, spread, rounds, measured_at
FROM record JOIN problem ON record.problem = problem.digest
"""
_DELETE = """
DELETE FROM record WHERE machine = ? AND pack_version = ? AND library_version = ?
                     AND kernel = ? AND problem = ?
"""
_ORPHANS = (
    "DELETE FROM problem WHERE digest NOT IN (SELECT problem FROM record)",
    "DELETE FROM machine WHERE id NOT IN (SELECT machine FROM record)",
)
_SIDECARS = ("", "-wal", "-shm")
_WAL = "wal"

# Primary result codes of SQLite.
_ERROR, _CORRUPT, _NOT_A_DATABASE = 1, 11, 26

T = TypeVar("T")


class TuningWarning(UserWarning):
    """Measured records can't be kept or used as asked; the message says what happens instead."""


def default_path() -> Path:
    """Return where this user's records are kept."""
    return Path(platformdirs.user_cache_dir("kernel-dispatch")) / f"tuned-{FORMAT}.sqlite3"


class Database:
    """Records in a file.

    Every operation opens the file, does its one transaction and closes it: no
    connection outlives a fork or is shared by threads.

    Parameters
    ----------
    path
        The file; made, with its folder, when something is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._memory: sqlite3.Connection | None = None
        self._lock = threading.RLock()

    @property
    def turn_path(self) -> Path:
        """The file that a process holds while it measures for this one."""
        return self.path.with_name(self.path.name + ".turn")

    @property
    def _lock_path(self) -> Path:
        """The file that a process holds while it makes or mends this one."""
        return self.path.with_name(self.path.name + ".lock")

    def read(self, machine: str | None = None) -> list[Record]:
        """Return all records, or those of one machine. Rows that make no sense are left out."""
        if self._memory is None and not self.path.exists():
            return []
        where, values = ("WHERE record.machine = ?", (machine,)) if machine else ("", ())

        def work(connection: sqlite3.Connection) -> list[Record]:
            cursor = connection.execute(f"{_READ} {where}", values)
            names = [column[0] for column in cursor.description]
            return [
                record
                for row in cursor
                if (record := _sensible(dict(zip(names, row, strict=True)))) is not None
            ]

        return self._attempt(work)

    def machines(self) -> dict[str, str]:
        """Return the descriptions of the machines that records are of, by id."""
        if self._memory is None and not self.path.exists():
            return {}
        return self._attempt(lambda c: dict(c.execute("SELECT id, description FROM machine")))

    def write(self, records: Sequence[Record], machines: Mapping[str, str]) -> None:
        """Add records, all or none; a later one takes the place of an earlier one of its key.

        Parameters
        ----------
        machines
            The description of each machine that the records are of.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.executemany(
                    "INSERT OR REPLACE INTO machine VALUES (?, ?)", machines.items()
                )
                connection.executemany(
                    "INSERT OR IGNORE INTO problem VALUES (?, ?)",
                    {problem_digest(r.problem): r.problem for r in records}.items(),
                )
                connection.executemany(
                    "INSERT OR REPLACE INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    [
                        (
                            *(r.machine, problem_digest(r.problem), r.kernel),
                            *(r.pack_version, r.library_version),
                            *(r.seconds, r.spread, r.rounds, r.measured_at),
                        )
                        for r in records
                    ],
                )

        self._attempt(work)

    def delete(self, records: Iterable[Record]) -> None:
        """Remove records, and what only they named."""
        keys = [record.key for record in records]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                connection.executemany(_DELETE, keys)
                for statement in _ORPHANS:
                    connection.execute(statement)

        self._attempt(work)

    def forget_lock(self) -> None:
        """In a forked child another thread may have held the lock that nobody will release."""
        self._lock = threading.RLock()

    def _attempt(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` on the file; mend or leave the file where that fails."""
        with self._lock:
            for _ in range(2):
                if self._memory is not None:
                    break
                try:
                    with closing(_open(self.path, self._lock_path)) as connection:
                        return work(connection)
                except (OSError, sqlite3.Error) as error:
                    if not _is_damage(error) or not self._set_aside(error):
                        self._keep_in_memory(error)
            if self._memory is None:
                self._keep_in_memory(sqlite3.DatabaseError("it was damaged again"))
            assert self._memory is not None
            return work(self._memory)

    def _set_aside(self, error: Exception) -> bool:
        """Rename a damaged file, unless another process already has; True if a new one may be."""
        kept = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        with turn(self._lock_path):
            if not _still_damaged(self.path):
                return True
            try:
                for suffix in _SIDECARS:
                    part = self.path.with_name(self.path.name + suffix)
                    if part.exists():
                        part.rename(kept.with_name(kept.name + suffix))
            except OSError:
                return False
        warnings.warn(
            f"{self.path}: the file of measured records is damaged ({error}); it is kept as "
            f"{kept.name}, and a new one is begun",
            TuningWarning,
            stacklevel=5,
        )
        return True

    def _keep_in_memory(self, error: Exception) -> None:
        """Go on without the file, with what of it can be read."""
        self._memory = sqlite3.connect(
            ":memory:", check_same_thread=False, isolation_level=None, timeout=PATIENCE
        )
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=ro&immutable=1"
            with closing(sqlite3.connect(uri, uri=True)) as source:
                source.backup(self._memory)
            self._memory.execute(f"{_READ} LIMIT 1")
        except sqlite3.Error:
            self._memory = sqlite3.connect(
                ":memory:", check_same_thread=False, isolation_level=None
            )
        self._memory.executescript(_SCHEMA)
        warnings.warn(
            f"{self.path}: measured records can't be kept there ({error}); they are kept in "
            f"memory until the process ends",
            TuningWarning,
            stacklevel=5,
        )


def _open(path: Path, lock_path: Path) -> sqlite3.Connection:
    """Open the file, made new if there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
    try:
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != _WAL:
            # SQLite doesn't wait for others here: one process at a time.
            with turn(lock_path):
                connection.executescript(_SCHEMA)
                connection.execute(f"PRAGMA journal_mode = {_WAL}")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _is_damage(error: Exception) -> bool:
    """Say whether an error is about what the file holds, not about how it can be reached."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (_ERROR, _CORRUPT, _NOT_A_DATABASE)


def _still_damaged(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
            connection.execute(f"{_READ} LIMIT 1").fetchall()
            connection.execute("SELECT id, description FROM machine LIMIT 1").fetchall()
            found = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.Error:
        return True
    return bool(found[0] != "ok")


def _sensible(row: dict[str, object]) -> Record | None:
    """Return a row as a record, None where somebody wrote nonsense into it."""
    try:
        return Record.from_dict(row)
    except DispatchError:
        return None
